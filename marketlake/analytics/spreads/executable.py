"""Opportunities on quotes and books: one thing that opens, is updated and closes.

An opportunity is a pair, bought on one venue and sold on another, that leaves more than a minimum
for at least a minimum notional, after fees, slippage and transfer. Its quantity is found by a walk
through both books and those that convert the proceeds: as long as one more unit still pays. It
closes when that ends, or when one of its prices is older than the limit: then at the moment of
expiry, whatever came in between.

State, beside the market's: 88 bytes for each ordered pair of instruments of one base asset in
memory; only open opportunities are kept between batches, 104 bytes each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit

from marketlake.analytics.arrays import Columns, Float64Array, Int64Array
from marketlake.analytics.compiled import LOOP
from marketlake.analytics.depth.market import NEVER_US, Market, TopRows, take_row
from marketlake.analytics.depth.opportunity import CLOSE, SINCE
from marketlake.analytics.depth.terms import Terms
from marketlake.analytics.depth.walk import Walk, new_walk
from marketlake.analytics.spreads.pair import (
    FLOAT_COLUMNS,
    INT_COLUMNS,
    emit_pair,
    may_pay,
    price_pair,
)
from marketlake.analytics.spreads.universe import Universe

_ROWS_AT_FIRST: Final = 65_536


@njit(**LOOP)
def _expire(
    universe: Universe, base: int, pair_start: Int64Array, pairs: Float64Array,
    opened: Int64Array, market: Market, now_us: int, max_age_us: int, count: int,
    out_int: Int64Array, out_float: Float64Array,
) -> int:  # fmt: skip
    first, last = universe.member_start[base], universe.member_start[base + 1]
    # Most moments end here: no price of the base asset is old enough to end anything.
    oldest_us = now_us
    for m in range(first, last):
        quoted_us = market.time_us[universe.members[m]]
        if quoted_us != NEVER_US:
            oldest_us = min(oldest_us, quoted_us)
    if oldest_us + max_age_us >= now_us:
        return count
    for m in range(first, last):
        buy = universe.members[m]
        for n in range(first, last):
            sell = universe.members[n]
            pair = pair_start[base] + (m - first) * (last - first) + (n - first)
            expiry_us = min(market.time_us[buy], market.time_us[sell]) + max_age_us
            if pairs[pair, SINCE] > 0.0 and expiry_us < now_us:
                count = emit_pair(
                    pairs, pair, CLOSE, expiry_us + 1, buy, sell, market, count, out_int, out_float
                )
                pairs[pair, SINCE] = 0.0
                opened[base] -= 1
    return count


@njit(**LOOP)
def _room(universe: Universe, instrument: Int64Array, start: int, stop: int) -> int:
    """Rows that one moment may give at the most."""
    need = 0
    for row in range(start, stop):
        base = universe.base[instrument[row]]
        members = universe.member_start[base + 1] - universe.member_start[base]
        need += 2 * members + members * members
    return need


@njit(**LOOP)
def _price_around(
    universe: Universe, i: int, pair_start: Int64Array, pairs: Float64Array, opened: Int64Array,
    market: Market, now_us: int, terms: Terms, walk: Walk, count: int, out_int: Int64Array,
    out_float: Float64Array,
) -> int:  # fmt: skip
    """Price every pair that an instrument is in."""
    base = universe.base[i]
    first, last = universe.member_start[base], universe.member_start[base + 1]
    own = first
    while universe.members[own] != i:
        own += 1
    for n in range(first, last):
        other = universe.members[n]
        if universe.venue[other] == universe.venue[i]:
            continue
        forth = pair_start[base] + (own - first) * (last - first) + (n - first)
        back = pair_start[base] + (n - first) * (last - first) + (own - first)
        if pairs[forth, SINCE] > 0.0 or may_pay(universe, i, other, market, terms):
            count = price_pair(
                universe, forth, i, other, pairs, opened, market, now_us, terms, walk, count,
                out_int, out_float,
            )  # fmt: skip
        if pairs[back, SINCE] > 0.0 or may_pay(universe, other, i, market, terms):
            count = price_pair(
                universe, back, other, i, pairs, opened, market, now_us, terms, walk, count,
                out_int, out_float,
            )  # fmt: skip
    return count


@njit(**LOOP)
def _scan(
    universe: Universe, pair_start: Int64Array, pairs: Float64Array, opened: Int64Array,
    market: Market, rows: TopRows, terms: Terms, walk: Walk, out_int: Int64Array,
    out_float: Float64Array,
) -> tuple[int, int]:  # fmt: skip
    """Take whole moments until done or until the output is full; rows taken, rows given.

    All quotes of one moment count before any pair is priced: an opportunity has one row a moment.
    """
    at_us, instrument = rows.time_us, rows.instrument
    count, start = 0, 0
    while start < at_us.size:
        now_us, stop = at_us[start], start
        while stop < at_us.size and at_us[stop] == now_us:
            stop += 1
        if count + _room(universe, instrument, start, stop) > out_int.shape[0]:
            return start, count
        for row in range(start, stop):
            base = universe.base[instrument[row]]
            if opened[base] > 0:
                count = _expire(
                    universe, base, pair_start, pairs, opened, market, now_us, terms.max_age_us,
                    count, out_int, out_float,
                )  # fmt: skip
        for row in range(start, stop):
            take_row(market, rows, row)
        for row in range(start, stop):
            i = instrument[row]
            if universe.compared[i]:
                count = _price_around(
                    universe, i, pair_start, pairs, opened, market, now_us, terms, walk, count,
                    out_int, out_float,
                )  # fmt: skip
        start = stop
    return start, count


@njit(**LOOP)
def _expire_all(
    universe: Universe, pair_start: Int64Array, pairs: Float64Array, opened: Int64Array,
    market: Market, watermark_us: int, max_age_us: int, out_int: Int64Array,
    out_float: Float64Array,
) -> int:  # fmt: skip
    count = 0
    for base in range(opened.size):
        if opened[base] > 0:
            count = _expire(
                universe, base, pair_start, pairs, opened, market, watermark_us, max_age_us,
                count, out_int, out_float,
            )  # fmt: skip
    return count


@dataclass
class ExecutableSpreads:
    """Fold over quotes and books in the total order.

    Attributes
    ----------
    market : Market
        What was quoted last; CHANGED IN PLACE.
    pairs : float64[pairs, PAIR_WIDTH]
        Open opportunities; ``pair_start`` gives the first pair of each base asset.
    """

    universe: Universe
    terms: Terms
    market: Market
    pairs: Float64Array

    def __post_init__(self) -> None:
        members = np.diff(self.universe.member_start)
        self._pair_start = np.concatenate([[0], np.cumsum(members**2)]).astype(np.int64)
        self._walk = new_walk()

    def _opened(self) -> Int64Array:
        running = np.concatenate([[0], np.cumsum(self.pairs[:, SINCE] > 0)])
        return np.diff(running[self._pair_start]).astype(np.int64)

    def step(self, rows: TopRows, watermark_us: int) -> Columns:
        """Take rows in order, then let pass all that expires before the watermark.

        Returns
        -------
        Columns
            ``INT_COLUMNS`` and ``FLOAT_COLUMNS``; prices and the rate are averages over the
            quantity, peak and capacity the largest of the opportunity's life so far.
        """
        opened = self._opened()
        width = _ROWS_AT_FIRST
        parts: list[tuple[Int64Array, Float64Array]] = []
        done, every = 0, rows.time_us.size
        while done < every:
            out_int, out_float = _room_for(width)
            taken, count = _scan(
                self.universe, self._pair_start, self.pairs, opened, self.market, rows.after(done),
                self.terms, self._walk, out_int, out_float,
            )  # fmt: skip
            # One moment may give more than the buffer holds; then it needs a larger one.
            width = width if taken else 2 * width
            done += taken
            parts.append((out_int[:count], out_float[:count]))
        out_int, out_float = _room_for(int(opened.sum()))
        count = _expire_all(
            self.universe, self._pair_start, self.pairs, opened, self.market, watermark_us,
            self.terms.max_age_us, out_int, out_float,
        )  # fmt: skip
        parts.append((out_int[:count], out_float[:count]))
        ints = np.concatenate([part[0] for part in parts])
        floats = np.concatenate([part[1] for part in parts])
        return {
            **dict(zip(INT_COLUMNS, np.ascontiguousarray(ints.T), strict=True)),
            **dict(zip(FLOAT_COLUMNS, np.ascontiguousarray(floats.T), strict=True)),
        }


def _room_for(rows: int) -> tuple[Int64Array, Float64Array]:
    return (
        np.empty((rows, len(INT_COLUMNS)), np.int64),
        np.empty((rows, len(FLOAT_COLUMNS))),
    )
