"""One pair: bought at one venue, sold at another, the proceeds converted; compiled."""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from marketlake.analytics.arrays import Float64Array, Int64Array
from marketlake.analytics.compiled import LOOP
from marketlake.analytics.depth.market import Market, in_step
from marketlake.analytics.depth.opportunity import (
    CAPACITY,
    CLOSE,
    NOTHING,
    OPEN,
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
    REACH,
    SELL,
    SPENT,
    Walk,
    out_of_leg,
    total,
    walk_chain,
)
from marketlake.analytics.spreads.pricing import spread
from marketlake.analytics.spreads.universe import Universe

(
    _RATE, _GROSS, _FEES, _COSTS, _QUANTITY, _BUY_PRICE, _SELL_PRICE, _CAPACITY_NOTIONAL,
) = range(OWN_WORDS, OWN_WORDS + 8)  # fmt: skip
PAIR_WIDTH: Final = OWN_WORDS + 8
"""Words of an opportunity: those of all, its figures when last priced, and the notional of its
largest quantity."""

INT_COLUMNS: Final = (
    "time_us", "status", "buy", "sell", "buy_age_us", "sell_age_us", "since_us",
)  # fmt: skip
FLOAT_COLUMNS: Final = (
    "buy_price", "sell_price", "conversion_rate", "gross_bps", "fees_bps", "costs_bps", "quantity",
    "peak_net_bps", "capacity", "capacity_notional",
)  # fmt: skip


@njit(**LOOP)
def emit_pair(
    pairs: Float64Array, pair: int, status: int, now_us: int, buy: int, sell: int,
    market: Market, count: int, out_int: Int64Array, out_float: Float64Array,
) -> int:  # fmt: skip
    """Write a row of what is known of an opportunity; give the number of rows then."""
    state = pairs[pair]
    out_int[count, 0], out_int[count, 1] = now_us, status
    out_int[count, 2], out_int[count, 3] = buy, sell
    out_int[count, 4] = now_us - market.time_us[buy]
    out_int[count, 5] = now_us - market.time_us[sell]
    out_int[count, 6] = np.int64(state[SINCE])
    out_float[count, 0], out_float[count, 1] = state[_BUY_PRICE], state[_SELL_PRICE]
    out_float[count, 2], out_float[count, 3] = state[_RATE], state[_GROSS]
    out_float[count, 4], out_float[count, 5] = state[_FEES], state[_COSTS]
    out_float[count, 6], out_float[count, 7] = state[_QUANTITY], state[PEAK]
    out_float[count, 8], out_float[count, 9] = state[CAPACITY], state[_CAPACITY_NOTIONAL]
    return count + 1


@njit(**LOOP)
def _measure(
    buy: int, sell: int, rate: float, gross_bps: float, fees_bps: float, costs_bps: float,
    count: int, market: Market, now_us: int, terms: Terms, walk: Walk, state: Float64Array,
) -> bool:  # fmt: skip
    """Walk the books and note what comes of it; tell whether it is an opportunity."""
    steps = walk_chain(
        market, walk, count, now_us, terms.max_age_us, fees_bps + costs_bps, terms.min_net_bps
    )
    buy_price, sell_price, quantity = market.ask[buy], market.bid[sell], total(walk, REACH)
    if steps > 1:
        quantity = out_of_leg(walk, 0)
        buy_price, sell_price = total(walk, SPENT) / quantity, out_of_leg(walk, 1) / quantity
        rate = total(walk, GOT) / out_of_leg(walk, 1)
        gross_bps = (total(walk, GOT) / total(walk, SPENT) - 1.0) * BPS
    notional = quantity * buy_price
    if notional > 0.0:
        sent = terms.base_withdrawal[buy] * buy_price + terms.quote_withdrawal[sell] * rate
        costs_bps += sent / notional * BPS
    state[_RATE], state[_GROSS], state[_FEES], state[_COSTS] = rate, gross_bps, fees_bps, costs_bps
    state[_QUANTITY], state[_BUY_PRICE], state[_SELL_PRICE] = quantity, buy_price, sell_price
    pays = steps > 0 and gross_bps - fees_bps - costs_bps > terms.min_net_bps
    return pays and notional >= terms.min_notional[buy]


@njit(**LOOP)
def price_pair(
    universe: Universe, pair: int, buy: int, sell: int, pairs: Float64Array, opened: Int64Array,
    market: Market, now_us: int, terms: Terms, walk: Walk, count: int, out_int: Int64Array,
    out_float: Float64Array,
) -> int:  # fmt: skip
    """Look at one pair; note what is to be told of it, and give the number of rows then."""
    rate, gross_bps, fees_bps, leg_1, leg_2 = spread(
        universe, buy, sell, market.bid, market.ask, market.time_us, now_us, terms.max_age_us
    )
    state = pairs[pair]
    legs = 2
    walk.legs[0], walk.legs[1] = 2 * buy + BUY, 2 * sell + SELL
    for leg in (leg_1, leg_2):
        if leg >= 0:
            walk.legs[legs] = leg
            legs += 1
    costs_bps = terms.transfer_bps + legs * terms.slippage_bps
    # Most pairs end here, by the best prices alone.
    pays = rate > 0.0 and gross_bps - fees_bps - costs_bps > terms.min_net_bps
    if not pays and state[SINCE] == 0.0:
        return count
    if rate > 0.0:
        pays = _measure(
            buy, sell, rate, gross_bps, fees_bps, costs_bps, legs, market, now_us, terms, walk,
            state,
        )  # fmt: skip
        pays &= in_step(market, walk.legs, legs, terms.max_skew_us)
    net_bps = state[_GROSS] - state[_FEES] - state[_COSTS]
    if pays and (state[SINCE] == 0.0 or state[_QUANTITY] > state[CAPACITY]):
        state[_CAPACITY_NOTIONAL] = state[_QUANTITY] * state[_BUY_PRICE]
    status = live_on(state, now_us, net_bps, state[_QUANTITY], pays)
    if status == NOTHING:
        return count
    count = emit_pair(pairs, pair, status, now_us, buy, sell, market, count, out_int, out_float)
    if status == OPEN:
        opened[universe.base[buy]] += 1
    elif status == CLOSE:
        state[SINCE] = 0.0
        opened[universe.base[buy]] -= 1
    return count


@njit(**LOOP)
def may_pay(universe: Universe, buy: int, sell: int, market: Market, terms: Terms) -> bool:
    """Tell by the best prices alone whether a pair needs a look; True where they are converted.

    Most pairs end here. The margin of 1e-9 keeps out what rounding might decide.
    """
    sold, bought = universe.quote[sell], universe.quote[buy]
    if sold != bought:
        return bool(universe.convertible[sold * universe.currencies + bought])
    least_bps = universe.fee_bps[buy] + universe.fee_bps[sell] + terms.min_net_bps
    least_bps += terms.transfer_bps + 2.0 * terms.slippage_bps
    return market.bid[sell] > market.ask[buy] * (1.0 + least_bps / BPS - 1e-9)
