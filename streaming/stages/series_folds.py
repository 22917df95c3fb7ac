"""What is computed on closed bars of one series: indicators, and anomalies a metric."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from marketlake.analytics.arrays import Columns, Float64Array, row_count
from marketlake.analytics.bar_metrics import BarMetrics
from marketlake.analytics.indicators.bank import IndicatorBank
from marketlake.analytics.keyed import KeyedStates
from marketlake.settings.model import AnomalySettings
from streaming.stages.detectors import Anomaly, MetricDetectors, Origin, PegDetector
from streaming.stages.series_rows import SeriesRows


class SeriesFolds:
    """Indicators and anomalies of all bar series of one input.

    Parameters
    ----------
    bank : IndicatorBank
        The indicators.
    origin : str
        ``trades`` for bars built here, ``venue`` for published ones.
    anomaly_intervals : tuple of str or None
        Intervals on which anomalies are looked for; None for all.
    """

    def __init__(
        self,
        bank: IndicatorBank,
        origin: Origin,
        settings: AnomalySettings,
        anomaly_intervals: tuple[str, ...] | None,
    ) -> None:
        self._bank = bank
        self._metrics = BarMetrics()
        self._detectors = MetricDetectors(self._metrics.outputs[:-1], origin, settings)
        self._peg = PegDetector(origin)
        self._anomaly_intervals = anomaly_intervals
        self.indicator_states = KeyedStates({"bank": bank.initial()})
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
        indicators = self._bank.step(
            self.indicator_states.matrix("bank"),
            bars["series"],
            {name: inputs[name] for name in self._bank.inputs},
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
