"""Detectors of one series alone, and their runs as anomalies."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from marketlake.analytics.anomalies.bank import DetectedRuns, DetectorBank
from marketlake.analytics.anomalies.episodes import PEG_SCALE
from marketlake.analytics.anomalies.listings import DOLLARS
from marketlake.analytics.anomalies.registry import DETECTORS
from marketlake.analytics.anomalies.runs import ExceedanceRuns, RunEvents, severity
from marketlake.analytics.anomalies.silence import Silences, SilentFeeds, group_members
from marketlake.analytics.arrays import Float64Array, Int64Array
from marketlake.analytics.keyed import Key, KeyedStates
from marketlake.contracts.events import INTERVAL_US
from marketlake.settings.model import AnomalySettings

Origin = str

_SCALE_MIN: Final = {
    # A tenth of a basis point; about a tenth in ln(volume); a hundredth of a basis point.
    "return": 1e-5,
    "excursion": 1e-5,
    "volume": 0.1,
    "quoted_spread_bps": 0.01,
}
"""Scale below which a metric's deviations mean nothing: the tick, not the market."""

_PEG_RUNS: Final = ExceedanceRuns(enter=4.0, exit=2.0)
"""A run of broken peg begins at 100 bps and lasts while it is 50 bps or more."""


@dataclass(frozen=True)
class Anomaly:
    """One run of exceedances of one metric of one series."""

    venue: str
    instrument: str
    interval: str
    metric: str
    detector: str
    start_us: int
    end_us: int
    value: float
    expected: float
    scale: float
    score: float
    severity: str
    kind: str
    evidence: str


