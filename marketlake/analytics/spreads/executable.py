"""Opportunities on quotes: one thing that opens, is updated and closes.

An opportunity is a pair, bought on one venue and sold on another, whose net spread exceeds a
minimum for at least a minimum notional at the best prices. It closes when that ends, or when one
of its quotes is older than the limit: then at the moment of expiry, whatever came in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numba import njit

from marketlake.analytics.arrays import Columns, Float64Array, Int64Array
from marketlake.analytics.compiled import RAW
from marketlake.analytics.spreads.pricing import spread
from marketlake.analytics.spreads.universe import Universe

OPEN, UPDATE, CLOSE = 0, 1, 2
STATUS: Final = ("open", "update", "close")

_SINCE, _PEAK, _RATE, _GROSS, _FEES, _QUANTITY, _BUY_PRICE, _SELL_PRICE = range(8)
PAIR_WIDTH: Final = 8
"""Words of an open opportunity: since (µs), peak net bps, and its figures when last priced."""


@njit(**RAW)
def _emit(
    pairs: Float64Array, pair: int, status: int, now_us: int, buy: int, sell: int,
    buy_time_us: int, sell_time_us: int, count: int, out_int: Int64Array, out_float: Float64Array,
) -> int:  # fmt: skip
    state = pairs[pair]
    out_int[0, count], out_int[1, count] = now_us, status
    out_int[2, count], out_int[3, count] = buy, sell
    out_int[4, count], out_int[5, count] = now_us - buy_time_us, now_us - sell_time_us
    out_int[6, count] = np.int64(state[_SINCE])
    out_float[0, count], out_float[1, count] = state[_BUY_PRICE], state[_SELL_PRICE]
    out_float[2, count], out_float[3, count] = state[_RATE], state[_GROSS]
    out_float[4, count], out_float[5, count] = state[_FEES], state[_QUANTITY]
    return count + 1


@njit(**RAW)
def _expire(
    universe: Universe, base: int, pair_start: Int64Array, pairs: Float64Array,
    opened: Int64Array, time_us: Int64Array, now_us: int, max_age_us: int, count: int,
    out_int: Int64Array, out_float: Float64Array,
) -> int:  # fmt: skip
    first, last = universe.member_start[base], universe.member_start[base + 1]
    for m in range(first, last):
        buy = universe.members[m]
        for n in range(first, last):
            sell = universe.members[n]
            pair = pair_start[base] + (m - first) * (last - first) + (n - first)
            expiry_us = min(time_us[buy], time_us[sell]) + max_age_us
            if pairs[pair, _SINCE] > 0.0 and expiry_us < now_us:
                count = _emit(
                    pairs, pair, CLOSE, expiry_us + 1, buy, sell, time_us[buy], time_us[sell],
                    count, out_int, out_float,
                )  # fmt: skip
                pairs[pair, _SINCE] = 0.0
                opened[base] -= 1
    return count


@njit(**RAW)
def _price_pair(
    universe: Universe, pair: int, buy: int, sell: int, pairs: Float64Array, opened: Int64Array,
    bid: Float64Array, bid_quantity: Float64Array, ask: Float64Array, ask_quantity: Float64Array,
    time_us: Int64Array, now_us: int, max_age_us: int, min_net_bps: float, min_notional: float,
    count: int, out_int: Int64Array, out_float: Float64Array,
) -> int:  # fmt: skip
    rate, gross_bps, fees_bps = spread(universe, buy, sell, bid, ask, time_us, now_us, max_age_us)
    state = pairs[pair]
    quantity = min(ask_quantity[buy], bid_quantity[sell])
    net_bps = gross_bps - fees_bps
    pays = rate > 0.0 and net_bps > min_net_bps and quantity * ask[buy] >= min_notional
    was_open = state[_SINCE] > 0.0
    if not pays and not was_open:
        return count
    if rate > 0.0:
        state[_RATE], state[_GROSS], state[_FEES] = rate, gross_bps, fees_bps
        state[_QUANTITY], state[_BUY_PRICE], state[_SELL_PRICE] = quantity, ask[buy], bid[sell]
    if not was_open:
        state[_SINCE], state[_PEAK] = now_us, net_bps
        opened[universe.base[buy]] += 1
        status = OPEN
    elif not pays:
        status = CLOSE
    elif net_bps > state[_PEAK]:
        state[_PEAK] = net_bps
        status = UPDATE
    else:
        return count
    count = _emit(
        pairs, pair, status, now_us, buy, sell, time_us[buy], time_us[sell], count, out_int,
        out_float,
    )  # fmt: skip
    if status == CLOSE:
        state[_SINCE] = 0.0
        opened[universe.base[buy]] -= 1
    return count


@njit(**RAW)
def _room(universe: Universe, instrument: Int64Array, start: int, stop: int) -> int:
    """Rows that one moment may give at the most."""
    need = 0
    for row in range(start, stop):
        base = universe.base[instrument[row]]
        members = universe.member_start[base + 1] - universe.member_start[base]
        need += 2 * members + members * members
    return need


@njit(**RAW)
def _price_around(
    universe: Universe, i: int, pair_start: Int64Array, pairs: Float64Array, opened: Int64Array,
    bid: Float64Array, bid_quantity: Float64Array, ask: Float64Array, ask_quantity: Float64Array,
    time_us: Int64Array, now_us: int, max_age_us: int, min_net_bps: float, min_notional: float,
    count: int, out_int: Int64Array, out_float: Float64Array,
) -> int:  # fmt: skip
    """Price every pair that an instrument is in."""
    base = universe.base[i]
    first, last = universe.member_start[base], universe.member_start[base + 1]
    own = first
    while universe.members[own] != i:
        own += 1
    for n in range(first, last):
        other = universe.members[n]
        if other == i:
            continue
        forth = pair_start[base] + (own - first) * (last - first) + (n - first)
        back = pair_start[base] + (n - first) * (last - first) + (own - first)
        count = _price_pair(
            universe, forth, i, other, pairs, opened, bid, bid_quantity, ask, ask_quantity,
            time_us, now_us, max_age_us, min_net_bps, min_notional, count, out_int, out_float,
        )  # fmt: skip
        count = _price_pair(
            universe, back, other, i, pairs, opened, bid, bid_quantity, ask, ask_quantity,
            time_us, now_us, max_age_us, min_net_bps, min_notional, count, out_int, out_float,
        )  # fmt: skip
    return count


@njit(**RAW)
def _scan(
    universe: Universe, pair_start: Int64Array, pairs: Float64Array, opened: Int64Array,
    bid: Float64Array, bid_quantity: Float64Array, ask: Float64Array, ask_quantity: Float64Array,
    time_us: Int64Array, rows: tuple[Any, ...], max_age_us: int, min_net_bps: float,
    min_notional: float, out_int: Int64Array, out_float: Float64Array,
) -> tuple[int, int]:  # fmt: skip
    """Take whole moments until done or until the output is full; rows taken, rows given.

    All quotes of one moment count before any pair is priced: an opportunity has one row a moment.
    """
    at_us, instrument, row_bid, row_bid_quantity, row_ask, row_ask_quantity = rows
    count, start = 0, 0
    while start < at_us.size:
        now_us, stop = at_us[start], start
        while stop < at_us.size and at_us[stop] == now_us:
            stop += 1
        if count + _room(universe, instrument, start, stop) > out_int.shape[1]:
            return start, count
        for row in range(start, stop):
            base = universe.base[instrument[row]]
            if opened[base] > 0:
                count = _expire(
                    universe, base, pair_start, pairs, opened, time_us, now_us, max_age_us, count,
                    out_int, out_float,
                )  # fmt: skip
        for row in range(start, stop):
            i = instrument[row]
            bid[i], bid_quantity[i] = row_bid[row], row_bid_quantity[row]
            ask[i], ask_quantity[i] = row_ask[row], row_ask_quantity[row]
            time_us[i] = now_us
        for row in range(start, stop):
            i = instrument[row]
            if universe.compared[i]:
                count = _price_around(
                    universe, i, pair_start, pairs, opened, bid, bid_quantity, ask, ask_quantity,
                    time_us, now_us, max_age_us, min_net_bps, min_notional, count, out_int,
                    out_float,
                )  # fmt: skip
        start = stop
    return start, count


@njit(**RAW)
def _expire_all(
    universe: Universe, pair_start: Int64Array, pairs: Float64Array, opened: Int64Array,
    time_us: Int64Array, watermark_us: int, max_age_us: int, out_int: Int64Array,
    out_float: Float64Array,
) -> int:  # fmt: skip
    count = 0
    for base in range(opened.size):
        if opened[base] > 0:
            count = _expire(
                universe, base, pair_start, pairs, opened, time_us, watermark_us, max_age_us,
                count, out_int, out_float,
            )  # fmt: skip
    return count


@dataclass
class ExecutableSpreads:
    """Fold over best bids and asks in the total order.

    Attributes
    ----------
    tops : float64[4, n]
        Last bid price and size, ask price and size of each instrument; NaN before any.
    time_us : int64[n]
        When they were quoted.
    pairs : float64[pairs, PAIR_WIDTH]
        Open opportunities; ``pair_start`` gives the first pair of each base asset.
    """

    universe: Universe
    max_age_us: int
    min_net_bps: float
    min_notional: float
    tops: Float64Array
    time_us: Int64Array
    pairs: Float64Array

    def __post_init__(self) -> None:
        members = np.diff(self.universe.member_start)
        self._pair_start = np.concatenate([[0], np.cumsum(members**2)]).astype(np.int64)

    def _opened(self) -> Int64Array:
        running = np.concatenate([[0], np.cumsum(self.pairs[:, _SINCE] > 0)])
        return np.diff(running[self._pair_start]).astype(np.int64)

    def step(self, rows: Columns, watermark_us: int) -> Columns:
        """Take tops in order, then let pass all that expires before the watermark."""
        names = ("time_us", "instrument", "bid_price", "bid_quantity", "ask_price", "ask_quantity")
        columns = [rows[name] for name in names]
        opened = self._opened()
        width = 65_536
        parts: list[tuple[Int64Array, Float64Array]] = []
        done, total = 0, rows["time_us"].size
        while done < total:
            out_int, out_float = np.empty((7, width), np.int64), np.empty((6, width), np.float64)
            taken, count = _scan(
                self.universe, self._pair_start, self.pairs, opened, *self.tops, self.time_us,
                tuple(column[done:] for column in columns), self.max_age_us, self.min_net_bps,
                self.min_notional, out_int, out_float,
            )  # fmt: skip
            # One moment may give more than the buffer holds; then it needs a larger one.
            width = width if taken else 2 * width
            done += taken
            parts.append((out_int[:, :count], out_float[:, :count]))
        still_open = int(opened.sum())
        out_int = np.empty((7, still_open), np.int64)
        out_float = np.empty((6, still_open), np.float64)
        count = _expire_all(
            self.universe, self._pair_start, self.pairs, opened, self.time_us, watermark_us,
            self.max_age_us, out_int, out_float,
        )  # fmt: skip
        parts.append((out_int[:, :count], out_float[:, :count]))
        ints = np.concatenate([part[0] for part in parts], axis=1)
        floats = np.concatenate([part[1] for part in parts], axis=1)
        int_names = ("time_us", "status", "buy", "sell", "buy_age_us", "sell_age_us", "since_us")
        float_names = (
            "buy_price", "sell_price", "conversion_rate", "gross_bps", "fees_bps", "quantity",
        )  # fmt: skip
        return {
            **dict(zip(int_names, ints, strict=True)),
            **dict(zip(float_names, floats, strict=True)),
        }
