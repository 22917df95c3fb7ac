"""Ways round a venue that pay: an opportunity opens, is updated at a new peak, and closes.

A cycle is looked at when one of its instruments is quoted. Its quantity is what may go round
through all books as long as one more unit still pays, in units of the asset it begins with.
Nothing is sent between venues, so that fees and the slippage allowance of each leg are all costs.

State, beside the market's: 56 bytes a direction of a cycle in memory and 72 to find it, 16 an
instrument for prices as factors; only open opportunities are kept between batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit

from marketlake.analytics.arrays import Columns, Float64Array, Int64Array
from marketlake.analytics.compiled import LOOP
from marketlake.analytics.depth.market import Market, TopRows, in_step, take_row
from marketlake.analytics.depth.opportunity import (
    CAPACITY,
    CLOSE,
    NOTHING,
    OWN_WORDS,
    PEAK,
    SINCE,
    live_on,
)
from marketlake.analytics.depth.terms import Terms
from marketlake.analytics.depth.walk import (
    BPS,
    BUY,
    GOT,
    GROSS,
    REACH,
    SELL,
    SPENT,
    Walk,
    new_walk,
    total,
    walk_chain,
)
from marketlake.analytics.triangles.cycles import CycleArrays

_GROSS, _FEES, _COSTS, _QUANTITY = range(OWN_WORDS, OWN_WORDS + 4)
CYCLE_WIDTH: Final = OWN_WORDS + 4
"""Words of an opportunity: those of all, and its figures when last priced."""

INT_COLUMNS: Final = ("time_us", "status", "cycle", "oldest_age_us", "since_us")
FLOAT_COLUMNS: Final = (
    "gross_bps", "fees_bps", "costs_bps", "quantity", "peak_net_bps", "capacity",
)  # fmt: skip
_ROWS_AT_FIRST: Final = 16_384
_LATER_US: Final = 2**62
"""Later than any time."""


@njit(**LOOP)
def _oldest_us(cycles: CycleArrays, c: int, market: Market) -> int:
    oldest_us = market.time_us[cycles.legs[c, 0] >> 1]
    for k in range(1, cycles.length[c]):
        oldest_us = min(oldest_us, market.time_us[cycles.legs[c, k] >> 1])
    return oldest_us


@njit(**LOOP)
def _emit(
    states: Float64Array, c: int, status: int, now_us: int, oldest_us: int, count: int,
    out_int: Int64Array, out_float: Float64Array,
) -> int:  # fmt: skip
    state = states[c]
    out_int[count, 0], out_int[count, 1], out_int[count, 2] = now_us, status, c
    out_int[count, 3], out_int[count, 4] = now_us - oldest_us, np.int64(state[SINCE])
    out_float[count, 0], out_float[count, 1] = state[_GROSS], state[_FEES]
    out_float[count, 2], out_float[count, 3] = state[_COSTS], state[_QUANTITY]
    out_float[count, 4], out_float[count, 5] = state[PEAK], state[CAPACITY]
    return count + 1


@njit(**LOOP)
def _expire(
    cycles: CycleArrays, states: Float64Array, market: Market, now_us: int, max_age_us: int,
    count: int, out_int: Int64Array, out_float: Float64Array,
) -> tuple[int, int]:  # fmt: skip
    """Close what is too old; rows given, and the earliest expiry of what stays open."""
    next_us = _LATER_US
    for c in range(states.shape[0]):
        if states[c, SINCE] > 0.0:
            oldest_us = _oldest_us(cycles, c, market)
            expiry_us = oldest_us + max_age_us
            if expiry_us < now_us:
                count = _emit(states, c, CLOSE, expiry_us + 1, oldest_us, count, out_int, out_float)
                states[c, SINCE] = 0.0
            else:
                next_us = min(next_us, expiry_us)
    return count, next_us


@njit(**LOOP)
def _judge(
    cycles: CycleArrays, c: int, states: Float64Array, market: Market, now_us: int, oldest_us: int,
    terms: Terms, smallest: float, walk: Walk, count: int, out_int: Int64Array,
    out_float: Float64Array,
) -> int:  # fmt: skip
    """Price a cycle whose best prices seem to pay, or that is open."""
    state, length = states[c], cycles.length[c]
    pays = now_us - oldest_us <= terms.max_age_us
    for k in range(length):
        leg = cycles.legs[c, k]
        walk.legs[k] = leg
        price = market.ask[leg >> 1] if leg & 1 == BUY else market.bid[leg >> 1]
        pays &= price > 0.0
    if pays:
        costs_bps = length * terms.slippage_bps
        steps = walk_chain(
            market, walk, length, now_us, terms.max_age_us, cycles.fees_bps[c] + costs_bps,
            terms.min_net_bps,
        )  # fmt: skip
        gross_bps, quantity = total(walk, GROSS), total(walk, SPENT)
        if steps > 1:
            gross_bps = (total(walk, GOT) / quantity - 1.0) * BPS
        elif steps == 0:
            leg = cycles.legs[c, 0]
            i = leg >> 1
            reach = total(walk, REACH)
            quantity = reach * market.ask[i] if leg & 1 == BUY else reach / market.bid[i]
        state[_GROSS], state[_FEES], state[_COSTS] = gross_bps, cycles.fees_bps[c], costs_bps
        state[_QUANTITY] = quantity
        pays = steps > 0 and quantity >= smallest
        pays &= in_step(market, walk.legs, length, terms.max_skew_us)
    net_bps = state[_GROSS] - state[_FEES] - state[_COSTS]
    status = live_on(state, now_us, net_bps, state[_QUANTITY], pays)
    if status != NOTHING:
        count = _emit(states, c, status, now_us, oldest_us, count, out_int, out_float)
    if status == CLOSE:
        state[SINCE] = 0.0
    return count


@njit(**LOOP)
def _judge_around(
    cycles: CycleArrays, i: int, states: Float64Array, factors: Float64Array, least: Float64Array,
    market: Market, now_us: int, terms: Terms, smallest: Float64Array, walk: Walk, next_us: int,
    count: int, out_int: Int64Array, out_float: Float64Array,
) -> tuple[int, int]:  # fmt: skip
    """Look at every cycle that holds an instrument; rows given, and when one may expire."""
    for t in range(cycles.touch_start[i], cycles.touch_start[i + 1]):
        c = cycles.touch[t]
        product = factors[cycles.legs[c, 0]]
        for k in range(1, cycles.length[c]):
            product *= factors[cycles.legs[c, k]]
        if not product > least[c] and states[c, SINCE] == 0.0:
            continue
        oldest_us = _oldest_us(cycles, c, market)
        count = _judge(
            cycles, c, states, market, now_us, oldest_us, terms, smallest[c], walk, count, out_int,
            out_float,
        )  # fmt: skip
        if states[c, SINCE] > 0.0:
            next_us = min(next_us, oldest_us + terms.max_age_us)
    return count, next_us


@njit(**LOOP)
def _scan(
    cycles: CycleArrays, states: Float64Array, factors: Float64Array, least: Float64Array,
    market: Market, rows: TopRows, terms: Terms, smallest: Float64Array, walk: Walk, next_us: int,
    out_int: Int64Array, out_float: Float64Array,
) -> tuple[int, int, int]:  # fmt: skip
    """Take whole moments until done or until the output is full.

    Returns rows taken, rows given, and the earliest time at which anything open may expire.
    """
    count, start = 0, 0
    while start < rows.time_us.size:
        now_us, stop, need = rows.time_us[start], start, states.shape[0]
        while stop < rows.time_us.size and rows.time_us[stop] == now_us:
            i = rows.instrument[stop]
            need += cycles.touch_start[i + 1] - cycles.touch_start[i]
            stop += 1
        if count + need > out_int.shape[0]:
            return start, count, next_us
        if now_us > next_us:
            count, next_us = _expire(
                cycles, states, market, now_us, terms.max_age_us, count, out_int, out_float
            )
        for row in range(start, stop):
            take_row(market, rows, row)
            i = rows.instrument[row]
            factors[2 * i], factors[2 * i + 1] = market.bid[i], 1.0 / market.ask[i]
        for row in range(start, stop):
            count, next_us = _judge_around(
                cycles, rows.instrument[row], states, factors, least, market, now_us, terms,
                smallest, walk, next_us, count, out_int, out_float,
            )  # fmt: skip
        start = stop
    return start, count, next_us


@dataclass
class ExecutableTriangles:
    """Fold over quotes and books in the total order.

    Attributes
    ----------
    smallest : float64[c]
        Smallest notional of each cycle, in the asset it begins with.
    market : Market
        What was quoted last; CHANGED IN PLACE.
    states : float64[c, CYCLE_WIDTH]
        Open opportunities; CHANGED IN PLACE.
    """

    cycles: CycleArrays
    terms: Terms
    smallest: Float64Array
    market: Market
    states: Float64Array

    def __post_init__(self) -> None:
        self._walk = new_walk()
        least_bps = self.cycles.fees_bps + self.cycles.length * self.terms.slippage_bps
        # By the best prices alone most cycles are done with; rounding must not decide, though.
        self._least = 1.0 + (least_bps + self.terms.min_net_bps) / BPS - 1e-9

    def step(self, rows: TopRows, watermark_us: int) -> Columns:
        """Take rows in order, then let pass all that expires before the watermark.

        Returns
        -------
        Columns
            ``INT_COLUMNS`` and ``FLOAT_COLUMNS``; quantity and capacity are in units of the
            asset that the cycle begins with.
        """
        factors = np.empty(2 * self.market.size)
        factors[SELL::2], factors[BUY::2] = self.market.bid, 1.0 / self.market.ask
        arrays = (self.cycles, self.states)
        parts: list[tuple[Int64Array, Float64Array]] = []
        width, done, next_us = _ROWS_AT_FIRST, 0, -_LATER_US
        while done < rows.time_us.size:
            out_int, out_float = _room_for(width)
            taken, count, next_us = _scan(
                *arrays, factors, self._least, self.market, rows.after(done), self.terms,
                self.smallest, self._walk, next_us, out_int, out_float,
            )  # fmt: skip
            # One moment may give more than the buffer holds; then it needs a larger one.
            width = width if taken else 2 * width
            done += taken
            parts.append((out_int[:count], out_float[:count]))
        out_int, out_float = _room_for(int((self.states[:, SINCE] > 0).sum()))
        count, _ = _expire(
            *arrays, self.market, watermark_us, self.terms.max_age_us, 0, out_int, out_float
        )
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
