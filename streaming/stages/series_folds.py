"""What is computed on closed bars of one series: indicators, and anomalies a metric."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

import numpy as np

from marketlake.analytics.anomalies.rolling_zscore import RollingZScore
from marketlake.analytics.anomalies.runs import ExceedanceRuns, RunEvents, severity
from marketlake.analytics.arrays import Columns, Float64Array, Int64Array, row_count
from marketlake.analytics.bar_metrics import BarMetrics
from marketlake.analytics.indicators.bank import IndicatorBank
from marketlake.analytics.keyed import KeyedStates
from marketlake.contracts.events import INTERVAL_US
from marketlake.settings.model import AnomalySettings

Origin = str

BANK: Final = IndicatorBank()


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
        self._zscore = RollingZScore(settings.window_bars, settings.min_bars)
        self._runs = ExceedanceRuns(
            settings.enter_score, settings.exit_score, settings.max_run_bars
        )
        self._name = f"zscore_{settings.window_bars}"

    def blocks(self) -> dict[str, Float64Array]:
        """Blocks of state, a window and a run a metric."""
        return {
            f"{metric}.{part}": kernel.initial()
            for metric in self.metrics
            for part, kernel in (("window", self._zscore), ("run", self._runs))
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
            score, expected, scale = self._zscore.step(
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
                    f"{self._name}:{self._origin}:{interval}",
                    int(runs.start_us[i]),
                    int(runs.end_us[i]) + INTERVAL_US[interval],
                    float(runs.value[i]),
                    float(runs.expected[i]),
                    float(runs.scale[i]),
                    score,
                    str(severities[i]),
                    "spike_up" if score > 0 else "spike_down",
                    json.dumps({"bars": int(runs.bars[i]), "origin": self._origin}),
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
        self._detectors = MetricDetectors(self._metrics.outputs, origin, settings)
        self._anomaly_intervals = anomaly_intervals
        self.indicator_states = KeyedStates({"bank": BANK.initial()})
        self.anomaly_states = KeyedStates(
            {"metrics": self._metrics.initial(), **self._detectors.blocks()}
        )

    def series(self, venue: str, instrument: str, interval: str) -> int:
        """Row of a series in the indicator states."""
        return self.indicator_states.index((venue, instrument, interval))

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
        keys = self.indicator_states.keys
        rows = np.full(len(keys), -1, np.int64)
        for series in np.unique(bars["series"]):
            key = keys[int(series)]
            if self._anomaly_intervals is None or key[2] in self._anomaly_intervals:
                rows[series] = self.anomaly_states.index(key)
        watched = rows[bars["series"]] >= 0
        if not watched.any():
            return []
        series = rows[bars["series"][watched]]
        values = self._metrics.step(
            self.anomaly_states.matrix("metrics"),
            series,
            *(bars[name][watched] for name in self._metrics.inputs),
        )
        return self._detectors.step(
            self.anomaly_states, series, bars["open_time_us"][watched], values
        )

    def flush(self) -> list[Anomaly]:
        """End every run, at the end of the input."""
        return self._detectors.flush(self.anomaly_states)

    def states(self) -> dict[str, KeyedStates]:
        """States to be kept, by kind."""
        return {"indicators": self.indicator_states, "anomalies": self.anomaly_states}
