"""The compiled loop of the cross-venue moves: moment after moment, group after group."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from marketlake.analytics.anomalies.episodes import (
    ANCHOR,
    ANCHOR_VALUE,
    BARS,
    BEFORE,
    CLOSE,
    COUNT,
    END_US,
    HIGH,
    LAST_US,
    LOW,
    NOW,
    ORIGIN,
    PEAK_US,
    PEG,
    PEG_SCALE,
    QUIET,
    SHOWN,
    SIGN,
    SLOW,
    SLOW_USUAL,
    USUAL,
    VALUE,
    Flags,
    Limits,
    end_episode,
    excursion,
    follow,
    learn,
    open_episode,
    scale_of,
    start_anew,
)
from marketlake.analytics.anomalies.listings import Listings, currency_values
from marketlake.analytics.kernel import Float64, Int64


@njit(cache=True, nogil=True, error_model="numpy")
def _show(
    states: Float64, k: int, row: int, rate: float, high: Float64, low: Float64, close: Float64,
    shown: Float64,
) -> None:  # fmt: skip
    """Note what a listing shows in this moment and showed before it."""
    last = states[k, CLOSE]
    shown[BEFORE, k], shown[BEFORE + 1, k] = last, states[k, VALUE]
    shown[SLOW, k] = math.exp(states[k, ANCHOR])
    shown[SLOW + 1, k] = math.exp(states[k, ANCHOR_VALUE])
    shown[PEG, k] = shown[PEG + 1, k] = 1.0
    shown[LOW, k] = low[row] if row >= 0 else last
    shown[HIGH, k] = high[row] if row >= 0 else last
    shown[NOW, k] = close[row] if row >= 0 else last
    for side in (LOW, HIGH, NOW):
        shown[side + 1, k] = shown[side, k] * rate


@njit(cache=True, nogil=True, error_model="numpy")
def _look_for_one(
    states: Float64, listings: Listings, k: int, now_us: int, known: Flags, shown: Float64,
    limits: Limits, buffer: Float64, numbers: Int64, out: Float64, count: int,
) -> int:  # fmt: skip
    """Open an episode of a listing that has a bar: of a jump, else of a creep, else off its peg.

    A jump is told apart from the hours off a peg in which it comes: it ends that episode.
    """
    jump, creep = scale_of(states, k, USUAL), scale_of(states, k, SLOW_USUAL)
    x, _ = excursion(shown, k, BEFORE)
    if abs(x) >= max(limits.min_move, limits.enter * jump):
        if states[k, ORIGIN] == PEG:
            count = end_episode(states, k, 0.0, limits.tiny_volume, numbers, out, count)
        open_episode(
            states, listings, k, now_us, BEFORE, known, shown, limits.min_move, jump, buffer
        )
    if states[k, SIGN] == 0.0:
        x, _ = excursion(shown, k, SLOW)
        if abs(x) >= max(limits.min_move, limits.slow_enter * creep):
            open_episode(
                states, listings, k, now_us, SLOW, known, shown, limits.min_move, creep, buffer
            )
    if states[k, SIGN] == 0.0 and listings.pegged[k]:
        x, _ = excursion(shown, k, PEG)
        if abs(x) >= limits.peg_move:
            open_episode(
                states, listings, k, now_us, PEG, known, shown, limits.peg_move, PEG_SCALE, buffer
            )
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _group_moment(
    states: Float64, listings: Listings, members: Int64, now_us: int, row_of: Int64, fresh: Flags,
    known: Flags, shown: Float64, volume: Float64, vwap: Float64, limits: Limits,
    buffer: Float64, numbers: Int64, out: Float64, count: int,
) -> int:  # fmt: skip
    """Open, follow and end the episodes of one group; what was before is still in the states."""
    for k in members:
        judged = listings.watched[k] and states[k, COUNT] >= limits.min_bars and row_of[k] >= 0
        if judged and (states[k, SIGN] == 0.0 or states[k, ORIGIN] == PEG):
            count = _look_for_one(
                states, listings, k, now_us, known, shown, limits, buffer, numbers, out,
                count,
            )  # fmt: skip
    for k in members:
        if states[k, SIGN] == 0.0:
            continue
        row = row_of[k]
        size, mean = (volume[row], vwap[row]) if row >= 0 else (0.0, math.nan)
        back = follow(states, listings, k, now_us, fresh, shown, size, mean, buffer)
        # Off its peg a currency stays for hours: new extremes are not what such an episode is of.
        off_peg = states[k, ORIGIN] == PEG
        latest_us = states[k, END_US] if off_peg else states[k, PEAK_US]
        quiet = not off_peg and states[k, QUIET] >= limits.settle_bars
        if (
            back
            or quiet
            or states[k, BARS] >= limits.max_bars
            or now_us - latest_us >= limits.settle_us
        ):
            count = end_episode(
                states, k, 1.0 if back else 0.0, limits.tiny_volume, numbers, out, count
            )
            start_anew(states, k, shown)
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _note_rows(
    begin: int, time_us: Int64, listing: Int64, high: Float64, low: Float64, close: Float64,
    volume: Float64, row_of: Int64,
) -> int:  # fmt: skip
    """Find the row of each listing in one moment; give the row after it."""
    end = begin
    while end < time_us.size and time_us[end] == time_us[begin]:
        priced = low[end] > 0.0 and close[end] > 0.0 and high[end] < math.inf
        if priced and 0.0 < volume[end] < math.inf:
            row_of[listing[end]] = end
        end += 1
    return end


@njit(cache=True, nogil=True, error_model="numpy")
def moves(
    states: Float64, listings: Listings, time_us: Int64, listing: Int64, high: Float64,
    low: Float64, close: Float64, volume: Float64, vwap: Float64, limits: Limits,
    numbers: Int64, out: Float64,
) -> int:  # fmt: skip
    """Take the bars, update the states and write the episodes that end; give their number."""
    n = len(states)
    count = start = 0
    row_of = np.full(n, -1)
    fresh, known = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    shown, buffer = np.zeros((SHOWN, n)), np.empty(n + 1)
    values = np.empty(listings.currencies)
    done = np.full(listings.member_start.size, -1)
    while start < time_us.size:
        now_us = time_us[start]
        stop = _note_rows(start, time_us, listing, high, low, close, volume, row_of)
        for k in listings.money:
            fresh[k] = row_of[k] >= 0 or now_us - states[k, LAST_US] <= limits.max_age_us
            shown[NOW, k] = close[row_of[k]] if row_of[k] >= 0 else states[k, CLOSE]
        currency_values(listings, shown[NOW], fresh, buffer, values)
        for i in range(start, stop):
            group = listings.group[listing[i]]
            if row_of[listing[i]] < 0 or done[group] == start:
                continue
            done[group] = start
            first, last = listings.member_start[group], listings.member_start[group + 1]
            members = listings.members[first:last]
            for k in members:
                known[k] = now_us - states[k, LAST_US] <= limits.max_age_us
                fresh[k] = known[k] or row_of[k] >= 0
                _show(states, k, row_of[k], values[listings.quote[k]], high, low, close, shown)
            count = _group_moment(
                states, listings, members, now_us, row_of, fresh, known, shown, volume, vwap,
                limits, buffer, numbers, out, count,
            )  # fmt: skip
            for k in members:
                if row_of[k] >= 0:
                    learn(states, k, shown, volume[row_of[k]], limits)
                    states[k, LAST_US] = now_us
                    states[k, CLOSE], states[k, VALUE] = shown[NOW, k], shown[NOW + 1, k]
        for i in range(start, stop):
            row_of[listing[i]] = -1
        start = stop
    return count
