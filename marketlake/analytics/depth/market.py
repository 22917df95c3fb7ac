"""The last known market: best prices of each instrument, and the levels behind them.

A quote says what the best prices are; a book says it too, and what stands behind. After a quote
the levels of the last book still count where they are worse than the quote's price, for as long
as that book is not too old: what was better has been traded away or taken back.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numba import njit

from marketlake.analytics.arrays import Columns, Float64Array, Int64Array, row_count
from marketlake.analytics.compiled import LOOP

NEVER_US: Final = -(2**62)
"""Time of an instrument that was not quoted yet: older than any limit."""
NO_TRANSIT_US: Final = -(2**62)
"""Transit of a quote whose time of reception is not known."""
NO_BOOK: Final = -1

BID, BID_QUANTITY, ASK, ASK_QUANTITY = range(4)


class Market(NamedTuple):
    """Arrays over ``n`` instruments: 56 bytes each, and ``32 * depth`` once any has a book.

    Attributes
    ----------
    bid, bid_quantity, ask, ask_quantity : float64[n]
        Best prices and their sizes; NaN before any, and for a side that is empty.
    time_us : int64[n]
        When they were quoted, ``NEVER_US`` before any.
    transit_us : int64[n]
        Reception less event time of that quote, ``NO_TRANSIT_US`` where not known.
    book_us : int64[n]
        When the levels were published, ``NEVER_US`` before any.
    levels : float64[n, 4, depth]
        Bid prices, their sizes, ask prices, their sizes, best first, NaN behind the last; no
        rows at all while no instrument has had a book.
    """

    bid: Float64Array
    bid_quantity: Float64Array
    ask: Float64Array
    ask_quantity: Float64Array
    time_us: Int64Array
    transit_us: Int64Array
    book_us: Int64Array
    levels: Float64Array

    @property
    def size(self) -> int:
        """Number of instruments."""
        return int(self.time_us.size)

    def copy(self) -> Market:
        """Copy every array."""
        return Market._make(array.copy() for array in self)

    def with_levels(self) -> Market:
        """Make room for books."""
        if self.levels.shape[0] == self.size:
            return self
        return self._replace(levels=np.full((self.size, *self.levels.shape[1:]), np.nan))

    def moved(self, places: Int64Array, size: int) -> Market:
        """Make room for more instruments; ``places`` says where the known ones stand now."""
        wider = empty_market(size, self.levels.shape[2])
        if self.levels.shape[0]:
            wider = wider.with_levels()
        for old, new in zip(self, wider, strict=True):
            if old.shape[0]:
                new[places] = old
        return wider


def empty_market(size: int, depth: int) -> Market:
    """Give a market in which nothing was quoted."""
    prices = [np.full(size, np.nan) for _ in range(4)]
    times = [np.full(size, NEVER_US), np.full(size, NO_TRANSIT_US), np.full(size, NEVER_US)]
    return Market._make((*prices, *times, np.full((0, 4, depth), np.nan)))


class TopRows(NamedTuple):
    """Quotes and books in the total order, ``n`` rows.

    Attributes
    ----------
    time_us, instrument : int64[n]
    bid, bid_quantity, ask, ask_quantity : float64[n]
    transit_us : int64[n]
    book : int64[n]
        Row of ``levels``, or ``NO_BOOK`` for a quote.
    levels : float64[books, 4, depth]
    """

    time_us: Int64Array
    instrument: Int64Array
    bid: Float64Array
    bid_quantity: Float64Array
    ask: Float64Array
    ask_quantity: Float64Array
    transit_us: Int64Array
    book: Int64Array
    levels: Float64Array

    def after(self, start: int) -> TopRows:
        """Leave out the first rows."""
        return TopRows._make((*(column[start:] for column in self[:-1]), self.levels))


_NAMES: Final = (
    "time_us", "instrument", "bid_price", "bid_quantity", "ask_price", "ask_quantity",
)  # fmt: skip


def top_rows(columns: Columns, depth: int) -> TopRows:
    """Take rows by column; ``transit_us``, ``book`` and ``levels`` may be absent."""
    n = row_count(columns)
    if not n:
        none, numbers = np.empty(0, np.int64), np.empty(0)
        empty = (none, none, numbers, numbers, numbers, numbers, none, none)
        return TopRows(*empty, np.empty((0, 4, depth)))
    absent = {
        "transit_us": np.full(n, NO_TRANSIT_US) if "transit_us" not in columns else None,
        "book": np.full(n, NO_BOOK) if "book" not in columns else None,
        "levels": np.empty((0, 4, depth)) if "levels" not in columns else None,
    }
    rest = [columns[name] if array is None else array for name, array in absent.items()]
    return TopRows._make((*(columns[name] for name in _NAMES), *rest))


@njit(**LOOP)
def take_row(market: Market, rows: TopRows, row: int) -> None:
    """Let a quote or a book change the market."""
    i, now_us, book = rows.instrument[row], rows.time_us[row], rows.book[row]
    market.bid[i], market.bid_quantity[i] = rows.bid[row], rows.bid_quantity[row]
    market.ask[i], market.ask_quantity[i] = rows.ask[row], rows.ask_quantity[row]
    market.time_us[i], market.transit_us[i] = now_us, rows.transit_us[row]
    if book >= 0:
        market.book_us[i] = now_us
        for side in range(4):
            for level in range(rows.levels.shape[2]):
                market.levels[i, side, level] = rows.levels[book, side, level]


@njit(**LOOP)
def in_step(market: Market, legs: Int64Array, count: int, max_skew_us: int) -> bool:
    """Tell whether the clocks and the ways of some legs' venues agree well enough.

    Reception less event time holds the way and how far the venue's clock is off. Where it
    differs by more than the limit, quotes of one event time were not there at one time.
    A leg whose time of reception is not known does not count.
    """
    least, most = NO_TRANSIT_US, NO_TRANSIT_US
    for k in range(count):
        transit_us = market.transit_us[legs[k] >> 1]
        if transit_us == NO_TRANSIT_US:
            continue
        if least == NO_TRANSIT_US:
            least = most = transit_us
        least, most = min(least, transit_us), max(most, transit_us)
    return most - least <= max_skew_us
