"""How unusual a value is against the median of those before it: outliers cannot hide others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from numba import njit

from marketlake.analytics.anomalies.rolling_zscore import RELATIVE_FLOOR
from marketlake.analytics.kernel import Float64, Int64, KeyedKernel

NORMAL_MAD: Final = 1.4826
"""One standard deviation of normal values in their median absolute deviations."""

_COUNT, _NEXT, _RING = 0, 1, 2


@njit(cache=True, nogil=True, error_model="numpy")
def _place(states: Float64, k: int, start: int, count: int, x: float) -> int:
    """Find the first of ``count`` ascending words from ``start`` on that is not below ``x``."""
    low, high = start, start + count
    while low < high:
        middle = (low + high) // 2
        if states[k, middle] < x:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True, error_model="numpy")
def _push_sorted(states: Float64, k: int, window: int, x: float) -> None:
    """Put ``x`` in the ring and in the ascending copy of it, in the place of the oldest value."""
    count = int(states[k, _COUNT])
    pos = int(states[k, _NEXT])
    first = _RING + window
    if count < window:
        to = _place(states, k, first, count, x)
        for j in range(first + count, to, -1):
            states[k, j] = states[k, j - 1]
        states[k, to] = x
        states[k, _COUNT] = count + 1
    else:
        gone = _place(states, k, first, count, states[k, _RING + pos])
        # Only what lies between the two places moves.
        if x > states[k, gone]:
            while gone + 1 < first + count and states[k, gone + 1] < x:
                states[k, gone] = states[k, gone + 1]
                gone += 1
        else:
            while gone > first and states[k, gone - 1] > x:
                states[k, gone] = states[k, gone - 1]
                gone -= 1
        states[k, gone] = x
    states[k, _RING + pos] = x
    states[k, _NEXT] = pos + 1 if pos + 1 < window else 0


@njit(cache=True, nogil=True, error_model="numpy")
def _median(states: Float64, k: int, first: int, count: int) -> float:
    half = count // 2
    if count % 2:
        return states[k, first + half]
    return 0.5 * states[k, first + half - 1] + 0.5 * states[k, first + half]


@njit(cache=True, nogil=True, error_model="numpy")
def _median_deviation(states: Float64, k: int, first: int, count: int, median: float) -> float:
    """Give the median distance from the median; the values ascend from word ``first`` on.

    The ``size`` values nearest to the median lie side by side: a binary search finds where they
    begin. The farthest of them is the ``size``-th smallest distance, and its neighbour outside
    the next one, which an even count needs too.
    """
    size = (count + 1) // 2
    low, high = first, first + count - size
    while low < high:
        middle = (low + high) // 2
        if median - states[k, middle] > states[k, middle + size] - median:
            low = middle + 1
        else:
            high = middle
    last = low + size - 1
    deviation = max(median - states[k, low], states[k, last] - median)
    if count % 2:
        return deviation
    following = math.inf
    if low > first:
        following = median - states[k, low - 1]
    if last + 1 < first + count:
        following = min(following, states[k, last + 1] - median)
    return 0.5 * deviation + 0.5 * following


@njit(cache=True, nogil=True, error_model="numpy")
def _robust_zscore(
    states: Float64,
    series: Int64,
    value: Float64,
    out: Float64,
    window: int,
    min_count: int,
    scale_min: float,
) -> None:
    first = _RING + window
    for i in range(series.size):
        x = value[i]
        out[0, i] = out[1, i] = out[2, i] = math.nan
        if not math.isfinite(x):
            continue
        k = series[i]
        count = int(states[k, _COUNT])
        if count >= min_count:
            median = _median(states, k, first, count)
            scale = NORMAL_MAD * _median_deviation(states, k, first, count, median)
            out[1, i] = median
            out[2, i] = scale
            if scale > max(scale_min, RELATIVE_FLOOR * abs(median)):
                z = (x - median) / scale
                if math.isfinite(z):
                    out[0, i] = z
        _push_sorted(states, k, window, x)


@dataclass(frozen=True, slots=True)
class RobustZScore(KeyedKernel):
    """Deviation of a value from the median of those before it, in median absolute deviations.

    ``z = (x - expected) / scale``: ``expected`` is the median of the up to ``window`` finite values
    of the series before ``x``, and ``scale`` is 1.4826 times the median of their distances from it
    (Hampel 1974; Iglewicz and Hoaglin 1993): the standard deviation, if they are normal. Up to half
    of the window may be outliers without moving either far, so a second bad print is seen right
    after the first, where a standard deviation has been blinded. With heavy tails its scores are
    larger than those of a z-score: give it a higher threshold. Both medians are exact, the mean of
    the middle two where the count is even.

    Warm-up: ``min_count`` values, NaN in all three columns. A value that is not finite is skipped.
    No scale, no alarm: ``z`` is NaN where ``scale`` is not above
    ``max(scale_min, 1e-12 * |expected|)``. A window of which more than half is one value has none.

    The state holds the values twice, in order of arrival and ascending; a value costs two binary
    searches and a move of what lies between the place it takes and that of the oldest.

    Parameters
    ----------
    window
        Values to judge by, at least 3.
    min_count
        Values needed before the first score, from 3 to ``window``.
    scale_min
        Scale, in the unit of the values, up to which nothing is scored; at least 0.
    """

    window: int = 40
    min_count: int = 30
    scale_min: float = 0.0
    inputs: ClassVar[tuple[str, ...]] = ("value",)
    outputs: ClassVar[tuple[str, ...]] = ("z", "expected", "scale")

    def __post_init__(self) -> None:
        if not 3 <= self.min_count <= self.window:
            msg = f"{self.name} needs min_count from 3 to the window, not {self.min_count}"
            raise ValueError(msg)
        if not (self.scale_min >= 0 and math.isfinite(self.scale_min)):
            msg = f"{self.name} needs scale_min of at least 0, not {self.scale_min}"
            raise ValueError(msg)

    @property
    def name(self) -> str:
        return f"robust_{self.window}"

    @property
    def width(self) -> int:
        return _RING + 2 * self.window

    @property
    def warm_up(self) -> int:
        return self.min_count

    def _advance(
        self, states: Float64, series: Int64, columns: Sequence[Float64], out: Float64
    ) -> None:
        _robust_zscore(
            states, series, columns[0], out, self.window, self.min_count, float(self.scale_min)
        )
