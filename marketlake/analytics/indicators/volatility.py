"""Volatility in the unit of the price and in percent: average true range, Ulcer index."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from numba import njit

from marketlake.analytics.compiled import LOOP
from marketlake.analytics.indicators.base import RowKernel, averaged, load3, save3
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


@njit(**LOOP)
def _atr(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
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
    for run in range(series.size):
        k = series[run]
        taken, last, average = load3(states, k, word)
        for i in range(starts[run], starts[run + 1]):
            top, bottom, x = high[i], low[i], close[i]
            out[row, i] = math.nan
            if not math.isfinite(top + bottom + x):
                continue
            spread = (max(last, top)) - (min(last, bottom))
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
        save3(states, k, word, taken, last, average)


@dataclass(frozen=True, slots=True)
class Atr(RowKernel):
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
    starts: Int64,
    high: Float64,
    low: Float64,
    close: Float64,
    out: Float64,
    row: int,
    period: int,
) -> None:
    # State: that of the average true range, which stands in the row of the output first.
    _atr(states, word, series, starts, high, low, close, out, row, period)
    for i in range(close.size):
        # Where there is no true range yet, nothing but NaN comes of it.
        out[row, i] = 100.0 * (out[row, i] / close[i]) if close[i] != 0.0 else 0.0 * out[row, i]


@dataclass(frozen=True, slots=True)
class Natr(RowKernel):
    """Average true range of Wilder in percent of the close.

    ``100 * atr / close``, 0 where the close is 0. Source: TA-Lib ``NATR``. Warm-up: ``period``
    bars. A bar whose high, low or close is not finite is skipped: NaN for that bar.

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
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    close: Float64,
    out: Float64,
    row: int,
    window: int,
) -> None:
    # State: a window of extremes of the close; a window of sums of squared drawdowns.
    sum_at = word + RANGE_HEADER + 2 * window
    for run in range(series.size):
        k = series[run]
        full, pos, top, bottom = load_window4(states, k, word)
        sum_full, sum_pos, front = load_window3(states, k, sum_at)
        for i in range(starts[run], starts[run + 1]):
            x = close[i]
            out[row, i] = math.nan
            if not math.isfinite(x):
                continue
            full, pos, top, bottom, highest, _ = push_range(
                states, k, word + RANGE_HEADER, window, full, pos, top, bottom, x, x
            )
            if full == 0.0:
                continue
            drawdown = 100.0 * ((x - highest) / highest) if highest != 0.0 else 0.0
            sum_full, sum_pos, front, total = push_sum(
                states,
                k,
                sum_at + SUM_HEADER,
                window,
                sum_full,
                sum_pos,
                front,
                drawdown * drawdown,
            )
            if sum_full > 0.0:
                out[row, i] = math.sqrt(total / window)
        save_window4(states, k, word, full, pos, top, bottom)
        save_window3(states, k, sum_at, sum_full, sum_pos, front)


@dataclass(frozen=True, slots=True)
class Ulcer(RowKernel):
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
