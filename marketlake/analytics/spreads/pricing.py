"""What one unit bought here and sold there leaves, compiled for the folds of this package."""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from marketlake.analytics.arrays import Float64Array, Int64Array
from marketlake.analytics.compiled import LOOP
from marketlake.analytics.depth.walk import BUY, SELL
from marketlake.analytics.spreads.universe import Universe

BPS: Final = 1e4
NO_LEG: Final = -1


@njit(**LOOP)
def _direct(
    universe: Universe,
    sold: int,
    bought: int,
    near: int,
    far: int,
    bid: Float64Array,
    ask: Float64Array,
    time_us: Int64Array,
    now_us: int,
    max_age_us: int,
) -> tuple[float, float, int]:
    """Rate, fee and leg of one conversion; NaN where no venue quotes it freshly.

    The venue of the sale comes first, then that of the purchase, then the freshest of the others.
    """
    pair = sold * universe.currencies + bought
    best_rate, best_fee, best_leg, best_rank, best_time = np.nan, 0.0, NO_LEG, -1, 0
    for k in range(universe.converter_start[pair], universe.converter_start[pair + 1]):
        i = universe.converters[k]
        price = 1.0 / ask[i] if universe.inverse[k] else bid[i]
        if not price > 0.0 or now_us - time_us[i] > max_age_us:
            continue
        rank = 0
        if universe.venue[i] == far:
            rank = 2
        elif universe.venue[i] == near:
            rank = 1
        if rank > best_rank or (rank == best_rank and time_us[i] > best_time):
            best_rate, best_fee, best_rank, best_time = price, universe.fee_bps[i], rank, time_us[i]
            best_leg = 2 * i + (BUY if universe.inverse[k] else SELL)
    return best_rate, best_fee, best_leg


@njit(**LOOP)
def conversion(
    universe: Universe,
    sold: int,
    bought: int,
    near: int,
    far: int,
    bid: Float64Array,
    ask: Float64Array,
    time_us: Int64Array,
    now_us: int,
    max_age_us: int,
) -> tuple[float, float, int, int]:
    """Units of ``bought`` for one ``sold``, directly or by one step between, and what it takes.

    Returns
    -------
    tuple
        Rate (NaN where there is no way), taker fees in bps, and the codes of up to two legs,
        ``NO_LEG`` for one that is not needed.
    """
    if sold == bought:
        return 1.0, 0.0, NO_LEG, NO_LEG
    rate, fee, leg = _direct(
        universe, sold, bought, near, far, bid, ask, time_us, now_us, max_age_us
    )
    if rate > 0.0:
        return rate, fee, leg, NO_LEG
    for between in universe.money:
        if between in (sold, bought):
            continue
        first, fee_1, leg_1 = _direct(
            universe, sold, between, near, far, bid, ask, time_us, now_us, max_age_us
        )
        if not first > 0.0:
            continue
        second, fee_2, leg_2 = _direct(
            universe, between, bought, near, far, bid, ask, time_us, now_us, max_age_us
        )
        if second > 0.0:
            return first * second, fee_1 + fee_2, leg_1, leg_2
    return np.nan, 0.0, NO_LEG, NO_LEG


@njit(**LOOP)
def spread(
    universe: Universe,
    buy: int,
    sell: int,
    bid: Float64Array,
    ask: Float64Array,
    time_us: Int64Array,
    now_us: int,
    max_age_us: int,
) -> tuple[float, float, float, int, int]:
    """Conversion rate, gross bps and fees in bps of buying here and selling there.

    ``gross = bid_sell * rate / ask_buy - 1``, ``rate`` being units of the buy's quote currency
    for one of the sell's. Fees are both taker fees and those of the conversion.

    Returns
    -------
    tuple
        NaN as the rate where a price is absent or old, or no conversion is quoted; last the legs
        of the conversion, as :func:`conversion` gives them.
    """
    absent = (np.nan, np.nan, np.nan, NO_LEG, NO_LEG)
    if universe.venue[buy] == universe.venue[sell]:
        return absent
    if now_us - time_us[buy] > max_age_us or now_us - time_us[sell] > max_age_us:
        return absent
    if not ask[buy] > 0.0 or not bid[sell] > 0.0:
        return absent
    rate, fee, leg_1, leg_2 = conversion(
        universe,
        universe.quote[sell],
        universe.quote[buy],
        universe.venue[buy],
        universe.venue[sell],
        bid,
        ask,
        time_us,
        now_us,
        max_age_us,
    )
    if not rate > 0.0:
        return absent
    gross_bps = (bid[sell] * rate / ask[buy] - 1.0) * BPS
    fees_bps = universe.fee_bps[buy] + universe.fee_bps[sell] + fee
    return rate, gross_bps, fees_bps, leg_1, leg_2
