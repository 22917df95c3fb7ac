"""What trades, or quotes, of an instrument say a bar: the kernels of microstructure, sampled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from marketlake.analytics.arrays import Columns, Int64Array, row_count
from marketlake.analytics.indicators.bank import IndicatorBank
from marketlake.analytics.indicators.base import RowKernel
from marketlake.analytics.keyed import KeyedStates
from marketlake.analytics.microstructure.registry import QUOTES, TRADES
from marketlake.analytics.microstructure.samples import Samples, WindowMeans
from marketlake.contracts.events import INTERVAL_US
from streaming.stages.catalog import InstrumentCatalog
from streaming.stages.series_rows import instrument_rows

KIND: Final = "microstructure"

_SUMS: Final = {"order_flow_imbalance_1": "order_flow_imbalance"}
"""Outputs whose sum over the bar is told in place of the mean, and the column it has."""


@dataclass(frozen=True)
class Feed:
    """A feed: the kernels that take its rows, and the columns they fill."""

    kernels: tuple[RowKernel, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of ``gold/microstructure``, an output each."""
        return tuple(_SUMS.get(name, name) for name in IndicatorBank(self.kernels).columns)


FEED_OF_TRADES: Final = Feed(TRADES)
FEED_OF_QUOTES: Final = Feed(QUOTES)


class Microstructure:
    """The kernels of one feed over the rows of all instruments of a lane.

    Parameters
    ----------
    interval : str
        Length of the bars: ``1m``.
    """

    def __init__(self, feed: Feed, catalog: InstrumentCatalog, interval: str) -> None:
        self._bank = IndicatorBank(feed.kernels)
        self._columns = feed.columns
        self._means = WindowMeans(INTERVAL_US[interval], len(self._columns))
        self._states = KeyedStates({"bank": self._bank.initial(), "sample": self._means.initial()})
        self._rows = instrument_rows(self._states, catalog, interval)

    def step(self, rows: Columns, watermark_us: int) -> Columns:
        """Take rows in time order, then close the bars that the watermark has passed.

        Returns
        -------
        Columns
            A row a bar that something was told of: ``instrument`` (catalog code), ``open_time_us``,
            ``rows`` and the columns of the feed, NaN where unknown.
        """
        closed = []
        if row_count(rows):
            series = self._rows.rows(rows["instrument"])
            values = self._bank.step(self._states.matrix("bank"), series, rows)
            states = self._states.matrix("sample")
            closed.append(self._means.step(states, series, rows["time_us"], values))
        closed.append(self._means.advance(self._states.matrix("sample"), watermark_us))
        return self._bars([part for part in closed if part.series.size])

    def _bars(self, parts: list[Samples]) -> Columns:
        if not parts:
            return {}
        count = np.concatenate([part.count for part in parts], axis=1)
        # The first kernel of a feed tells something of every row that is sound.
        told = count[0] > 0
        total = np.concatenate([part.total for part in parts], axis=1)
        mean = np.concatenate([part.mean for part in parts], axis=1)
        series: Int64Array = np.concatenate([part.series for part in parts])
        bars: Columns = {
            "instrument": self._rows.codes()[series],
            "open_time_us": np.concatenate([part.open_time_us for part in parts]),
            "rows": count[0],
        }
        for i, name in enumerate(self._columns):
            sums = name in _SUMS.values()
            bars[name] = np.where(count[i] > 0, total[i], np.nan) if sums else mean[i]
        return {name: column[told] for name, column in bars.items()} if told.any() else {}

    def states(self) -> dict[str, KeyedStates]:
        """States to be kept, by kind."""
        return {KIND: self._states}