class GroupCodes:
    """Numbers of series by what they share with those of other venues: all but the venue."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, ...], int] = {}
        self._of_series = np.empty(0, np.int64)

    def of(self, keys: Sequence[Key]) -> Int64Array:
        """Give the number of each series; those known already are not looked at again."""
        fresh = [
            self._codes.setdefault(key[1:], len(self._codes))
            for key in keys[self._of_series.size :]
        ]
        if fresh:
            self._of_series = np.concatenate([self._of_series, np.array(fresh, np.int64)])
        return self._of_series


class MetricDetectors:
    """The detectors of the settings, each with its runs, over several metrics of a series.

    Parameters
    ----------
    metrics : tuple of str
        Names, in the order of the values given to :meth:`step`.
    origin : str
        What the series are made of; part of the detector's name.
    """

    def __init__(self, metrics: tuple[str, ...], origin: Origin, settings: AnomalySettings) -> None:
        self._origin = origin
        self._bank = DetectorBank(
            {
                DETECTORS[name](settings): ExceedanceRuns(
                    *settings.thresholds(name), settings.max_run_bars
                )
                for name in settings.detectors
            },
            {metric: _SCALE_MIN[metric] for metric in metrics},
        )
        self._groups = GroupCodes()
        self._second_scale = settings.second_scale
        self._widen = np.empty(0)

    def blocks(self) -> dict[str, Float64Array]:
        """Blocks of state: the values and the runs of each detector."""
        return self._bank.blocks()

    def step(
        self,
        states: KeyedStates,
        series: Int64Array,
        open_us: Int64Array,
        values: Float64Array,
    ) -> list[Anomaly]:
        """Take the values of closed bars, ``float64[metrics, n]``, in time order a series.

        All bars up to a watermark come in one call, so that venues can be compared.
        """
        groups = self._groups.of(states.keys)
        known = self._widen.size
        if known < len(states):
            fresh = [self._second_scale if key[2] == "1s" else 1.0 for key in states.keys[known:]]
            self._widen = np.concatenate([self._widen, np.array(fresh)])
        found = self._bank.step(
            states.matrix, series, open_us, values, groups[series], self._widen[series]
        )
        return self._describe(states, found)

    def flush(self, states: KeyedStates) -> list[Anomaly]:
        """End every run, at the end of the input."""
        return self._describe(states, self._bank.flush(states.matrix))

    def _describe(self, states: KeyedStates, found: list[DetectedRuns]) -> list[Anomaly]:
        return [
            anomaly
            for part in found
            for anomaly in describe(states, part.metric, part.detector, self._origin, part.runs)
        ]


class PegDetector:
    """Bars of a pair of USD-pegged currencies whose price leaves 1.

    The expectation is the peg itself: a rolling one follows a depeg within the hour.
    """

    metric: Final = "peg"

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._pegged = np.empty(0, np.bool_)

    def blocks(self) -> dict[str, Float64Array]:
        """Blocks of state: a run."""
        return {"peg.run": _PEG_RUNS.initial()}

    def step(
        self, states: KeyedStates, series: Int64Array, open_us: Int64Array, value: Float64Array
    ) -> list[Anomaly]:
        """Take the farthest price of closed bars, in time order a series."""
        fresh = [is_pegged(key[1]) for key in states.keys[self._pegged.size :]]
        self._pegged = np.concatenate([self._pegged, np.array(fresh, np.bool_)])
        pegged = self._pegged[series]
        if not pegged.any():
            return []
        series, open_us, value = series[pegged], open_us[pegged], value[pegged]
        n = series.size
        runs = _PEG_RUNS.step(
            states.matrix("peg.run"),
            series,
            open_us,
            value,
            np.ones(n),
            np.full(n, PEG_SCALE),
            (value - 1.0) / PEG_SCALE,
        )
        return self._describe(states, runs)

    def flush(self, states: KeyedStates) -> list[Anomaly]:
        """End every run, at the end of the input."""
        return self._describe(states, _PEG_RUNS.flush(states.matrix("peg.run")))

    def _describe(self, states: KeyedStates, runs: RunEvents) -> list[Anomaly]:
        return describe(states, self.metric, "peg", self._origin, runs)


class SilenceDetector:
    """Quotes or books of a venue that stop while those of others go on.

    Parameters
    ----------
    origin : str
        What the feeds are of; part of the detector's name.
    """

    metric: Final = "silence_s"

    def __init__(self, origin: Origin, settings: AnomalySettings) -> None:
        self._origin = origin
        self._fold = SilentFeeds(settings.silence_factor, settings.min_silence_ms * 1_000)
        self._codes = GroupCodes()
        self._groups = group_members(self._codes.of([]))

    def blocks(self) -> dict[str, Float64Array]:
        """Blocks of state: one."""
        return {"silence": self._fold.initial()}

    def step(
        self, states: KeyedStates, feed: Int64Array, time_us: Int64Array, price: Float64Array
    ) -> list[Anomaly]:
        """Take updates in time order; those of all venues of an instrument come here."""
        if len(states) > self._groups.group.size:
            self._groups = group_members(self._codes.of(states.keys))
        found = self._fold.step(states.matrix("silence"), self._groups, time_us, feed, price)
        return [self._describe(states, found, i) for i in range(len(found))]

    def _describe(self, states: KeyedStates, found: Silences, i: int) -> Anomaly:
        venue, instrument, _ = states.keys[int(found.feed[i])]
        start_us, end_us = int(found.start_us[i]), int(found.end_us[i])
        seconds, usual_s = (end_us - start_us) / 1e6, float(found.usual_s[i])
        # What is just allowed scores 5.
        scale = (float(found.limit_s[i]) - usual_s) / 5.0
        move = float(found.move[i])
        evidence: dict[str, object] = {"origin": self._origin, "peers": int(found.peers[i])}
        evidence |= {"open": True} if math.isnan(move) else {"move_bps": round(move * 1e4, 2)}
        score = (seconds - usual_s) / scale
        return Anomaly(
            venue, instrument, "tick", self.metric, f"silence:{self._origin}", start_us, end_us,
            seconds, usual_s, scale, score, str(severity(np.array([score]))[0]), "stale_feed",
            json.dumps(evidence),
        )  # fmt: skip


def is_pegged(instrument: str) -> bool:
    """Tell whether both currencies of a pair are meant to be worth one US dollar."""
    assets = instrument.split("-")
    return len(assets) == 2 and DOLLARS.issuperset(assets)


def describe(
    states: KeyedStates, metric: str, detector: str, origin: Origin, runs: RunEvents
) -> list[Anomaly]:
    """Turn closed runs into anomalies; keys of the states are (venue, instrument, interval)."""
    columns = zip(
        runs.series.tolist(), runs.start_us.tolist(), runs.end_us.tolist(), runs.value.tolist(),
        runs.expected.tolist(), runs.scale.tolist(), runs.score.tolist(),
        severity(runs.score).tolist(), runs.bars.tolist(), runs.peers.tolist(),
        runs.peers_value.tolist(), strict=True,
    )  # fmt: skip
    found = []
    for row, start_us, end_us, value, expected, scale, score, name, bars, *peers in columns:
        venue, instrument, interval = states.keys[row]
        found.append(
            Anomaly(
                venue, instrument, interval, metric, f"{detector}:{origin}:{interval}", start_us,
                end_us + INTERVAL_US[interval], value, expected, scale, score, name,
                "spike_up" if score > 0 else "spike_down", _evidence(bars, origin, *peers),
            )
        )  # fmt: skip
    return found


def _evidence(bars: int, origin: Origin, peers: int, peers_value: float) -> str:
    """Tell how long the run was and what the same instrument did on other venues at its peak."""
    evidence: dict[str, object] = {"bars": bars, "origin": origin}
    if peers:
        evidence |= {"peers": peers, "peers_value": peers_value}
    return json.dumps(evidence)
