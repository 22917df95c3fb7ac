"""All detectors over all metrics of many series, in a few compiled calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from marketlake.analytics.anomalies.peers import peer_values
from marketlake.analytics.anomalies.runs import ExceedanceRuns, RunEvents
from marketlake.analytics.kernel import Float64, Int64, KeyedKernel

Matrices = Callable[[str], Float64]
"""Gives the states of a block by its name, shape ``(k, words)``, contiguous and writable."""


@dataclass(frozen=True, slots=True)
class DetectedRuns:
    """Runs that ended, of one metric by one detector; ``runs.series`` are series of the bank."""

    metric: str
    detector: str
    runs: RunEvents


class DetectorBank:
    """Detectors side by side over several metrics, each with its runs.

    The metrics of a series lie side by side in the states of a detector, which therefore sees
    ``series x metrics`` series in one call: the number of calls does not depend on the number of
    metrics, and what a call costs with few rows is paid once a detector.

    Parameters
    ----------
    detectors
        Kernels of the registry, each with the runs it makes: thresholds are a detector's own.
    scale_min
        Metrics by name, in the order of the values, and the scale of each up to which nothing is
        scored: a deviation of less than a tick is no movement.
    """

    def __init__(
        self,
        detectors: Mapping[KeyedKernel, ExceedanceRuns],
        scale_min: Mapping[str, float],
    ) -> None:
        self._detectors = dict(detectors)
        self.metrics = tuple(scale_min)
        self._scale_min = np.array(list(scale_min.values()))

    def blocks(self) -> dict[str, Float64]:
        """Blocks of state by name: the words of a detector and of its runs, metric by metric."""
        count = len(self.metrics)
        return {
            f"{detector.name}.{part}": np.tile(kernel.initial(), count)
            for detector, runs in self._detectors.items()
            for part, kernel in (("values", detector), ("runs", runs))
        }

    def step(
        self,
        states: Matrices,
        series: Int64,
        open_us: Int64,
        values: Float64,
        group: Int64,
        widen: Float64,
    ) -> list[DetectedRuns]:
        """Take bars and give the runs that they end.

        Parameters
        ----------
        states
            Of the blocks. CHANGED IN PLACE.
        series, open_us
            Shape ``(n,)``; the bars of one series are in order of their time.
        values
            Shape ``(metrics, n)``.
        group
            Shape ``(n,)``: series to compare with in the same bar; see :func:`peer_values`.
        widen
            Shape ``(n,)``: factor on the scale, and so a divisor of the score, of each bar.
        """
        count, n = values.shape
        cells = (series * count + np.arange(count)[:, np.newaxis]).ravel()
        time_us = np.tile(open_us, count).astype(np.float64)
        columns = {"value": np.ravel(values), "open_time_us": time_us}
        floor = np.repeat(self._scale_min, n)
        wider = np.tile(widen, count)
        scores = {}
        asked = np.zeros(n, np.bool_)
        for detector, runs in self._detectors.items():
            z, expected, scale = detector.step(
                self._cells(states, detector, "values"),
                cells,
                *(columns[name] for name in detector.inputs),
            )
            z[~(scale > floor)] = np.nan
            z /= wider
            scale *= wider
            size = np.abs(z)
            if (size >= runs.exit).any() or runs.any_open(
                self._cells(states, detector, "runs"), cells
            ):
                asked |= (size >= runs.enter).reshape(count, n).any(axis=0)
                scores[detector] = z, expected, scale
        peers, peers_value = peer_values(group, open_us, asked, values)
        found: list[DetectedRuns] = []
        for detector, (z, expected, scale) in scores.items():
            ended = self._detectors[detector].step(
                self._cells(states, detector, "runs"), cells, time_us, columns["value"],
                expected, scale, z, peers.ravel(), peers_value.ravel(),
            )  # fmt: skip
            found += self._by_metric(detector, ended)
        return found

    def flush(self, states: Matrices) -> list[DetectedRuns]:
        """End every run: the input has ended."""
        return [
            part
            for detector, runs in self._detectors.items()
            for part in self._by_metric(detector, runs.flush(self._cells(states, detector, "runs")))
        ]

    def _cells(self, states: Matrices, detector: KeyedKernel, part: str) -> Float64:
        """View the words of a series as those of its metrics; writes go through."""
        matrix = states(f"{detector.name}.{part}")
        count = len(self.metrics)
        if not matrix.flags.c_contiguous:
            msg = f"{detector.name} needs its states contiguous, or it would change a copy"
            raise ValueError(msg)
        return matrix.reshape(len(matrix) * count, matrix.shape[1] // count)

    def _by_metric(self, detector: KeyedKernel, runs: RunEvents) -> list[DetectedRuns]:
        if not len(runs):
            return []
        series, metric = np.divmod(runs.series, len(self.metrics))
        return [
            DetectedRuns(self.metrics[m], detector.name, runs.take(metric == m, series))
            for m in np.unique(metric)
        ]
