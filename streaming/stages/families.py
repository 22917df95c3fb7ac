"""Step one by event type: what becomes of the admitted rows of an input, in time order.

Each family takes rows that the watermark has released and gives closed bars with their
indicators, anomalies, and the events that step two merges across inputs.
"""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np

from marketlake.analytics.arrays import Columns, concat, row_count
from marketlake.analytics.bars import ClosedBars, RollupBars, TimeBars
from marketlake.analytics.keyed import Key, KeyedStates
from marketlake.contracts.events import INTERVAL_US, EventType
from marketlake.settings.model import Settings
from streaming.stages.catalog import InstrumentCatalog
from streaming.stages.detectors import Anomaly
from streaming.stages.fold_output import BAR_VALUES, INTERVALS, FoldOutput
from streaming.stages.indicators import bank_of
from streaming.stages.microstructure import FEED_OF_TRADES, Microstructure
from streaming.stages.series_folds import SeriesFolds
from streaming.stages.series_rows import SeriesRows, instrument_rows
from streaming.stages.top_family import BookFamily, TopFamily


class Family(Protocol):
    """The folds of one event type."""

    def step(self, rows: Columns, watermark_us: int) -> FoldOutput:
        """Take rows in time order, all before the watermark, then advance to it."""

    def flush(self) -> list[Anomaly]:
        """End what is open, at the end of the input."""

    def states(self) -> dict[str, KeyedStates]:
        """States to be kept, by kind."""


class TradeFamily:
    """Trades: bars of each interval, then indicators and anomalies on them."""

    origin: Final = "trades"

    def __init__(self, catalog: InstrumentCatalog, settings: Settings) -> None:
        self._intervals = settings.bars.intervals
        self._finest = TimeBars(INTERVAL_US[self._intervals[0]])
        self._rollups = [RollupBars(INTERVAL_US[i]) for i in self._intervals[1:]]
        kernels = (self._finest, *self._rollups)
        self._bars = KeyedStates(
            {i: k.initial() for i, k in zip(self._intervals, kernels, strict=True)}
        )
        self._rows = instrument_rows(self._bars, catalog)
        self._micro = Microstructure(FEED_OF_TRADES, catalog, settings.microstructure.interval)
        self._series = BarSeries(
            SeriesFolds(
                bank_of(settings.indicators),
                self.origin,
                settings.anomalies,
                settings.bars.anomaly_intervals,
            ),
            catalog,
        )

    def step(self, rows: Columns, watermark_us: int) -> FoldOutput:
        """Take trades: ``time_us``, ``instrument``, ``price``, ``quantity``, ``side``."""
        finest = self._intervals[0]
        if row_count(rows):
            series = self._rows.rows(rows["instrument"])
            closed = [
                self._finest.step(
                    self._bars.matrix(finest),
                    series,
                    rows["time_us"],
                    rows["price"],
                    rows["quantity"],
                )
            ]
        else:
            closed = []
        closed.append(self._finest.advance(self._bars.matrix(finest), watermark_us))
        bars = _join(closed)
        parts = [self._named(bars, finest)]
        for interval, rollup in zip(self._intervals[1:], self._rollups, strict=True):
            matrix = self._bars.matrix(interval)
            finer = (bars.series, bars.open_time_us, *(getattr(bars, n) for n in BAR_VALUES))
            bars = _join([rollup.step(matrix, *finer), rollup.advance(matrix, watermark_us)])
            parts.append(self._named(bars, interval))
        output = self._series.step(concat(parts))
        output.microstructure = self._micro.step(rows, watermark_us)
        return output

    def _named(self, bars: ClosedBars, interval: str) -> Columns:
        return {
            "instrument": self._rows.codes()[bars.series],
            "interval": np.full(bars.series.size, INTERVALS.index(interval), np.int64),
            "open_time_us": bars.open_time_us,
            **{name: getattr(bars, name) for name in BAR_VALUES},
        }

    def flush(self) -> list[Anomaly]:
        """End open runs."""
        return self._series.flush()

    def states(self) -> dict[str, KeyedStates]:
        """States to be kept, by kind."""
        return {"bars": self._bars, **self._series.states(), **self._micro.states()}


class BarFamily:
    """Published bars: indicators and anomalies on them as they are."""

    origin: Final = "venue"

    def __init__(self, catalog: InstrumentCatalog, settings: Settings) -> None:
        bank = bank_of(settings.indicators)
        self._series = BarSeries(SeriesFolds(bank, self.origin, settings.anomalies, None), catalog)

    def step(self, rows: Columns, watermark_us: int) -> FoldOutput:  # noqa: ARG002
        """Take bars; they are closed as they come, so the watermark changes nothing."""
        if not row_count(rows):
            return FoldOutput()
        bars = {
            name: rows[name] for name in ("instrument", "interval", "open_time_us", *BAR_VALUES)
        }
        return self._series.step(bars)

    def flush(self) -> list[Anomaly]:
        """End open runs."""
        return self._series.flush()

    def states(self) -> dict[str, KeyedStates]:
        """States to be kept, by kind."""
        return self._series.states()


FAMILIES: Final[dict[EventType, type[TradeFamily | BarFamily | TopFamily]]] = {
    "trade": TradeFamily,
    "bar": BarFamily,
    "quote": TopFamily,
    "book": BookFamily,
}


def _join(parts: list[ClosedBars]) -> ClosedBars:
    return ClosedBars(
        **{
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("series", "open_time_us", *BAR_VALUES)
        }
    )


class BarSeries:
    """Closed bars by catalog code, brought to the folds of their series."""

    def __init__(self, folds: SeriesFolds, catalog: InstrumentCatalog) -> None:
        self._folds, self._catalog = folds, catalog
        self._rows = SeriesRows(folds.indicator_states, self._key_of, self._pair_of)

    def _key_of(self, pair: int) -> Key:
        instrument = self._catalog.instruments[pair // len(INTERVALS)]
        return instrument.venue, instrument.instrument, INTERVALS[pair % len(INTERVALS)]

    def _pair_of(self, key: Key) -> int:
        venue, instrument, interval = key
        code = self._catalog.code(venue, instrument)
        return code * len(INTERVALS) + INTERVALS.index(interval)

    def step(self, bars: Columns) -> FoldOutput:
        """Take closed bars, in time order a series."""
        if not row_count(bars):
            return FoldOutput()
        series = self._rows.rows(bars["instrument"] * len(INTERVALS) + bars["interval"])
        indicators, anomalies = self._folds.step({**bars, "series": series})
        return FoldOutput(bars, indicators, anomalies)

    def flush(self) -> list[Anomaly]:
        """End open runs."""
        return self._folds.flush()

    def states(self) -> dict[str, KeyedStates]:
        """States to be kept, by kind."""
        return self._folds.states()
