"""Estimators of the volatility of the log price, all as a standard deviation a bar.

Multiply by the root of the bars in a year to annualise. A price that is not above 0 has no
logarithm: such a bar is skipped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from numba import njit

from marketlake.analytics.compiled import LOOP
from marketlake.analytics.indicators.base import RowKernel, require_at_least
from marketlake.analytics.kernel import Float64, Int64
from marketlake.analytics.windows import (
    MOMENTS_HEADER,
    SUM_HEADER,
    load_window3,
    moments,
    moments_width,
    push_moments,
    push_sum,
    save_window3,
    sum_width,
)

_FOUR_LN_2 = 4.0 * math.log(2.0)
_BODY = 2.0 * math.log(2.0) - 1.0


@njit(forceinline=True, **LOOP)
def _usable(price: float) -> bool:
    """Tell whether a price has a logarithm."""
    return price > 0.0 and price < math.inf


@njit(**LOOP)
def _realised(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    close: Float64,
    out: Float64,
    row: int,
    window: int,
) -> None:
    # State: [last close, 0 before the first; a window of sums of squared returns].
    at = word + 1
    for run in range(series.size):
        k = series[run]
        last = states[k, word]
        full, pos, front = load_window3(states, k, at)
        for i in range(starts[run], starts[run + 1]):
            x = close[i]
            out[row, i] = math.nan
            if not _usable(x):
                continue
            ratio = x / last
            before, last = last, x
            if before == 0.0:
                continue
            change = math.log(ratio)
            full, pos, front, total = push_sum(
                states, k, at + SUM_HEADER, window, full, pos, front, change * change
            )
            if full > 0.0:
                out[row, i] = math.sqrt(total / window)
        states[k, word] = last
        save_window3(states, k, at, full, pos, front)


@dataclass(frozen=True, slots=True)
class RealisedVolatility(RowKernel):
    """Realised volatility: root of the mean squared log return, a bar.

    ``sqrt(sum(ln(close / last close)**2) / window)`` over the last ``window`` returns: the mean is
    taken as 0, as usual for short bars. Source: T. G. Andersen, T. Bollerslev, Answering the
    Skeptics, International Economic Review 39, 1998; TA-Lib has none. Warm-up: ``window`` bars. A
    close that is not finite and above 0 is skipped: NaN for that bar.

    Parameters
    ----------
    window
        Returns, at least 1.
    """

    window: int
    base: ClassVar = "realised"
    inputs: ClassVar = ("close",)
    loop: ClassVar = staticmethod(_realised)

    @property
    def width(self) -> int:
        return 1 + sum_width(self.window)

    @property
    def warm_up(self) -> int:
        return self.window


@njit(**LOOP)
def _parkinson(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    high: Float64,
    low: Float64,
    out: Float64,
    row: int,
    window: int,
) -> None:
    # State: a window of sums of squared ranges.
    for run in range(series.size):
        k = series[run]
        full, pos, front = load_window3(states, k, word)
        for i in range(starts[run], starts[run + 1]):
            out[row, i] = math.nan
            if not (_usable(high[i]) and _usable(low[i])):
                continue
            spread = math.log(high[i] / low[i])
            variance = spread * spread
            full, pos, front, total = push_sum(
                states, k, word + SUM_HEADER, window, full, pos, front, variance
            )
            if full > 0.0:
                out[row, i] = math.sqrt(total / (window * _FOUR_LN_2))
        save_window3(states, k, word, full, pos, front)


@dataclass(frozen=True, slots=True)
class Parkinson(RowKernel):
    """Parkinson's volatility, from the ranges of the bars.

    ``sqrt(mean(ln(high / low)**2) / (4 ln 2))`` over ``window`` bars. Source: M. Parkinson, The
    Extreme Value Method for Estimating the Variance of the Rate of Return, Journal of Business 53,
    1980; TA-Lib has none. Warm-up: ``window - 1`` bars. A bar whose high or low is not finite and
    above 0 is skipped: NaN for that bar.

    Parameters
    ----------
    window
        Bars, at least 1.
    """

    window: int
    base: ClassVar = "parkinson"
    inputs: ClassVar = ("high", "low")
    loop: ClassVar = staticmethod(_parkinson)

    @property
    def width(self) -> int:
        return sum_width(self.window)

    @property
    def warm_up(self) -> int:
        return self.window - 1


@njit(**LOOP)
def _garman_klass(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    open_: Float64,
    high: Float64,
    low: Float64,
    close: Float64,
    out: Float64,
    row: int,
    window: int,
) -> None:
    # State: a window of sums of the bars' variances.
    for run in range(series.size):
        k = series[run]
        full, pos, front = load_window3(states, k, word)
        for i in range(starts[run], starts[run + 1]):
            out[row, i] = math.nan
            if not (
                _usable(open_[i]) and _usable(high[i]) and _usable(low[i]) and _usable(close[i])
            ):
                continue
            spread, body = math.log(high[i] / low[i]), math.log(close[i] / open_[i])
            variance = 0.5 * spread * spread - _BODY * body * body
            full, pos, front, total = push_sum(
                states, k, word + SUM_HEADER, window, full, pos, front, variance
            )
            if full > 0.0:
                out[row, i] = math.sqrt(max(total, 0.0) / window)
        save_window3(states, k, word, full, pos, front)


@dataclass(frozen=True, slots=True)
class GarmanKlass(RowKernel):
    """Garman and Klass's volatility, from open, high, low and close.

    ``sqrt(mean(ln(high / low)**2 / 2 - (2 ln 2 - 1) * ln(close / open)**2))`` over ``window`` bars;
    0 where the mean is negative, which only bars with a body beyond their range make. Source: M. B.
    Garman, M. J. Klass, On the Estimation of Security Price Volatilities from Historical Data,
    Journal of Business 53, 1980; TA-Lib has none. Warm-up: ``window - 1`` bars. A bar with a price
    that is not finite and above 0 is skipped: NaN for that bar.

    Parameters
    ----------
    window
        Bars, at least 1.
    """

    window: int
    base: ClassVar = "garman_klass"
    inputs: ClassVar = ("open", "high", "low", "close")
    loop: ClassVar = staticmethod(_garman_klass)

    @property
    def width(self) -> int:
        return sum_width(self.window)

    @property
    def warm_up(self) -> int:
        return self.window - 1


@njit(**LOOP)
def _yang_zhang(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    open_: Float64,
    high: Float64,
    low: Float64,
    close: Float64,
    out: Float64,
    row: int,
    window: int,
) -> None:
    # State: [last close, 0 before the first; windows of moments of the gaps and of the bodies; a
    # window of sums of Rogers and Satchell's variances].
    gaps = word + 1
    bodies = gaps + MOMENTS_HEADER + 2 * window
    inner = bodies + MOMENTS_HEADER + 2 * window
    weight = 0.34 / (1.34 + (window + 1.0) / (window - 1.0))
    for run in range(series.size):
        k = series[run]
        for i in range(starts[run], starts[run + 1]):
            out[row, i] = math.nan
            if not (
                _usable(open_[i]) and _usable(high[i]) and _usable(low[i]) and _usable(close[i])
            ):
                continue
            last = states[k, word]
            states[k, word] = close[i]
            if last == 0.0:
                continue
            up, down = math.log(high[i] / open_[i]), math.log(low[i] / open_[i])
            body = math.log(close[i] / open_[i])
            push_moments(states, k, window, math.log(open_[i] / last), gaps)
            push_moments(states, k, window, body, bodies)
            full, pos, front = load_window3(states, k, inner)
            full, pos, front, total = push_sum(
                states, k, inner + SUM_HEADER, window, full, pos, front,
                up * (up - body) + down * (down - body),
            )  # fmt: skip
            save_window3(states, k, inner, full, pos, front)
            if full == 0.0:
                continue
            _, _, gap_m2 = moments(states, k, window, gaps)
            _, _, body_m2 = moments(states, k, window, bodies)
            variance = (gap_m2 + weight * body_m2) / (window - 1.0) + (
                1.0 - weight
            ) * total / window
            out[row, i] = math.sqrt(max(variance, 0.0))


@dataclass(frozen=True, slots=True)
class YangZhang(RowKernel):
    """Yang and Zhang's volatility, which knows of gaps between bars and of drift.

    ``sqrt(var(ln(open / last close)) + k * var(ln(close / open)) + (1 - k) * rs)`` over ``window``
    bars: sample variances (divided by ``window - 1``), ``rs`` the mean of Rogers and Satchell's ``u
    * (u - c) + d * (d - c)`` with ``u``, ``d``, ``c`` the logs of high, low and close over open,
    and ``k = 0.34 / (1.34 + (window + 1) / (window - 1))``. Source: D. Yang, Q. Zhang,
    Drift-Independent Volatility Estimation, Journal of Business 73, 2000; TA-Lib has none. Warm-up:
    ``window`` bars. A bar with a price that is not finite and above 0 is skipped: NaN for that bar.

    Parameters
    ----------
    window
        Bars, at least 2.
    """

    window: int
    base: ClassVar = "yang_zhang"
    inputs: ClassVar = ("open", "high", "low", "close")
    loop: ClassVar = staticmethod(_yang_zhang)

    def _check(self) -> None:
        require_at_least(self.name, 2, window=self.window)

    @property
    def width(self) -> int:
        return 1 + 2 * moments_width(self.window) + sum_width(self.window)

    @property
    def warm_up(self) -> int:
        return self.window
