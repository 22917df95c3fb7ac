"""Sums and moments over the newest ``window`` values, in constant time and without drift.

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
variance of a constant is exactly 0 and that of a large mean does not cancel.

A window is a row of words, all zeros when it has seen nothing: for sums ``[full, pos, front,
ring * window]``, for moments ``[full, pos, front mean, front m2, ring of means * window, ring of
m2 * window]``. ``full`` is 1 once a block was full.

numba does not notice when a function that a cached one calls is edited: after a change in this
file, remove the ``*.nbi`` files of the modules that import it.
"""

from __future__ import annotations

from numba import njit

from marketlake.analytics.kernel import Float64

SUM_HEADER = 3
MOMENTS_HEADER = 4


def moments_width(window: int) -> int:
    """Words of state that :func:`push_moments` needs."""
    return MOMENTS_HEADER + 2 * window


@njit(cache=True, nogil=True)
def to_suffix_sums(states: Float64, k: int, ring: int, window: int) -> None:
    """Turn a full block of values, in words ``ring`` on of row ``k``, into its suffix sums."""
    suffix = 0.0
    for j in range(ring + window - 1, ring - 1, -1):
        suffix += states[k, j]
        states[k, j] = suffix


@njit(cache=True, nogil=True)
def push_moments(states: Float64, k: int, window: int, x: float) -> None:
    """Add ``x`` to a window of moments."""
    means = MOMENTS_HEADER
    m2s = means + window
    pos = int(states[k, 1])
    states[k, means + pos] = x
    pos += 1
    if pos < window:
        delta = x - states[k, 2]
        mean = states[k, 2] + delta / pos
        states[k, 1] = pos
        states[k, 2] = mean
        states[k, 3] += delta * (x - mean)
        return
    mean = 0.0
    m2 = 0.0
    for j in range(window - 1, -1, -1):
        value = states[k, means + j]
        delta = value - mean
        mean += delta / (window - j)
        m2 += delta * (value - mean)
        states[k, means + j] = mean
        states[k, m2s + j] = m2
    states[k, 0] = 1.0
    states[k, 1] = 0.0
    states[k, 2] = 0.0
    states[k, 3] = 0.0


@njit(cache=True, nogil=True)
def moments(states: Float64, k: int, window: int) -> tuple[float, float, float]:
    """Give count, mean and sum of squared deviations (``m2``) of the values in the window."""
    pos = int(states[k, 1])
    if states[k, 0] == 0.0:
        return float(pos), states[k, 2], states[k, 3]
    mean = states[k, MOMENTS_HEADER + pos]
    m2 = states[k, MOMENTS_HEADER + window + pos]
    if pos > 0:
        delta = states[k, 2] - mean
        mean += delta * (pos / window)
        m2 += states[k, 3] + delta * delta * (pos * (window - pos) / window)
    return float(window), mean, m2
