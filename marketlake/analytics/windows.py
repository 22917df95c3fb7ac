"""Sums, extremes and moments over the newest ``window`` values: constant time, no drift.

The usual running sum adds the new value and subtracts the oldest; its rounding errors stay for
ever. Here nothing is ever subtracted. Values are taken in blocks of ``window``. The open block
keeps a running total (the front). When a block is full, its ring is turned, in place, into suffix
totals: slot ``j`` then covers the block's values ``j`` to ``window - 1``. With ``pos`` values in
the open block, the newest ``window`` values are the front and the suffix from slot ``pos``::

    block before:  . . . [3 4 5 6 7]     suffix total in slot 3
    open block:    [0 1 2] . . . . .     front total, pos = 3

(the two-stack queue of folklore; van Herk's algorithm for sums). A total therefore holds the
rounding of at most ``window`` additions of values that are in the window now, and a value that has
left it leaves no trace. Moments are merged by Chan's formula and grown by Welford's, so the
variance of a constant is exactly 0 and that of a large mean does not cancel. Extremes need no
more than sums do: the suffix holds the highest and lowest value instead of the total.

A window is a row of words, all zeros when it has seen nothing: for sums ``[full, pos, front,
ring * window]``, for moments ``[full, pos, front mean, front m2, ring of means * window, ring of
m2 * window]``. ``full`` is 1 once a block was full.

The ``push_…`` functions take the header (full, pos, front) as values and give it back, so that a
loop keeps it in registers: a cursor that went through memory and back to an integer at each bar
cost more than all the rest. Totals and extremes that they give before ``full`` is 1 mean nothing.

numba does not notice when a function that a cached one calls is edited: after a change in this
file, remove the ``*.nbi`` files of the modules that import it.
"""

from __future__ import annotations

from numba import njit

from marketlake.analytics.compiled import LOOP
from marketlake.analytics.kernel import Float64

SUM_HEADER = 3
PAIR_HEADER = 4
RANGE_HEADER = 4
WEIGHTED_HEADER = 4
MOMENTS_HEADER = 4


def sum_width(window: int) -> int:
    """Words of state of a window of sums."""
    return SUM_HEADER + window


def pair_width(window: int) -> int:
    """Words of state of two windows of sums that share a cursor."""
    return PAIR_HEADER + 2 * window


def range_width(window: int) -> int:
    """Words of state of a window of highest and lowest values."""
    return RANGE_HEADER + 2 * window


def weighted_width(window: int) -> int:
    """Words of state of a window of weighted sums."""
    return WEIGHTED_HEADER + window


def moments_width(window: int) -> int:
    """Words of state that :func:`push_moments` needs."""
    return MOMENTS_HEADER + 2 * window


@njit(forceinline=True, **LOOP)
def load_window3(states: Float64, k: int, at: int) -> tuple[float, int, float]:
    """Read a header of three words: full, pos, front."""
    return states[k, at], int(states[k, at + 1]), states[k, at + 2]


@njit(forceinline=True, **LOOP)
def load_window4(states: Float64, k: int, at: int) -> tuple[float, int, float, float]:
    """Read a header of four words: full, pos, two fronts."""
    return states[k, at], int(states[k, at + 1]), states[k, at + 2], states[k, at + 3]


@njit(forceinline=True, **LOOP)
def save_window3(states: Float64, k: int, at: int, full: float, pos: int, front: float) -> None:
    """Write a header of three words."""
    states[k, at], states[k, at + 1], states[k, at + 2] = full, pos, front


@njit(forceinline=True, **LOOP)
def save_window4(
    states: Float64, k: int, at: int, full: float, pos: int, first: float, second: float
) -> None:
    """Write a header of four words."""
    states[k, at], states[k, at + 1] = full, pos
    states[k, at + 2], states[k, at + 3] = first, second


@njit(**LOOP)
def to_suffix_sums(states: Float64, k: int, ring: int, window: int) -> None:
    """Turn a full block of values, in words ``ring`` on of row ``k``, into its suffix sums."""
    suffix = 0.0
    for j in range(ring + window - 1, ring - 1, -1):
        suffix += states[k, j]
        states[k, j] = suffix


@njit(forceinline=True, **LOOP)
def push_sum(
    states: Float64, k: int, ring: int, window: int, full: float, pos: int, front: float, x: float
) -> tuple[float, int, float, float]:
    """Add ``x``; give full, pos, front and the total."""
    front += x
    total = front
    states[k, ring + pos] = x
    pos += 1
    if pos < window:
        return full, pos, front, total + states[k, ring + pos]
    to_suffix_sums(states, k, ring, window)
    return 1.0, 0, 0.0, total


@njit(**LOOP)
def to_suffix_pairs(states: Float64, k: int, ring: int, window: int) -> None:
    """Turn two full blocks into their suffix sums, side by side."""
    total_x = total_y = 0.0
    for j in range(ring + window - 1, ring - 1, -1):
        total_x += states[k, j]
        total_y += states[k, j + window]
        states[k, j], states[k, j + window] = total_x, total_y


