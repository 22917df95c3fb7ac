"""A walk through several books at once: how much may go round, and at what prices.

A leg is an instrument and a side: selling its base at the bids, or buying it at the asks. A chain
of legs turns one asset into others and at last into itself: bought here, sold there, the proceeds
converted; or round a triangle. The walk takes the chain level by level, each time as much as the
leg with the least left can take, for as long as a further unit still pays.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numba import njit

from marketlake.analytics.arrays import Float64Array, Int64Array
from marketlake.analytics.compiled import LOOP
from marketlake.analytics.depth.market import Market

SELL, BUY = 0, 1
"""Sides of a leg; its code is ``2 * instrument + side``."""
MAX_LEGS: Final = 4
BPS: Final = 1e4
_TOP: Final = -1

_PRICE, _LEFT, _AMOUNT, _TOTAL = range(4)
SPENT, GOT, REACH, GROSS = range(4)
"""Places in the totals of a walk."""


class Walk(NamedTuple):
    """Room that walks work in and leave their results in.

    Attributes
    ----------
    legs : int64[MAX_LEGS]
        Codes of the legs of the chain, to be filled in before a walk.
    at : int64[MAX_LEGS]
        Level that each leg stands at.
    values : float64[4, MAX_LEGS]
        Price and rest of that level; what came out of each leg; totals: spent, got, what one
        step of the best prices could take (out of the first leg), and gross bps at those.
    """

    legs: Int64Array
    at: Int64Array
    values: Float64Array


def new_walk() -> Walk:
    """Give room for a walk."""
    return Walk(np.zeros(MAX_LEGS, np.int64), np.zeros(MAX_LEGS, np.int64), np.zeros((4, MAX_LEGS)))


@njit(**LOOP)
def _next_level(market: Market, leg: int, at: int, oldest_us: int) -> int:
    """Find the next level of the last book that is worse than the best price; -1 for none."""
    i, side = leg >> 1, leg & 1
    if market.book_us[i] < oldest_us:
        return -1
    for level in range(at + 1, market.levels.shape[2]):
        price = market.levels[i, 2 * side, level]
        if side == BUY and price > market.ask[i]:
            return level
        if side == SELL and price < market.bid[i]:
            return level
    return -1


@njit(**LOOP)
def _slice(legs: Int64Array, count: int, values: Float64Array) -> tuple[float, float, float, int]:
    """Give cost and proceeds of one unit out of the first leg, units on offer, and who limits."""
    price, left = values[_PRICE, 0], values[_LEFT, 0]
    cost, reach, limit = price, left, 0
    if legs[0] & 1 == SELL:
        cost, reach = 1.0 / price, left * price
    proceeds = 1.0
    for k in range(1, count):
        price, left = values[_PRICE, k], values[_LEFT, k]
        buys = legs[k] & 1 == BUY
        offered = (left * price if buys else left) / proceeds
        if offered < reach:
            reach, limit = offered, k
        proceeds = proceeds / price if buys else proceeds * price
    return cost, proceeds, reach, limit


@njit(**LOOP)
def _trade(legs: Int64Array, count: int, values: Float64Array, reach: float) -> None:
    """Let an amount out of the first leg go through the chain."""
    amount = reach
    for k in range(count):
        price, buys = values[_PRICE, k], legs[k] & 1 == BUY
        if k == 0:
            used = amount if buys else amount / price
        else:
            used = amount / price if buys else amount
            amount = used if buys else amount * price
        values[_AMOUNT, k] += amount
        values[_LEFT, k] = max(values[_LEFT, k] - used, 0.0)


@njit(**LOOP)
def walk_chain(
    market: Market, walk: Walk, count: int, now_us: int, max_age_us: int, costs_bps: float,
    floor_bps: float,
) -> int:  # fmt: skip
    """Walk the chain ``walk.legs[:count]``, whose best prices must all be there.

    A step is taken while what one more unit brings, ``proceeds / cost - 1`` less ``costs_bps``,
    exceeds ``floor_bps``.

    Returns
    -------
    int
        Steps taken: 0 where not even the best prices pay, 1 where only those were needed.
    """
    legs, at, values = walk.legs, walk.at, walk.values
    for k in range(count):
        i = legs[k] >> 1
        buys = legs[k] & 1 == BUY
        at[k] = _TOP
        values[_PRICE, k] = market.ask[i] if buys else market.bid[i]
        values[_LEFT, k] = market.ask_quantity[i] if buys else market.bid_quantity[i]
        values[_AMOUNT, k] = 0.0
    spent, got, steps = 0.0, 0.0, 0
    while True:
        cost, proceeds, reach, limit = _slice(legs, count, values)
        gross_bps = (proceeds / cost - 1.0) * BPS
        if steps == 0:
            values[_TOTAL, REACH], values[_TOTAL, GROSS] = reach, gross_bps
        # Infinite where prices at the ends of what a double can hold overflow on the way.
        if not (gross_bps - costs_bps > floor_bps and gross_bps < math.inf):
            break
        steps += 1
        spent += reach * cost
        got += reach * proceeds
        _trade(legs, count, values, reach)
        i, side = legs[limit] >> 1, legs[limit] & 1
        level = _next_level(market, legs[limit], at[limit], now_us - max_age_us)
        if level < 0:
            break
        at[limit] = level
        values[_PRICE, limit] = market.levels[i, 2 * side, level]
        values[_LEFT, limit] = market.levels[i, 2 * side + 1, level]
    values[_TOTAL, SPENT], values[_TOTAL, GOT] = spent, got
    return steps


@njit(**LOOP)
def out_of_leg(walk: Walk, leg: int) -> float:
    """Amount that came out of a leg."""
    return walk.values[_AMOUNT, leg]


@njit(**LOOP)
def total(walk: Walk, which: int) -> float:
    """One of ``SPENT``, ``GOT``, ``REACH`` and ``GROSS``."""
    return walk.values[_TOTAL, which]
