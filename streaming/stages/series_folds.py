"""What is computed on closed bars of one series: indicators, and anomalies a metric."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from marketlake.analytics.anomalies.rolling_zscore import RollingZScore
from marketlake.analytics.anomalies.runs import ExceedanceRuns, RunEvents, severity
from marketlake.analytics.arrays import Columns, Float64Array, Int64Array, row_count
from marketlake.analytics.bar_metrics import BarMetrics
from marketlake.analytics.indicators.bank import IndicatorBank
from marketlake.analytics.keyed import KeyedStates
from marketlake.contracts.events import INTERVAL_US
from marketlake.settings.model import AnomalySettings
from streaming.stages.series_rows import SeriesRows

Origin = str

BANK: Final = IndicatorBank()

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
    """A rolling z-score and its runs for each of several metrics.

    Parameters
    ----------
    metrics : tuple of str
        Names, in the order of the values given to :meth:`step`.
    origin : str
        What the series are made of; part of the detector's name.
    """

    def __init__(self, metrics: tuple[str, ...], origin: Origin, settings: AnomalySettings) -> None:
        self.metrics = metrics
        self._origin = origin
        self._zscores = {
            metric: RollingZScore(settings.window_bars, settings.min_bars, _SCALE_MIN[metric])
            for metric in metrics
        }
        self._runs = ExceedanceRuns(
            settings.enter_score, settings.exit_score, settings.max_run_bars
        )
        self._name = f"zscore_{settings.window_bars}"

    def blocks(self) -> dict[str, Float64Array]:
        """Blocks of state, a window and a run a metric."""
        return {
            f"{metric}.{part}": kernel.initial()
            for metric, zscore in self._zscores.items()
            for part, kernel in (("window", zscore), ("run", self._runs))
        }

    def step(
        self,
        states: KeyedStates,
        series: Int64Array,
        open_us: Int64Array,
        values: Float64Array,
    ) -> list[Anomaly]:
        """Take the values of closed bars, ``float64[metrics, n]``, in time order a series."""
        found: list[Anomaly] = []
        for metric, value in zip(self.metrics, values, strict=True):
            score, expected, scale = self._zscores[metric].step(
                states.matrix(f"{metric}.window"), series, value
            )
            runs = self._runs.step(
                states.matrix(f"{metric}.run"),
                series,
                open_us,
                value,
                expected,
                scale,
                score,
            )
            found += self._describe(states, metric, runs)
        return found

    def flush(self, states: KeyedStates) -> list[Anomaly]:
        """End every run, at the end of the input."""
        return [
            anomaly
            for metric in self.metrics
            for anomaly in self._describe(
                states, metric, self._runs.flush(states.matrix(f"{metric}.run"))
            )
        ]

    def _describe(self, states: KeyedStates, metric: str, runs: RunEvents) -> list[Anomaly]:
        return describe(states, metric, self._name, self._origin, runs)


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
                json.dumps({"bars": int(runs.bars[i]), "origin": origin}),
            )
        )
    return found


class SeriesFolds:
    """Indicators and anomalies of all bar series of one input.

    Parameters
    ----------
    origin : str
        ``trades`` for bars built here, ``venue`` for published ones.
    anomaly_intervals : tuple of str or None
        Intervals on which anomalies are looked for; None for all.
    """

    def __init__(
        self, origin: Origin, settings: AnomalySettings, anomaly_intervals: tuple[str, ...] | None
    ) -> None:
        self._metrics = BarMetrics()
        self._detectors = MetricDetectors(self._metrics.outputs[:-1], origin, settings)
        self._peg = PegDetector(origin)
        self._anomaly_intervals = anomaly_intervals
        self.indicator_states = KeyedStates({"bank": BANK.initial()})
        self.anomaly_states = KeyedStates(
            {
                "metrics": self._metrics.initial(),
                **self._detectors.blocks(),
                **self._peg.blocks(),
            }
        )
        self._watched = np.empty(0, np.bool_)
        self._anomaly_rows = SeriesRows(
            self.anomaly_states,
            self.indicator_states.keys.__getitem__,
            self.indicator_states.index,
        )

    def step(self, bars: Columns) -> tuple[Float64Array, list[Anomaly]]:
        """Take closed bars.

        Parameters
        ----------
        bars : Columns
            ``series``, ``open_time_us``, prices and volumes; in time order a series.

        Returns
        -------
        tuple
            Indicators, ``float64[columns, n]``, and the anomalies that ended.
        """
        inputs = {**bars, "open_time_us": bars["open_time_us"].astype(np.float64)}
        indicators = BANK.step(
            self.indicator_states.matrix("bank"),
            bars["series"],
            {name: inputs[name] for name in BANK.inputs},
        )
        return indicators, self._anomalies(bars)

    def _anomalies(self, bars: Columns) -> list[Anomaly]:
        if not row_count(bars):
            return []
        watched = self._watch()[bars["series"]]
        if not watched.any():
            return []
        series = self._anomaly_rows.rows(bars["series"][watched])
        values = self._metrics.step(
            self.anomaly_states.matrix("metrics"),
            series,
            *(bars[name][watched] for name in self._metrics.inputs),
        )
        open_us = bars["open_time_us"][watched]
        return [
            *self._detectors.step(self.anomaly_states, series, open_us, values[:-1]),
            *self._peg.step(self.anomaly_states, series, open_us, values[-1]),
        ]

    def _watch(self) -> npt.NDArray[np.bool_]:
        """Tell of each series of the indicators whether anomalies are looked for in it."""
        wanted = self._anomaly_intervals
        fresh = self.indicator_states.keys[self._watched.size :]
        flags = [wanted is None or key[2] in wanted for key in fresh]
        self._watched = np.concatenate([self._watched, np.array(flags, np.bool_)])
        return self._watched

    def flush(self) -> list[Anomaly]:
        """End every run, at the end of the input."""
        return [
            *self._detectors.flush(self.anomaly_states),
            *self._peg.flush(self.anomaly_states),
        ]

    def states(self) -> dict[str, KeyedStates]:
        """States to be kept, by kind."""
        return {"indicators": self.indicator_states, "anomalies": self.anomaly_states}