@njit(forceinline=True, **LOOP)
def push_pair(
    states: Float64, k: int, ring: int, window: int,
    full: float, pos: int, front_x: float, front_y: float, x: float, y: float,
) -> tuple[float, int, float, float, float, float]:  # fmt: skip
    """Add ``x`` and ``y`` to two windows with one cursor; full, pos, both fronts, both totals.

    Words: ``[full, pos, front of x, front of y, ring of x * window, ring of y * window]``.
    """
    front_x += x
    front_y += y
    states[k, ring + pos] = x
    states[k, ring + window + pos] = y
    pos += 1
    if pos < window:
        total_x = front_x + states[k, ring + pos]
        total_y = front_y + states[k, ring + window + pos]
        return full, pos, front_x, front_y, total_x, total_y
    to_suffix_pairs(states, k, ring, window)
    return 1.0, 0, 0.0, 0.0, front_x, front_y


@njit(forceinline=True, **LOOP)
def push_weighted(
    states: Float64, k: int, ring: int, window: int,
    full: float, pos: int, plain: float, weighted: float, x: float,
) -> tuple[float, int, float, float, float]:  # fmt: skip
    """Add ``x``; give full, pos, both fronts and the total of ``weight * value``.

    Weights run from 1 for the oldest value to ``window`` for the newest. The fronts are the plain
    sum of the open block and the one weighted from 1; the suffix in slot ``j`` is weighted from 1.
    """
    states[k, ring + pos] = x
    pos += 1
    plain += x
    weighted += pos * x
    if pos < window:
        total = states[k, ring + pos] + (weighted + (window - pos) * plain)
        return full, pos, plain, weighted, total
    suffix = suffix_weighted = 0.0
    for j in range(ring + window - 1, ring - 1, -1):
        suffix += states[k, j]
        suffix_weighted += suffix
        states[k, j] = suffix_weighted
    return 1.0, 0, 0.0, 0.0, weighted


@njit(**LOOP)
def to_suffix_ranges(states: Float64, k: int, ring: int, window: int) -> None:
    """Turn a full block of highs and one of lows into the extremes of their suffixes."""
    last = ring + window - 1
    top, bottom = states[k, last], states[k, last + window]
    for j in range(last - 1, ring - 1, -1):
        high, low = states[k, j], states[k, j + window]
        top = max(top, high)
        bottom = min(bottom, low)
        states[k, j] = top
        states[k, j + window] = bottom


@njit(forceinline=True, **LOOP)
def push_range(
    states: Float64, k: int, ring: int, window: int,
    full: float, pos: int, top: float, bottom: float, high: float, low: float,
) -> tuple[float, int, float, float, float, float]:  # fmt: skip
    """Add a high and a low; give full, pos, both fronts, and the highest and lowest of all."""
    if pos == 0:
        top, bottom = high, low
    else:
        top = max(top, high)
        bottom = min(bottom, low)
    states[k, ring + pos] = high
    states[k, ring + window + pos] = low
    pos += 1
    if pos == window:
        to_suffix_ranges(states, k, ring, window)
        return 1.0, 0, top, bottom, top, bottom
    highest, lowest = states[k, ring + pos], states[k, ring + window + pos]
    highest = max(highest, top)
    lowest = min(lowest, bottom)
    return full, pos, top, bottom, highest, lowest


@njit(**LOOP)
def to_suffix_moments(states: Float64, k: int, means: int, window: int) -> None:
    """Turn a full block of values into the means and the ``m2`` of its suffixes.

    Sums are of the distances from the newest value, 0 for a constant; the divisions hang on
    nothing that the next step needs, so the processor does several at once.
    """
    newest = states[k, means + window - 1]
    total = before = m2 = count = 0.0
    for j in range(means + window - 1, means - 1, -1):
        count += 1.0
        distance = states[k, j] - newest
        total += distance
        mean = total / count
        m2 += (distance - before) * (distance - mean)
        before = mean
        states[k, j] = newest + mean
        states[k, j + window] = m2


@njit(**LOOP)
def push_moments(states: Float64, k: int, window: int, x: float, at: int = 0) -> None:
    """Add ``x`` to the window of moments whose header begins at word ``at``."""
    pos = int(states[k, at + 1])
    states[k, at + MOMENTS_HEADER + pos] = x
    pos += 1
    if pos < window:
        delta = x - states[k, at + 2]
        mean = states[k, at + 2] + delta * (1.0 / pos)
        states[k, at + 1] = pos
        states[k, at + 2] = mean
        states[k, at + 3] += delta * (x - mean)
        return
    to_suffix_moments(states, k, at + MOMENTS_HEADER, window)
    states[k, at] = 1.0
    states[k, at + 1], states[k, at + 2], states[k, at + 3] = 0.0, 0.0, 0.0


@njit(**LOOP)
def moments(states: Float64, k: int, window: int, at: int = 0) -> tuple[float, float, float]:
    """Give count, mean and sum of squared deviations (``m2``) of the values in the window."""
    pos = int(states[k, at + 1])
    front, front_m2 = states[k, at + 2], states[k, at + 3]
    if states[k, at] == 0.0:
        return float(pos), front, front_m2
    mean = states[k, at + MOMENTS_HEADER + pos]
    m2 = states[k, at + MOMENTS_HEADER + window + pos]
    if pos > 0:
        delta = front - mean
        mean += delta * (pos / window)
        m2 += front_m2 + delta * delta * (pos * (window - pos) / window)
    return float(window), mean, m2
