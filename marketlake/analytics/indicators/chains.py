"""Chains of exponential averages: DEMA, TEMA, TRIX."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from numba import njit

from marketlake.analytics.compiled import LOOP
from marketlake.analytics.indicators.base import (
    RowKernel,
    averaged,
    load3,
    load4,
    save3,
    save4,
)
from marketlake.analytics.kernel import Float64, Int64


@njit(**LOOP)
def _dema(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    close: Float64,
    out: Float64,
    row: int,
    span: int,
) -> None:
    # State: [closes taken, up to 2 * span; first average; second], sums until they have values.
    alpha = 2.0 / (span + 1.0)
    lag = span - 1.0
    for run in range(series.size):
        k = series[run]
        taken, first, second = load3(states, k, word)
        for i in range(starts[run], starts[run + 1]):
            x = close[i]
            out[row, i] = math.nan
            if not math.isfinite(x):
                continue
            before = taken
            taken = min(before + 1.0, 2.0 * span)
            first = averaged(before, first, x, span, alpha)
            if before < lag:
                continue
            second = averaged(before - lag, second, first, span, alpha)
            if before >= 2.0 * lag:
                out[row, i] = 2.0 * first - second
        save3(states, k, word, taken, first, second)


@dataclass(frozen=True, slots=True)
class Dema(RowKernel):
    """Double exponential moving average, ``2 * ema - ema(ema)``.

    Source: TA-Lib ``DEMA``; P. Mulloy, Smoothing Data with Faster Moving Averages, Stocks &
    Commodities 12:1, 1994. Each of the two averages starts from the mean of the first ``span``
    values that it is given. Warm-up: ``2 * (span - 1)`` bars. A close that is not finite is
    skipped: NaN for that bar, and the averages stay.

    Parameters
    ----------
    span
        Bars, at least 1.
    """

    span: int
    base: ClassVar = "dema"
    inputs: ClassVar = ("close",)
    loop: ClassVar = staticmethod(_dema)

    @property
    def width(self) -> int:
        return 3

    @property
    def warm_up(self) -> int:
        return 2 * (self.span - 1)


@njit(**LOOP)
def _tema(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    close: Float64,
    out: Float64,
    row: int,
    span: int,
) -> None:
    # State: [closes taken, up to 3 * span; the three averages], sums until they have values.
    alpha = 2.0 / (span + 1.0)
    lag = span - 1.0
    for run in range(series.size):
        k = series[run]
        taken, first, second, third = load4(states, k, word)
        for i in range(starts[run], starts[run + 1]):
            x = close[i]
            out[row, i] = math.nan
            if not math.isfinite(x):
                continue
            before = taken
            taken = min(before + 1.0, 3.0 * span)
            first = averaged(before, first, x, span, alpha)
            if before < lag:
                continue
            second = averaged(before - lag, second, first, span, alpha)
            if before < 2.0 * lag:
                continue
            third = averaged(before - 2.0 * lag, third, second, span, alpha)
            if before >= 3.0 * lag:
                out[row, i] = 3.0 * first - 3.0 * second + third
        save4(states, k, word, taken, first, second, third)


@dataclass(frozen=True, slots=True)
class Tema(RowKernel):
    """Triple exponential moving average, ``3 * ema - 3 * ema(ema) + ema(ema(ema))``.

    Source: TA-Lib ``TEMA``; P. Mulloy, Stocks & Commodities 12:2, 1994. Each of the three averages
    starts from the mean of the first ``span`` values that it is given. Warm-up:
    ``3 * (span - 1)`` bars. A close that is not finite is skipped: NaN for that bar, and the
    averages stay.

    Parameters
    ----------
    span
        Bars, at least 1.
    """

    span: int
    base: ClassVar = "tema"
    inputs: ClassVar = ("close",)
    loop: ClassVar = staticmethod(_tema)

    @property
    def width(self) -> int:
        return 4

    @property
    def warm_up(self) -> int:
        return 3 * (self.span - 1)


@njit(**LOOP)
def _trix(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    close: Float64,
    out: Float64,
    row: int,
    span: int,
) -> None:
    # State: [closes taken, up to 3 * span; the three averages], sums until they have values.
    alpha = 2.0 / (span + 1.0)
    lag = span - 1.0
    for run in range(series.size):
        k = series[run]
        taken, first, second, third = load4(states, k, word)
        for i in range(starts[run], starts[run + 1]):
            x = close[i]
            out[row, i] = math.nan
            if not math.isfinite(x):
                continue
            before = taken
            taken = min(before + 1.0, 3.0 * span)
            first = averaged(before, first, x, span, alpha)
            if before < lag:
                continue
            second = averaged(before - lag, second, first, span, alpha)
            if before < 2.0 * lag:
                continue
            last = third
            third = averaged(before - 2.0 * lag, third, second, span, alpha)
            if before > 3.0 * lag:
                out[row, i] = 100.0 * ((third - last) / last) if last != 0.0 else 0.0
        save4(states, k, word, taken, first, second, third)


@dataclass(frozen=True, slots=True)
class Trix(RowKernel):
    """TRIX: the change of a triple exponential average from bar to bar, in percent.

    ``100 * (t - t of the last bar) / t of the last bar``, ``t = ema(ema(ema(close)))``, each
    average started from the mean of the first ``span`` values that it is given; 0 where the last
    was 0. Source: TA-Lib ``TRIX``; J. Hutson, Stocks & Commodities 1:5, 1983. Warm-up: ``3 * (span
    - 1) + 1`` bars. A close that is not finite is skipped: NaN for that bar.

    Parameters
    ----------
    span
        Bars, at least 1.
    """

    span: int
    base: ClassVar = "trix"
    inputs: ClassVar = ("close",)
    loop: ClassVar = staticmethod(_trix)

    @property
    def width(self) -> int:
        return 4

    @property
    def warm_up(self) -> int:
        return 3 * (self.span - 1) + 1
