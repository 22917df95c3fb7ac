"""Volume by where the bar closed: accumulation/distribution and what Chaikin made of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from numba import njit

from marketlake.analytics.compiled import LOOP
from marketlake.analytics.indicators.base import (
    RowKernel,
    load4,
    save4,
)
from marketlake.analytics.kernel import Float64, Int64
from marketlake.analytics.windows import (
    PAIR_HEADER,
    load_window4,
    pair_width,
    push_pair,
    save_window4,
)


@njit(forceinline=True, **LOOP)
def _money_flow(high: float, low: float, close: float, volume: float) -> float:
    """Give the volume times where the close stands between low (-1) and high (1); 0 if no range."""
    spread = high - low
    return ((close - low) - (high - close)) / spread * volume if spread > 0.0 else 0.0


@njit(**LOOP)
def _ad(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    high: Float64,
    low: Float64,
    close: Float64,
    volume: Float64,
    out: Float64,
    row: int,
) -> None:
    # State: [the line].
    for run in range(series.size):
        k = series[run]
        line = states[k, word]
        for i in range(starts[run], starts[run + 1]):
            top, bottom, x, v = high[i], low[i], close[i], volume[i]
            out[row, i] = math.nan
            if not math.isfinite(top + bottom + x + v):
                continue
            line += _money_flow(top, bottom, x, v)
            out[row, i] = line
        states[k, word] = line


@dataclass(frozen=True, slots=True)
class AccumulationDistribution(RowKernel):
    """Accumulation/distribution line: volume weighted by where the close stands in the bar.

    Sum since the series' first bar of ``((close - low) - (high - close)) / (high - low) * volume``,
    0 for a bar without range; in units of the base currency, only its changes mean anything.
    Source: TA-Lib ``AD``; M. Chaikin. No warm-up. A bar with an input that is not finite is
    skipped: NaN for that bar.
    """

    base: ClassVar = "ad"
    inputs: ClassVar = ("high", "low", "close", "volume")
    loop: ClassVar = staticmethod(_ad)

    @property
    def width(self) -> int:
        return 1

    @property
    def warm_up(self) -> int:
        return 0


@njit(**LOOP)
def _chaikin(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    high: Float64,
    low: Float64,
    close: Float64,
    volume: Float64,
    out: Float64,
    row: int,
    fast: int,
    slow: int,
) -> None:
    # State: [bars taken, up to max(fast, slow); the line; its fast average; its slow average].
    fast_alpha, slow_alpha = 2.0 / (fast + 1.0), 2.0 / (slow + 1.0)
    ready = max(fast, slow)
    for run in range(series.size):
        k = series[run]
        taken, line, fast_ema, slow_ema = load4(states, k, word)
        for i in range(starts[run], starts[run + 1]):
            top, bottom, x, v = high[i], low[i], close[i], volume[i]
            out[row, i] = math.nan
            if not math.isfinite(top + bottom + x + v):
                continue
            line += _money_flow(top, bottom, x, v)
            if taken == 0.0:
                fast_ema = slow_ema = line
            else:
                fast_ema += fast_alpha * (line - fast_ema)
                slow_ema += slow_alpha * (line - slow_ema)
            taken = min(taken + 1.0, ready)
            if taken >= ready:
                out[row, i] = fast_ema - slow_ema
        save4(states, k, word, taken, line, fast_ema, slow_ema)


@dataclass(frozen=True, slots=True)
class ChaikinOscillator(RowKernel):
    """Chaikin oscillator: fast less slow average of the accumulation/distribution line.

    ``ema(fast) - ema(slow)`` of ``ad``, both started from its first value; in units of the base
    currency. Source: TA-Lib ``ADOSC``. Warm-up: ``max(fast, slow) - 1`` bars. A bar with an input
    that is not finite is skipped: NaN for that bar.

    Parameters
    ----------
    fast, slow
        Spans in bars, at least 1; 3 and 10 are usual.
    """

    fast: int
    slow: int
    base: ClassVar = "chaikin"
    inputs: ClassVar = ("high", "low", "close", "volume")
    loop: ClassVar = staticmethod(_chaikin)

    @property
    def width(self) -> int:
        return 4

    @property
    def warm_up(self) -> int:
        return max(self.fast, self.slow) - 1


@njit(**LOOP)
def _cmf(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    high: Float64,
    low: Float64,
    close: Float64,
    volume: Float64,
    out: Float64,
    row: int,
    window: int,
) -> None:
    # State: windows of the sums of money flow and of volume.
    at_ring = word + PAIR_HEADER
    for run in range(series.size):
        k = series[run]
        full, pos, first, second = load_window4(states, k, word)
        for i in range(starts[run], starts[run + 1]):
            top, bottom, x, v = high[i], low[i], close[i], volume[i]
            out[row, i] = math.nan
            if not math.isfinite(top + bottom + x + v):
                continue
            full, pos, first, second, flow, total = push_pair(
                states,
                k,
                at_ring,
                window,
                full,
                pos,
                first,
                second,
                _money_flow(top, bottom, x, v),
                v,
            )
            if full > 0.0 and total > 0.0:
                out[row, i] = flow / total
        save_window4(states, k, word, full, pos, first, second)


@dataclass(frozen=True, slots=True)
class ChaikinMoneyFlow(RowKernel):
    """Chaikin money flow, from -1 to 1: where the volume of the last bars closed in their ranges.

    ``sum(flow) / sum(volume)`` over ``window`` bars, ``flow`` being a bar's part of ``ad``; NaN
    where the window holds no volume. Source: StockCharts ChartSchool, Chaikin Money Flow; TA-Lib
    has none. Warm-up: ``window - 1`` bars. A bar with an input that is not finite is skipped: NaN
    for that bar.

    Parameters
    ----------
    window
        Bars, at least 1.
    """

    window: int
    base: ClassVar = "cmf"
    inputs: ClassVar = ("high", "low", "close", "volume")
    loop: ClassVar = staticmethod(_cmf)

    @property
    def width(self) -> int:
        return pair_width(self.window)

    @property
    def warm_up(self) -> int:
        return self.window - 1
