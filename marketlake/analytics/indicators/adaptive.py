"""Moving averages that lag less: Kaufman's, which adapts to the noise, and Hull's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from numba import njit

from marketlake.analytics.compiled import LOOP
from marketlake.analytics.indicators.base import RowKernel, require_at_least
from marketlake.analytics.kernel import Float64, Int64
from marketlake.analytics.windows import (
    WEIGHTED_HEADER,
    load_window4,
    push_sum,
    push_weighted,
    save_window4,
    weighted_width,
)

_KAMA_HEADER = 5
_FASTEST = 2.0 / (2.0 + 1.0)
_SLOWEST = 2.0 / (30.0 + 1.0)


@njit(**LOOP)
def _kama(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    close: Float64,
    out: Float64,
    row: int,
    window: int,
) -> None:
    # State: [full; pos; front of the sum of changes; average; whether a close was taken; ring of
    # changes; ring of closes]. The close `window` bars old stands where the newest is written; the
    # very first close stands in the last slot.
    changes = word + _KAMA_HEADER
    closes = changes + window
    for run in range(series.size):
        k = series[run]
        full, pos, front, average = load_window4(states, k, word)
        for i in range(starts[run], starts[run + 1]):
            x = close[i]
            out[row, i] = math.nan
            if not math.isfinite(x):
                continue
            if states[k, word + 4] == 0.0:
                states[k, word + 4] = 1.0
                states[k, closes + window - 1] = x
                continue
            newest = closes + (pos - 1 if pos > 0 else window - 1)
            last = states[k, newest]
            oldest = states[k, closes + pos]
            before, ready = pos, full
            full, pos, front, path = push_sum(
                states, k, changes, window, full, pos, front, abs(x - last)
            )
            states[k, closes + before] = x
            if full == 0.0:
                continue
            if ready == 0.0:
                average = last
            net = x - oldest
            ratio = 1.0 if path <= net or path == 0.0 else abs(net / path)
            smoothing = ratio * (_FASTEST - _SLOWEST) + _SLOWEST
            average += smoothing * smoothing * (x - average)
            out[row, i] = average
        save_window4(states, k, word, full, pos, front, average)


@dataclass(frozen=True, slots=True)
class Kama(RowKernel):
    """Kaufman's adaptive moving average: fast in a trend, slow in noise.

    ``kama += sc**2 * (close - kama)``, ``sc = er * (2/3 - 2/31) + 2/31``, the efficiency ratio
    ``er`` being the net change over the last ``window`` bars over the sum of their absolute
    changes, 1 where nothing changed. It starts from the close before its first value. Source:
    TA-Lib ``KAMA``; P. J. Kaufman, Smarter Trading, 1995. Warm-up: ``window`` bars. A close that is
    not finite is skipped: NaN for that bar.

    Parameters
    ----------
    window
        Bars, at least 2.
    """

    window: int
    base: ClassVar = "kama"
    inputs: ClassVar = ("close",)
    loop: ClassVar = staticmethod(_kama)

    def _check(self) -> None:
        require_at_least(self.name, 2, window=self.window)

    @property
    def width(self) -> int:
        return _KAMA_HEADER + 2 * self.window

    @property
    def warm_up(self) -> int:
        return self.window


@njit(**LOOP)
def _hma(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    close: Float64,
    out: Float64,
    row: int,
    window: int,
) -> None:
    # State: three weighted windows: of `window`, of its half, and of its root over the difference.
    half = window // 2
    root = int(math.sqrt(window))
    half_at = word + WEIGHTED_HEADER + window
    root_at = half_at + WEIGHTED_HEADER + half
    weights, half_weights = 0.5 * window * (window + 1.0), 0.5 * half * (half + 1.0)
    root_weights = 0.5 * root * (root + 1.0)
    for run in range(series.size):
        k = series[run]
        full, pos, plain, weighted = load_window4(states, k, word)
        half_full, half_pos, half_plain, half_weighted = load_window4(states, k, half_at)
        root_full, root_pos, root_plain, root_weighted = load_window4(states, k, root_at)
        for i in range(starts[run], starts[run + 1]):
            x = close[i]
            out[row, i] = math.nan
            if not math.isfinite(x):
                continue
            full, pos, plain, weighted, slow = push_weighted(
                states, k, word + WEIGHTED_HEADER, window, full, pos, plain, weighted, x
            )
            half_full, half_pos, half_plain, half_weighted, fast = push_weighted(
                states, k, half_at + WEIGHTED_HEADER, half,
                half_full, half_pos, half_plain, half_weighted, x,
            )  # fmt: skip
            if full == 0.0:
                continue
            root_full, root_pos, root_plain, root_weighted, total = push_weighted(
                states, k, root_at + WEIGHTED_HEADER, root,
                root_full, root_pos, root_plain, root_weighted,
                2.0 * (fast / half_weights) - slow / weights,
            )  # fmt: skip
            if root_full > 0.0:
                out[row, i] = total / root_weights
        save_window4(states, k, word, full, pos, plain, weighted)
        save_window4(states, k, half_at, half_full, half_pos, half_plain, half_weighted)
        save_window4(states, k, root_at, root_full, root_pos, root_plain, root_weighted)


@dataclass(frozen=True, slots=True)
class Hma(RowKernel):
    """Hull's moving average: a weighted average of twice the fast one less the slow one.

    ``wma(2 * wma(close, window / 2) - wma(close, window), sqrt(window))``; half and root are
    rounded down. Source: A. Hull, Hull Moving Average, alanhull.com, 2005;
    TA-Lib has none. Warm-up: ``window + floor(sqrt(window)) - 2`` bars. A close that is not finite
    is skipped: NaN for that bar, and the windows keep their values.

    Parameters
    ----------
    window
        Bars, at least 2.
    """

    window: int
    base: ClassVar = "hma"
    inputs: ClassVar = ("close",)
    loop: ClassVar = staticmethod(_hma)

    def _check(self) -> None:
        require_at_least(self.name, 2, window=self.window)

    @property
    def _root(self) -> int:
        return math.isqrt(self.window)

    @property
    def width(self) -> int:
        windows = (self.window, self.window // 2, self._root)
        return sum(weighted_width(window) for window in windows)

    @property
    def warm_up(self) -> int:
        return self.window + self._root - 2
