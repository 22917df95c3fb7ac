"""Detectors of one series alone, and their runs as anomalies."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

import numpy as np

from marketlake.analytics.anomalies.bank import DetectedRuns, DetectorBank
from marketlake.analytics.anomalies.registry import DETECTORS
from marketlake.analytics.anomalies.runs import ExceedanceRuns, RunEvents, severity
from marketlake.analytics.arrays import Float64Array, Int64Array
from marketlake.analytics.keyed import KeyedStates
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

_USD_PEGGED: Final = frozenset(
    {"USD", "USDT", "USDC", "BUSD", "DAI", "FDUSD", "TUSD", "USDP", "GUSD", "PYUSD"}
)
PEG_SCALE: Final = 0.0025
"""One unit of score of the peg detector: 25 bps off 1."""
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
                    settings.enter_score, settings.exit_score, settings.max_run_bars
                )
                for name in settings.detectors
            },
            {metric: _SCALE_MIN[metric] for metric in metrics},
        )
        self._groups = np.empty(0, np.int64)
        self._group_codes: dict[tuple[str, ...], int] = {}

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
        groups = self._groups_of(states)
        found = self._bank.step(states.matrix, series, open_us, values, groups[series])
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

    def _groups_of(self, states: KeyedStates) -> Int64Array:
        """Number the series by what they share with those of other venues."""
        fresh = [
            self._group_codes.setdefault(key[1:], len(self._group_codes))
            for key in states.keys[self._groups.size :]
        ]
        if fresh:
            self._groups = np.concatenate([self._groups, np.array(fresh, np.int64)])
        return self._groups


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


def is_pegged(instrument: str) -> bool:
    """Tell whether both currencies of a pair are meant to be worth one US dollar."""
    assets = instrument.split("-")
    return len(assets) == 2 and _USD_PEGGED.issuperset(assets)


def describe(
    states: KeyedStates, metric: str, detector: str, origin: Origin, runs: RunEvents
) -> list[Anomaly]:
    """Turn closed runs into anomalies; keys of the states are (venue, instrument, interval)."""
    found = []
    severities = severity(runs.score)
    for i in range(len(runs)):
        venue, instrument, interval = states.keys[int(runs.series[i])]
        score = float(runs.score[i])
        found.append(
            Anomaly(
                venue,
                instrument,
                interval,
                metric,
                f"{detector}:{origin}:{interval}",
                int(runs.start_us[i]),
                int(runs.end_us[i]) + INTERVAL_US[interval],
                float(runs.value[i]),
                float(runs.expected[i]),
                float(runs.scale[i]),
                score,
                str(severities[i]),
                "spike_up" if score > 0 else "spike_down",
                _evidence(runs, i, origin),
            )
        )
    return found


def _evidence(runs: RunEvents, i: int, origin: Origin) -> str:
    """Tell how long the run was and what the same instrument did on other venues at its peak."""
    evidence: dict[str, object] = {"bars": int(runs.bars[i]), "origin": origin}
    if runs.peers[i]:
        evidence |= {"peers": int(runs.peers[i]), "peers_value": float(runs.peers_value[i])}
    return json.dumps(evidence)
