"""One listing's episode among the venues: how it opens, what it follows, how it ends.

The compiled parts of :mod:`marketlake.analytics.anomalies.cross_venue`, which says what they mean.
numba does not notice when a function that a cached one calls is edited: after a change in this file
or in ``listings.py``, remove the ``*.nbi`` files of those that import it.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from marketlake.analytics.anomalies.listings import Listings, middle
from marketlake.analytics.kernel import Float64, Int64

Flags = npt.NDArray[np.bool_]

# Words of a listing. What it showed last, and what is usual for it:
(
    LAST_US, CLOSE, VALUE, COUNT, WEIGHT, VOLUME, ANCHOR, ANCHOR_VALUE, USUAL, SLOW_USUAL,
) = range(10)  # fmt: skip
EPISODE: Final = 10
# Its open episode; all of these 0 where none is open.
(
    SIGN, START_US, END_US, BARS, PEAK, PEAK_US, PRICE, REFERENCE, SCALE, TYPICAL, AWAY, PEERS,
    PEERS_REFERENCE, PEERS_PEAK, CONVERTED, QUIET, ORIGIN,
) = range(EPISODE, EPISODE + 17)  # fmt: skip
WIDTH: Final = EPISODE + 17

# Words of an event beside its listing and its kind.
(
    OUT_START, OUT_END, OUT_MOVE, OUT_PEERS_MOVE, OUT_SCALE, OUT_PRICE, OUT_PEERS, OUT_VOLUME,
    OUT_REVERTED, OUT_BARS, OUT_CONVERTED, OUT_ORIGIN,
) = range(12)  # fmt: skip
OUT_WORDS: Final = 12
MARKET_MOVE, BAD_PRINT, VENUE_MOVE = range(3)

# Rows of what the listings show, each followed by the same as a value in dollars: the
# close and the slow mean before this moment and the peg, then low, high and close in it (the last
# close where there is no bar). The first three are what an episode may be measured from.
BEFORE, SLOW, PEG, LOW, HIGH, NOW = range(0, 12, 2)
SHOWN: Final = 12


class Limits(NamedTuple):
    """The parameters of the fold as the loop takes them; ``decay`` and ``slow`` a bar."""

    enter: float
    slow_enter: float
    min_move: float
    peg_move: float
    min_bars: int
    decay: float
    slow: float
    settle_bars: int
    settle_us: int
    max_age_us: int
    max_bars: int
    tiny_volume: float


BACK: Final = 0.5
"""Part of the peak below which a displacement counts as gone; and the part of it that the others
must have moved to have moved with it."""
CLIP: Final = 3.0
"""A close moves the slow mean as if it were at most this many scales away from it."""
TRACKING: Final = 0.05
"""Step, as a log, by which a tracked median follows a value on the other side of it."""
NORMAL_MEDIAN: Final = 1.4826
"""One standard deviation of normal values in the median of their sizes."""
PEG_SCALE: Final = 0.0025
"""One unit of score off a peg: 25 bps."""
PEG_BACK: Final = 0.005
"""Distance from a peg, as a log, at which it counts as held again: 50 bps."""
SCALE_MIN: Final = 1e-4
"""Least scale of excursions: a basis point."""


@njit(cache=True, nogil=True, error_model="numpy")
def _is_peer(listings: Listings, k: int, j: int, converted: int, fresh: Flags) -> bool:
    return (
        fresh[j]
        and listings.venue[j] != listings.venue[k]
        and (converted == 1 or listings.quote[j] == listings.quote[k])
    )


@njit(cache=True, nogil=True, error_model="numpy")
def _peers_price(
    listings: Listings, k: int, converted: int, fresh: Flags, prices: Float64, buffer: Float64
) -> tuple[float, int]:
    """Give the median price of the other venues, and their number."""
    count = 0
    group = listings.group[k]
    for m in range(listings.member_start[group], listings.member_start[group + 1]):
        j = listings.members[m]
        if _is_peer(listings, k, j, converted, fresh) and prices[j] > 0.0:
            buffer[count] = prices[j]
            count += 1
    return middle(buffer, count), count


@njit(cache=True, nogil=True, error_model="numpy")
def _usual_volume(
    states: Float64, listings: Listings, k: int, converted: int, fresh: Flags
) -> float:
    total, count = states[k, VOLUME], 1
    group = listings.group[k]
    for m in range(listings.member_start[group], listings.member_start[group + 1]):
        j = listings.members[m]
        if _is_peer(listings, k, j, converted, fresh):
            total += states[j, VOLUME]
            count += 1
    return total / count


@njit(cache=True, nogil=True, error_model="numpy")
def scale_of(states: Float64, k: int, word: int) -> float:
    """Give the usual size of an excursion: ``word`` is that of its tracked median."""
    return max(NORMAL_MEDIAN * states[k, word], SCALE_MIN)


@njit(cache=True, nogil=True, error_model="numpy")
def _track(states: Float64, k: int, word: int, size: float) -> None:
    """Let a median follow a value: up or down by a step, however far the value is.

    Stochastic approximation of a quantile (Robbins and Monro 1951), on the log; the steps of the
    first values are larger.
    """
    count = states[k, COUNT]
    if count == 0.0:
        states[k, word] = size
    else:
        step = max(TRACKING, 1.0 / (count + 1.0))
        states[k, word] *= math.exp(step if size > states[k, word] else -step)
    # Not below what matters, or the way up would be long.
    states[k, word] = max(states[k, word], SCALE_MIN / NORMAL_MEDIAN)


@njit(cache=True, nogil=True, error_model="numpy")
def excursion(shown: Float64, k: int, origin: int) -> tuple[float, int]:
    """Give the farther of high and low from where the listing was, in logs, and which it is."""
    up = math.log(shown[HIGH, k] / shown[origin, k])
    down = math.log(shown[LOW, k] / shown[origin, k])
    if up > -down:
        return up, HIGH
    return down, LOW


@njit(cache=True, nogil=True, error_model="numpy")
def open_episode(
    states: Float64, listings: Listings, k: int, now_us: int, origin: int, known: Flags,
    shown: Float64, min_move: float, scale: float, buffer: Float64,
) -> None:  # fmt: skip
    """Open an episode if others are there to compare with; ``origin`` is where it comes from."""
    x, side = excursion(shown, k, origin)
    converted = 0
    reference, peers = _peers_price(listings, k, converted, known, shown[origin], buffer)
    if peers == 0:
        converted = 1
        reference, peers = _peers_price(listings, k, converted, known, shown[origin + 1], buffer)
    own = shown[origin + converted, k]
    if peers == 0 or not own > 0.0:
        return
    # In values, a fall of the currency that the price is in may be all that there is.
    move = math.log(shown[side + converted, k] / own)
    if not move * x >= min_move * abs(x):
        return
    states[k, SIGN] = math.copysign(1.0, x)
    states[k, START_US] = now_us
    states[k, PEAK_US] = now_us
    states[k, REFERENCE] = own
    states[k, SCALE] = scale
    states[k, TYPICAL] = _usual_volume(states, listings, k, converted, known)
    states[k, PEERS] = peers
    states[k, PEERS_REFERENCE] = reference
    states[k, CONVERTED] = converted
    states[k, ORIGIN] = origin


@njit(cache=True, nogil=True, error_model="numpy")
def follow(
    states: Float64, listings: Listings, k: int, now_us: int, fresh: Flags, shown: Float64,
    volume: float, vwap: float, buffer: Float64,
) -> bool:  # fmt: skip
    """Take a moment into an open episode; tell whether the price has come back.

    ``volume`` is 0 where the listing has no bar in this moment.
    """
    sign = states[k, SIGN]
    converted = int(states[k, CONVERTED])
    side = LOW if sign < 0.0 else HIGH
    others, peers = _peers_price(listings, k, converted, fresh, shown[side + converted], buffer)
    if peers > 0:
        went = math.log(others / states[k, PEERS_REFERENCE])
        if went * sign > states[k, PEERS_PEAK] * sign:
            states[k, PEERS_PEAK] = went
        states[k, PEERS] = max(states[k, PEERS], peers)
    extreme, reference = shown[side + converted, k], states[k, REFERENCE]
    if not (volume > 0.0 and extreme > 0.0):
        return False
    states[k, END_US] = now_us
    states[k, BARS] += 1.0
    away = math.log(extreme / reference)
    if away * sign > states[k, PEAK] * sign:
        states[k, PEAK] = away
        states[k, PEAK_US] = now_us
        states[k, PRICE] = shown[side, k]
        states[k, QUIET] = 0.0
    else:
        states[k, QUIET] += 1.0
    if away * sign >= BACK * states[k, PEAK] * sign:
        part = 1.0
        if vwap > 0.0:
            mean = vwap * (shown[side + converted, k] / shown[side, k])
            part = min(max(math.log(mean / reference) / away, 0.0), 1.0)
        states[k, AWAY] += part * volume
    left = math.log(shown[NOW + converted, k] / reference)
    if states[k, ORIGIN] == PEG:
        return left * sign <= PEG_BACK
    return left * sign <= BACK * states[k, PEAK] * sign


@njit(cache=True, nogil=True, error_model="numpy")
def end_episode(
    states: Float64, k: int, reverted: float, tiny: float, numbers: Int64, out: Float64, count: int
) -> int:
    """Write the event of an episode, and close it."""
    move, peers_move = states[k, PEAK], states[k, PEERS_PEAK]
    typical = states[k, TYPICAL]
    ratio = states[k, AWAY] / typical if typical > 0.0 else math.inf
    kind = VENUE_MOVE
    if peers_move / move >= BACK:
        kind = MARKET_MOVE
    elif reverted != 0.0 and ratio <= tiny:
        kind = BAD_PRINT
    numbers[0, count], numbers[1, count] = k, kind
    out[OUT_START, count], out[OUT_END, count] = states[k, START_US], states[k, END_US]
    out[OUT_MOVE, count], out[OUT_PEERS_MOVE, count] = move, peers_move
    out[OUT_SCALE, count], out[OUT_PRICE, count] = states[k, SCALE], states[k, PRICE]
    out[OUT_PEERS, count], out[OUT_VOLUME, count] = states[k, PEERS], ratio
    out[OUT_REVERTED, count], out[OUT_BARS, count] = reverted, states[k, BARS]
    out[OUT_CONVERTED, count], out[OUT_ORIGIN, count] = states[k, CONVERTED], states[k, ORIGIN]
    for word in range(EPISODE, WIDTH):
        states[k, word] = 0.0
    return count + 1


@njit(cache=True, nogil=True, error_model="numpy")
def start_anew(states: Float64, k: int, shown: Float64) -> None:
    """Let the slow mean begin where the listing is now: what it did is told."""
    states[k, ANCHOR] = math.log(shown[NOW, k])
    states[k, ANCHOR_VALUE] = math.log(shown[NOW + 1, k])


@njit(cache=True, nogil=True, error_model="numpy")
def learn(states: Float64, k: int, shown: Float64, volume: float, limits: Limits) -> None:
    """Let a bar count in what is usual for its listing.

    The mean volume is weighted, the newest bar by 1; the slow mean of the logs takes the part
    ``slow`` of what the bar is away from it; medians of the sizes of excursions are tracked, which
    no crash can blind.
    """
    close = math.log(shown[NOW, k])
    value = math.log(shown[NOW + 1, k])
    if not states[k, LAST_US] > 0.0:
        states[k, ANCHOR], states[k, ANCHOR_VALUE] = close, value
        return
    x, _ = excursion(shown, k, BEFORE)
    far, _ = excursion(shown, k, SLOW)
    _track(states, k, USUAL, abs(x))
    _track(states, k, SLOW_USUAL, abs(far))
    bound = CLIP * scale_of(states, k, SLOW_USUAL)
    weight = limits.decay * states[k, WEIGHT] + 1.0
    states[k, COUNT] += 1.0
    states[k, WEIGHT] = weight
    states[k, VOLUME] += (volume - states[k, VOLUME]) / weight
    states[k, ANCHOR] += limits.slow * min(max(close - states[k, ANCHOR], -bound), bound)
    if math.isnan(states[k, ANCHOR_VALUE]):
        states[k, ANCHOR_VALUE] = value
    elif not math.isnan(value):
        away = value - states[k, ANCHOR_VALUE]
        states[k, ANCHOR_VALUE] += limits.slow * min(max(away, -bound), bound)
