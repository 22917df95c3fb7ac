"""Who was in a hurry: the sign of a trade where the venue does not tell."""

from __future__ import annotations

import math

from numba import njit

from marketlake.analytics.compiled import LOOP

_LARGEST = 1e100


@njit(forceinline=True, **LOOP)
def is_trade(price: float, quantity: float) -> bool:
    """Tell whether a trade can be taken: finite, and both above 0.

    A quantity whose square or sum would not be finite is none: it would stay in an average.
    """
    return 0.0 < price < math.inf and 0.0 < quantity < _LARGEST


@njit(forceinline=True, **LOOP)
def sign_of(side: float, price: float, last_price: float, last_sign: float) -> float:
    """Give 1 for a buyer's trade, -1 for a seller's, 0 where nothing tells.

    ``side`` is 1 or -1 where the venue tells; anything else, NaN included, leaves it to the tick
    test: up is a buyer's, down a seller's, no change as the trade before. ``last_price`` is 0
    before the first. Source: C. M. C. Lee, M. J. Ready, Inferring Trade Direction from Intraday
    Data, Journal of Finance 46, 1991.
    """
    if side in (1.0, -1.0):
        return side
    if last_price in (0.0, price):
        return last_sign
    return 1.0 if price > last_price else -1.0
