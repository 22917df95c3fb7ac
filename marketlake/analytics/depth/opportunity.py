"""The life of an opportunity: it opens, is updated at each new peak, and closes."""

from __future__ import annotations

from typing import Final

from numba import njit

from marketlake.analytics.arrays import Float64Array
from marketlake.analytics.compiled import LOOP

OPEN, UPDATE, CLOSE = 0, 1, 2
STATUS: Final = ("open", "update", "close")
NOTHING: Final = -1

SINCE, PEAK, CAPACITY = range(3)
"""The first words of every opportunity: since (µs; 0 where it is not open), peak net bps, and the
largest quantity of its life."""
OWN_WORDS: Final = 3
"""Where the words of a kind of opportunity begin."""


@njit(**LOOP)
def live_on(state: Float64Array, now_us: int, net_bps: float, quantity: float, pays: bool) -> int:  # noqa: FBT001 - compiled
    """Let an opportunity, open or not, meet a new price; what is to be told of it.

    After ``CLOSE`` the caller tells of it and then sets ``SINCE`` to 0.
    """
    if state[SINCE] == 0.0:
        if not pays:
            return NOTHING
        state[SINCE], state[PEAK], state[CAPACITY] = now_us, net_bps, quantity
        return OPEN
    if not pays:
        return CLOSE
    state[CAPACITY] = max(state[CAPACITY], quantity)
    if net_bps > state[PEAK]:
        state[PEAK] = net_bps
        return UPDATE
    return NOTHING
