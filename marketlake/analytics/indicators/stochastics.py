"""Where a value stands in its range: Stochastic, Williams %R, stochastic RSI."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from numba import njit

from marketlake.analytics.compiled import LOOP
from marketlake.analytics.indicators.base import (
    RowKernel,
    averaged,
    load4,
    save4,
)
from marketlake.analytics.kernel import Float64, Int64
from marketlake.analytics.windows import (
    RANGE_HEADER,
    SUM_HEADER,
    load_window3,
    load_window4,
    push_range,
    push_sum,
    range_width,
    save_window3,
    save_window4,
    sum_width,
)

RSI_RANGE_MIN = 1e-9
"""Range of an RSI, which runs from 0 to 100, that is rounding and not movement."""


@njit(**LOOP)
def _stochastic(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    high: Float64,
    low: Float64,
    close: Float64,
    out: Float64,
    row: int,
    window: int,
    smooth_k: int,
    smooth_d: int,
) -> None:
    # State: a window of extremes; windows of sums of the raw line and of k.
    k_at = word + RANGE_HEADER + 2 * window
    d_at = k_at + SUM_HEADER + smooth_k
    for run in range(series.size):
        j = series[run]
        full, pos, top, bottom = load_window4(states, j, word)
        k_full, k_pos, k_front = load_window3(states, j, k_at)
        d_full, d_pos, d_front = load_window3(states, j, d_at)
        for i in range(starts[run], starts[run + 1]):
            x = close[i]
            out[row, i] = out[row + 1, i] = math.nan
            if not math.isfinite(high[i] + low[i] + x):
                continue
            full, pos, top, bottom, highest, lowest = push_range(
                states, j, word + RANGE_HEADER, window, full, pos, top, bottom, high[i], low[i]
            )
            if full == 0.0:
                continue
            spread = highest - lowest
            raw = 100.0 * ((x - lowest) / spread) if spread > 0.0 else 0.0
            k_full, k_pos, k_front, total = push_sum(
                states, j, k_at + SUM_HEADER, smooth_k, k_full, k_pos, k_front, raw
            )
            if k_full == 0.0:
                continue
            line = total / smooth_k
            d_full, d_pos, d_front, total = push_sum(
                states, j, d_at + SUM_HEADER, smooth_d, d_full, d_pos, d_front, line
            )
            if d_full > 0.0:
                out[row, i], out[row + 1, i] = line, total / smooth_d
        save_window4(states, j, word, full, pos, top, bottom)
        save_window3(states, j, k_at, k_full, k_pos, k_front)
        save_window3(states, j, d_at, d_full, d_pos, d_front)


@dataclass(frozen=True, slots=True)
class Stochastic(RowKernel):
    """Slow stochastic oscillator, from 0 to 100: where the close stands in the range of the bars.

    ``100 * (close - lowest) / (highest - lowest)`` over the lows and highs of the last ``window``
    bars, 0 where they are equal; ``k`` is its mean over ``smooth_k`` bars, ``d`` the mean of ``k``
    over ``smooth_d``. Source: TA-Lib ``STOCH`` with simple averages; G. C. Lane. Warm-up:
    ``window + smooth_k + smooth_d - 3`` bars. A bar whose high, low or close is not finite is
    skipped: NaN for that bar.

    Parameters
    ----------
    window, smooth_k, smooth_d
        Bars, at least 1.
    """

    window: int
    smooth_k: int
    smooth_d: int
    base: ClassVar = "stochastic"
    parts: ClassVar = ("stochastic_k", "stochastic_d")
    inputs: ClassVar = ("high", "low", "close")
    loop: ClassVar = staticmethod(_stochastic)

    @property
    def width(self) -> int:
        return range_width(self.window) + sum_width(self.smooth_k) + sum_width(self.smooth_d)

    @property
    def warm_up(self) -> int:
        return self.window + self.smooth_k + self.smooth_d - 3


@njit(**LOOP)
def _williams(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    high: Float64,
    low: Float64,
    close: Float64,
    out: Float64,
    row: int,
    window: int,
) -> None:
    # State: a window of extremes.
    for run in range(series.size):
        k = series[run]
        full, pos, top, bottom = load_window4(states, k, word)
        for i in range(starts[run], starts[run + 1]):
            x = close[i]
            out[row, i] = math.nan
            if not math.isfinite(high[i] + low[i] + x):
                continue
            full, pos, top, bottom, highest, lowest = push_range(
                states, k, word + RANGE_HEADER, window, full, pos, top, bottom, high[i], low[i]
            )
            if full > 0.0:
                spread = highest - lowest
                out[row, i] = -100.0 * ((highest - x) / spread) if spread > 0.0 else 0.0
        save_window4(states, k, word, full, pos, top, bottom)


@dataclass(frozen=True, slots=True)
class WilliamsR(RowKernel):
    """Williams %R, from -100 to 0: how far the close is below the highest high.

    ``-100 * (highest - close) / (highest - lowest)`` over the last ``window`` bars, 0 where the two
    are equal. Source: TA-Lib ``WILLR``; L. Williams, 1973. Warm-up: ``window - 1`` bars. A bar
    whose high, low or close is not finite is skipped: NaN for that bar.

    Parameters
    ----------
    window
        Bars, at least 1.
    """

    window: int
    base: ClassVar = "williams_r"
    inputs: ClassVar = ("high", "low", "close")
    loop: ClassVar = staticmethod(_williams)

    @property
    def width(self) -> int:
        return range_width(self.window)

    @property
    def warm_up(self) -> int:
        return self.window - 1


@njit(forceinline=True, **LOOP)
def _index(gain: float, loss: float) -> float:
    """Give the RSI of two averages; 0 of none."""
    total = gain + loss
    return 100.0 * (gain / total) if total > 0.0 else 0.0


@njit(**LOOP)
def _stochrsi(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    close: Float64,
    out: Float64,
    row: int,
    period: int,
    window: int,
    smooth: int,
) -> None:
    # State: [that of the RSI; window of extremes of the RSI; window of sums of the fast line].
    alpha = 1.0 / period
    range_at = word + 4
    sum_at = range_at + RANGE_HEADER + 2 * window
    for run in range(series.size):
        k = series[run]
        taken, last, gain, loss = load4(states, k, word)
        full, pos, top, bottom = load_window4(states, k, range_at)
        sum_full, sum_pos, front = load_window3(states, k, sum_at)
        for i in range(starts[run], starts[run + 1]):
            x = close[i]
            out[row, i] = out[row + 1, i] = math.nan
            if not math.isfinite(x):
                continue
            change = x - last
            last = x
            if taken == 0.0:
                taken = 1.0
                continue
            gain = averaged(taken - 1.0, gain, max(change, 0.0), period, alpha)
            loss = averaged(taken - 1.0, loss, max(-change, 0.0), period, alpha)
            taken = min(taken + 1.0, period + 1.0)
            if taken <= period:
                continue
            rsi = _index(gain, loss)
            full, pos, top, bottom, highest, lowest = push_range(
                states, k, range_at + RANGE_HEADER, window, full, pos, top, bottom, rsi, rsi
            )
            if full == 0.0:
                continue
            spread = highest - lowest
            fast = 100.0 * ((rsi - lowest) / spread) if spread > RSI_RANGE_MIN else 0.0
            sum_full, sum_pos, front, total = push_sum(
                states, k, sum_at + SUM_HEADER, smooth, sum_full, sum_pos, front, fast
            )
            if sum_full > 0.0:
                out[row, i], out[row + 1, i] = fast, total / smooth
        save4(states, k, word, taken, last, gain, loss)
        save_window4(states, k, range_at, full, pos, top, bottom)
        save_window3(states, k, sum_at, sum_full, sum_pos, front)


@dataclass(frozen=True, slots=True)
class StochRsi(RowKernel):
    """Stochastic RSI, from 0 to 100: where the RSI stands in its own range.

    ``k = 100 * (rsi - lowest) / (highest - lowest)`` of the RSIs of the last ``window`` bars, ``d``
    the mean of the last ``smooth`` values of ``k``. Where the RSI did not move, by up to 1e-9 which
    is rounding, ``k`` is 0; TA-Lib gives what the rounding makes. Source: TA-Lib ``STOCHRSI``; T.
    S. Chande, S. Kroll, The New Technical Trader, 1994. Warm-up: ``period + window + smooth - 2``
    bars. A close that is not finite is skipped: NaN for that bar.

    Parameters
    ----------
    period
        Bars of the RSI, at least 1.
    window
        RSIs, at least 1.
    smooth
        Values of ``k``, at least 1.
    """

    period: int
    window: int
    smooth: int
    base: ClassVar = "stochrsi"
    parts: ClassVar = ("stochrsi_k", "stochrsi_d")
    inputs: ClassVar = ("close",)
    loop: ClassVar = staticmethod(_stochrsi)

    @property
    def width(self) -> int:
        return 4 + range_width(self.window) + sum_width(self.smooth)

    @property
    def warm_up(self) -> int:
        return self.period + self.window + self.smooth - 2
