"""Feeds that fall silent while others of the same instrument speak on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numba import njit

from marketlake.analytics.kernel import (
    Float64,
    Int64,
    check_states,
    column_rows,
    require_positive,
    series_rows,
)

# Words of a feed.
_LAST_US, _COUNT, _WEIGHT, _SQUARES, _SINCE_US, _PRICE, _REPORTED = range(7)
WIDTH: Final = 7
_CLIP: Final = 3.0
"""A pause counts at most this many times the usual one in what is usual."""
_LOOK_US: Final = 60_000_000
"""A feed that speaks looks for silent ones once in so long."""

_OUT_START, _OUT_END, _OUT_USUAL, _OUT_LIMIT, _OUT_MOVE, _OUT_PEERS = range(6)


class Groups(NamedTuple):
    """Feeds of the same instrument: ``members[start[g]:start[g + 1]]``.

    Attributes
    ----------
    group : int64[n]
        Group of each feed.
    start : int64[groups + 1]
    members : int64[n]
    """

    group: Int64
    start: Int64
    members: Int64


def group_members(group: Int64) -> Groups:
    """List the members of each group, ascending."""
    groups = int(group.max(initial=-1)) + 1
    start = np.searchsorted(np.sort(group), np.arange(groups + 1)).astype(np.int64)
    return Groups(group, start, np.argsort(group, kind="stable").astype(np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Silences:
    """Silences that stood out, as columns of one length.

    Parameters
    ----------
    feed
        Number of the feed, int64.
    start_us, end_us
        Its last update, and the one that ended the silence or, where ``open``, the time at which
        it was told, int64.
    usual_s, limit_s
        Root mean square of the pauses before, and what was allowed, in seconds.
    move
        Log of the price at its next update over that at its last; NaN where ``open``.
    peers
        Feeds that spoke on all the while, int64.
    """

    feed: Int64
    start_us: Int64
    end_us: Int64
    usual_s: Float64
    limit_s: Float64
    move: Float64
    peers: Int64

    def __len__(self) -> int:
        return len(self.feed)


@njit(cache=True, nogil=True, error_model="numpy")
def _limit_s(states: Float64, k: int, factor: float, least_s: float) -> float:
    return max(least_s, factor * math.sqrt(states[k, _SQUARES]))


@njit(cache=True, nogil=True, error_model="numpy")
def _witnesses(
    states: Float64, groups: Groups, k: int, now_us: int, factor: float, least_s: float
) -> int:
    """Count the other feeds that were never silent since the last update of ``k``."""
    count = 0
    group = groups.group[k]
    for m in range(groups.start[group], groups.start[group + 1]):
        j = groups.members[m]
        if j == k or states[j, _LAST_US] <= states[k, _LAST_US]:
            continue
        pause_s = (now_us - states[j, _LAST_US]) * 1e-6
        speaks = pause_s < _limit_s(states, j, factor, least_s)
        if speaks and states[j, _SINCE_US] <= states[k, _LAST_US]:
            count += 1
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _tell(
    states: Float64, k: int, now_us: int, limit_s: float, move: float, peers: int,
    numbers: Int64, out: Float64, count: int,
) -> int:  # fmt: skip
    numbers[count] = k
    out[_OUT_START, count], out[_OUT_END, count] = states[k, _LAST_US], now_us
    out[_OUT_USUAL, count], out[_OUT_LIMIT, count] = math.sqrt(states[k, _SQUARES]), limit_s
    out[_OUT_MOVE, count], out[_OUT_PEERS, count] = move, peers
    return count + 1


@njit(cache=True, nogil=True, error_model="numpy")
def _look_around(
    states: Float64, groups: Groups, k: int, now_us: int, factor: float, least_s: float,
    min_count: int, report_us: int, numbers: Int64, out: Float64, count: int,
) -> int:  # fmt: skip
    """Tell of feeds that have been silent for long and may never come back."""
    group = groups.group[k]
    for m in range(groups.start[group], groups.start[group + 1]):
        j = groups.members[m]
        silent_us = now_us - states[j, _LAST_US]
        if j == k or states[j, _REPORTED] != 0.0 or states[j, _COUNT] < min_count:
            continue
        limit_s = _limit_s(states, j, factor, least_s)
        if silent_us >= report_us and silent_us * 1e-6 >= limit_s:
            peers = _witnesses(states, groups, j, now_us, factor, least_s)
            if peers > 0:
                count = _tell(states, j, now_us, limit_s, math.nan, peers, numbers, out, count)
                states[j, _REPORTED] = 1.0
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _learn(states: Float64, k: int, pause_s: float, decay: float, min_count: int) -> None:
    squares = states[k, _SQUARES]
    if states[k, _COUNT] >= min_count:
        pause_s = min(pause_s, _CLIP * math.sqrt(squares))
    weight = decay * states[k, _WEIGHT] + 1.0
    states[k, _COUNT] += 1.0
    states[k, _WEIGHT] = weight
    states[k, _SQUARES] = squares + (pause_s * pause_s - squares) / weight


@njit(cache=True, nogil=True, error_model="numpy")
def _silences(
    states: Float64, groups: Groups, time_us: Int64, feed: Int64, price: Float64, factor: float,
    least_s: float, min_count: int, report_us: int, decay: float, numbers: Int64, out: Float64,
) -> int:  # fmt: skip
    count = 0
    for i in range(time_us.size):
        k, now_us = feed[i], time_us[i]
        last_us = states[k, _LAST_US]
        if last_us == 0.0:
            states[k, _SINCE_US] = now_us
        else:
            pause_s = (now_us - last_us) * 1e-6
            if states[k, _COUNT] >= min_count:
                limit_s = _limit_s(states, k, factor, least_s)
                if pause_s >= limit_s:
                    peers = _witnesses(states, groups, k, now_us, factor, least_s)
                    if peers > 0 and states[k, _REPORTED] == 0.0:
                        move = math.nan
                        if price[i] > 0.0 and states[k, _PRICE] > 0.0:
                            move = math.log(price[i] / states[k, _PRICE])
                        count = _tell(states, k, now_us, limit_s, move, peers, numbers, out, count)
                    states[k, _SINCE_US] = now_us
            _learn(states, k, pause_s, decay, min_count)
            if now_us // _LOOK_US != last_us // _LOOK_US:
                # The feed's own update must be in before it can be a witness.
                states[k, _LAST_US] = now_us
                count = _look_around(
                    states, groups, k, now_us, factor, least_s, min_count, report_us, numbers,
                    out, count,
                )  # fmt: skip
        states[k, _LAST_US] = now_us
        states[k, _REPORTED] = 0.0
        if price[i] > 0.0:
            states[k, _PRICE] = price[i]
    return count


@dataclass(frozen=True, slots=True)
class SilentFeeds:
    """Fold over the updates of many feeds: an event for each silence that others did not share.

    A feed is silent once it has not been heard of for ``min_silence_us`` and for ``factor`` times
    its usual pause: the root of the weighted mean of squared pauses, each cut at 3 usual ones, the
    newest weighing most (half as much after ``half_life`` updates). It is **stale** if another feed
    of its group spoke on all the while: was heard of since, and never silent itself. Where all
    fall silent together, in an outage of one's own or at night, nobody is stale. Without others
    nothing is said.

    The event comes with the update that ends the silence. One of ``report_us`` is told while it
    lasts, when a witness begins a new minute, and then not again.

    Warm-up: ``min_count`` pauses of a feed. State: 7 words of 8 bytes a feed.

    Parameters
    ----------
    factor
        Usual pauses that make a silence, above 1.
    min_silence_us, report_us
        Microseconds, above 0.
    min_count, half_life
        Updates, at least 1.
    """

    factor: float = 15.0
    min_silence_us: int = 5_000_000
    report_us: int = 300_000_000
    min_count: int = 50
    half_life: int = 100

    def __post_init__(self) -> None:
        require_positive(
            "silent feeds", factor=self.factor, min_silence_us=self.min_silence_us,
            report_us=self.report_us, min_count=self.min_count, half_life=self.half_life,
        )  # fmt: skip

    @property
    def width(self) -> int:
        """Words of state for one feed."""
        return WIDTH

    def initial(self) -> Float64:
        """State, shape ``(width,)``, of a feed that was not heard of."""
        return np.zeros(WIDTH)

    def step(
        self, states: Float64, groups: Groups, time_us: Int64, feed: Int64, price: Float64
    ) -> Silences:
        """Take updates in order of time.

        Parameters
        ----------
        states
            Shape ``(feeds, width)``, float64, writable. CHANGED IN PLACE.
        groups
            Feeds to compare with each other: one instrument on several venues.
        time_us
            Shape ``(n,)``: microseconds since the epoch, ascending.
        feed
            Shape ``(n,)``: number of the feed.
        price
            Shape ``(n,)``: what it said, for the evidence; NaN if nothing.

        Returns
        -------
        Silences
            In the order in which they were told.
        """
        name = "silent feeds"
        check_states(name, states, WIDTH)
        rows = series_rows(name, feed, len(states))
        prices = column_rows(name, "price", price, len(rows))
        times_us = np.ascontiguousarray(time_us, np.int64)
        # A feed is told of once between two of its updates.
        size = len(rows) + len(states)
        numbers, out = np.empty(size, np.int64), np.empty((6, size))
        count = _silences(
            states, groups, times_us, rows, prices, float(self.factor),
            self.min_silence_us * 1e-6, self.min_count, self.report_us,
            2.0 ** (-1.0 / self.half_life), numbers, out,
        )  # fmt: skip
        return Silences(
            feed=numbers[:count].copy(),
            start_us=out[_OUT_START, :count].astype(np.int64),
            end_us=out[_OUT_END, :count].astype(np.int64),
            usual_s=out[_OUT_USUAL, :count].copy(),
            limit_s=out[_OUT_LIMIT, :count].copy(),
            move=out[_OUT_MOVE, :count].copy(),
            peers=out[_OUT_PEERS, :count].astype(np.int64),
        )
