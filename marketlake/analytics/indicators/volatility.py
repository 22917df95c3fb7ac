"""Volatility in the unit of the price and in percent: average true range, Ulcer index."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from numba import njit

from marketlake.analytics.compiled import LOOP
from marketlake.analytics.indicators.base import BarKernel, averaged, load3, save3
from marketlake.analytics.kernel import Float64, Int64
from marketlake.analytics.windows import add_to_range, add_to_sum, range_width, sum_width


@njit(**LOOP)
def _atr(
    states: Float64,
    word: int,
    series: Int64,
    high: Float64,
    low: Float64,
    close: Float64,
    out: Float64,
    row: int,
    period: int,
) -> None:
    # State: [bars taken, up to period + 1; last close; sum of the true ranges until there are
    # `period` of them, then Wilder's average].
    alpha = 1.0 / period
    held = -1
    taken, last, average = 0.0, 0.0, 0.0
    for i in range(series.size):
        top, bottom, x = high[i], low[i], close[i]
        out[row, i] = math.nan
        if not math.isfinite(top + bottom + x):
            continue
        k = series[i]
        if k != held:
            if held >= 0:
                save3(states, held, word, taken, last, average)
            held = k
            taken, last, average = load3(states, k, word)
        spread = (top if top > last else last) - (bottom if bottom < last else last)
        last = x
        if taken == 0.0:
            taken = 1.0
            continue
        average = averaged(taken - 1.0, average, spread, period, alpha)
        if taken <= period:
            taken += 1.0
            if taken <= period:
                continue
        out[row, i] = average
    if held >= 0:
        save3(states, held, word, taken, last, average)


@dataclass(frozen=True, slots=True)
class Atr(BarKernel):
    """Average true range of Wilder, in the unit of the price.

    True range: ``max(high, last close) - min(low, last close)``; the first bar has none. The
    average starts from the mean of the first ``period`` true ranges, then
    ``atr = (atr * (period - 1) + true range) / period``. Source: TA-Lib ``ATR``; J. W. Wilder, New
    Concepts in Technical Trading Systems, 1978. Warm-up: ``period`` bars. A bar whose high, low or
    close is not finite is skipped: NaN for that bar, and the next true range is against the last
    close taken.

    Parameters
    ----------
    period
        Bars, at least 1.
    """

    period: int
    base: ClassVar = "atr"
    inputs: ClassVar = ("high", "low", "close")
    loop: ClassVar = staticmethod(_atr)

    @property
    def width(self) -> int:
        return 3

    @property
    def warm_up(self) -> int:
        return self.period


@njit(**LOOP)
def _natr(
    states: Float64,
    word: int,
    series: Int64,
    high: Float64,
    low: Float64,
    close: Float64,
    out: Float64,
    row: int,
    period: int,
) -> None:
    # State: that of the average true range, which stands in the row of the output first.
    _atr(states, word, series, high, low, close, out, row, period)
    for i in range(series.size):
        # Where there is no true range yet, nothing but NaN comes of it.
        out[row, i] = 100.0 * (out[row, i] / close[i]) if close[i] != 0.0 else 0.0 * out[row, i]


@dataclass(frozen=True, slots=True)
class Natr(BarKernel):
    """Average true range of Wilder in percent of the close.

    ``100 * atr / close``, 0 where the close is 0. Source: TA-Lib ``NATR``. Warm-up: ``period`` bars.
    A bar whose high, low or close is not finite is skipped: NaN for that bar.

    Parameters
    ----------
    period
        Bars, at least 1.
    """

    period: int
    base: ClassVar = "natr"
    inputs: ClassVar = ("high", "low", "close")
    loop: ClassVar = staticmethod(_natr)

    @property
    def width(self) -> int:
        return 3

    @property
    def warm_up(self) -> int:
        return self.period


@njit(**LOOP)
def _ulcer(
    states: Float64, word: int, series: Int64, close: Float64, out: Float64, row: int, window: int
) -> None:
    # State: a window of extremes of the close; a window of sums of squared drawdowns.
    sum_at = word + 4 + 2 * window
    for i in range(series.size):
        x = close[i]
        out[row, i] = math.nan
        if not math.isfinite(x):
            continue
        k = series[i]
        highest, _ = add_to_range(states, k, word, window, x, x)
        if math.isnan(highest):
            continue
        drawdown = 100.0 * ((x - highest) / highest) if highest != 0.0 else 0.0
        total = add_to_sum(states, k, sum_at, window, drawdown * drawdown)
        if not math.isnan(total):
            out[row, i] = math.sqrt(total / window)


@dataclass(frozen=True, slots=True)
class Ulcer(BarKernel):
    """Ulcer index, in percent: how deep and how long the close has been below its highest.

    Root of the mean over ``window`` bars of the squared drawdown
    ``100 * (close - highest) / highest``, the highest close of the ``window`` bars that end with
    each. Source: P. Martin, B. McCann, The Investor's Guide to Fidelity Funds, 1989, as in
    StockCharts ChartSchool, Ulcer Index; TA-Lib has none. Warm-up: ``2 * (window - 1)`` bars. A
    close that is not finite is skipped: NaN for that bar.

    Parameters
    ----------
    window
        Bars, at least 1.
    """

    window: int
    base: ClassVar = "ulcer"
    inputs: ClassVar = ("close",)
    loop: ClassVar = staticmethod(_ulcer)

    @property
    def width(self) -> int:
        return range_width(self.window) + sum_width(self.window)

    @property
    def warm_up(self) -> int:
        return 2 * (self.window - 1)
