"""Rises against falls: relative strength, Chande's momentum, money flow, true strength."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from numba import njit

from marketlake.analytics.compiled import LOOP
from marketlake.analytics.indicators.base import (
    RowKernel,
    averaged,
    load2,
    load4,
    save2,
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

TYPICAL_CHANGE_MIN = 1e-13
"""Change of a typical price, as a part of it, that is rounding and not movement."""


@njit(**LOOP)
def _rsi(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    close: Float64,
    out: Float64,
    row: int,
    period: int,
) -> None:
    # State: [closes taken, up to period + 1; last close; gain; loss]. Gain and loss are sums
    # until there are `period` changes, then Wilder's averages.
    alpha = 1.0 / period
    for run in range(series.size):
        k = series[run]
        taken, last, gain, loss = load4(states, k, word)
        for i in range(starts[run], starts[run + 1]):
            x = close[i]
            out[row, i] = math.nan
            if not math.isfinite(x):
                continue
            change = x - last
            last = x
            if taken == 0.0:
                taken = 1.0
                continue
            gain = averaged(taken - 1.0, gain, max(0.0, change), period, alpha)
            loss = averaged(taken - 1.0, loss, -change if change < 0.0 else 0.0, period, alpha)
            if taken <= period:
                taken += 1.0
                if taken <= period:
                    continue
            total = gain + loss
            out[row, i] = 100.0 * (gain / total) if total > 0.0 else 0.0
        save4(states, k, word, taken, last, gain, loss)


@dataclass(frozen=True, slots=True)
class Rsi(RowKernel):
    """Relative strength index of Wilder, from 0 to 100.

    ``100 * gain / (gain + loss)``, where gain and loss are Wilder's averages,
    ``average = (average * (period - 1) + new) / period``, of the rises and of the falls of the
    close, started from the plain mean of the first ``period`` changes. A market without any
    change so far has 0, as in TA-Lib; one that goes flat keeps its value, for both averages fade
    alike, at any scale of the price. Source: TA-Lib ``RSI``; J. W. Wilder, New Concepts in
    Technical Trading Systems, 1978. Warm-up: ``period`` bars. A close that is not finite is
    skipped: NaN for that bar, and the next change is against the last finite close.

    Parameters
    ----------
    period
        Bars, at least 1.
    """

    period: int
    base: ClassVar = "rsi"
    inputs: ClassVar = ("close",)
    loop: ClassVar = staticmethod(_rsi)

    @property
    def width(self) -> int:
        return 4

    @property
    def warm_up(self) -> int:
        return self.period


@njit(**LOOP)
def _cmo(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    close: Float64,
    out: Float64,
    row: int,
    period: int,
) -> None:
    # State: as of the RSI.
    alpha = 1.0 / period
    for run in range(series.size):
        k = series[run]
        taken, last, gain, loss = load4(states, k, word)
        for i in range(starts[run], starts[run + 1]):
            x = close[i]
            out[row, i] = math.nan
            if not math.isfinite(x):
                continue
            change = x - last
            last = x
            if taken == 0.0:
                taken = 1.0
                continue
            gain = averaged(taken - 1.0, gain, max(0.0, change), period, alpha)
            loss = averaged(taken - 1.0, loss, -change if change < 0.0 else 0.0, period, alpha)
            if taken <= period:
                taken += 1.0
                if taken <= period:
                    continue
            total = gain + loss
            out[row, i] = 100.0 * ((gain - loss) / total) if total > 0.0 else 0.0
        save4(states, k, word, taken, last, gain, loss)


@dataclass(frozen=True, slots=True)
class Cmo(RowKernel):
    """Chande momentum oscillator, from -100 to 100.

    ``100 * (gain - loss) / (gain + loss)`` with Wilder's averages of the rises and of the falls,
    as in ``rsi``; Chande himself took plain sums. A market without any change so far has 0. Source:
    TA-Lib ``CMO``; T. S. Chande, S. Kroll, The New Technical Trader, 1994. Warm-up: ``period``
    bars. A close that is not finite is skipped: NaN for that bar, and the next change is against
    the last finite close.

    Parameters
    ----------
    period
        Bars, at least 1.
    """

    period: int
    base: ClassVar = "cmo"
    inputs: ClassVar = ("close",)
    loop: ClassVar = staticmethod(_cmo)

    @property
    def width(self) -> int:
        return 4

    @property
    def warm_up(self) -> int:
        return self.period


@njit(**LOOP)
def _mfi(
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
    # State: [whether a bar was taken; last typical price; windows of the sums of rising and of
    # falling flow].
    at = word + 2
    for run in range(series.size):
        k = series[run]
        taken, last = load2(states, k, word)
        full, pos, front_up, front_down = load_window4(states, k, at)
        for i in range(starts[run], starts[run + 1]):
            out[row, i] = math.nan
            typical = (high[i] + low[i] + close[i]) / 3.0
            flow = typical * volume[i]
            if not math.isfinite(flow):
                continue
            change, least = typical - last, TYPICAL_CHANGE_MIN * abs(typical)
            last = typical
            if taken == 0.0:
                taken = 1.0
                continue
            rising = flow if change > least else 0.0
            falling = flow if change < -least else 0.0
            full, pos, front_up, front_down, rising, falling = push_pair(
                states,
                k,
                at + PAIR_HEADER,
                window,
                full,
                pos,
                front_up,
                front_down,
                rising,
                falling,
            )
            if full > 0.0:
                total = rising + falling
                out[row, i] = 100.0 * (rising / total) if total > 0.0 else 0.0
        save2(states, k, word, taken, last)
        save_window4(states, k, at, full, pos, front_up, front_down)


@dataclass(frozen=True, slots=True)
class Mfi(RowKernel):
    """Money flow index, from 0 to 100: an RSI of what was traded.

    ``100 * rising / (rising + falling)``: the sums over ``window`` bars of the typical price
    ``(high + low + close) / 3`` times the volume, of bars whose typical price rose or fell (by more
    than 1e-13 of it: less is the rounding of equal sums); 0 where nothing flowed. Source: TA-Lib
    ``MFI``, which also gives 0 for any flow below 1; G. Quong, A. Soudack,
    Stocks & Commodities 7:3, 1989. Warm-up: ``window`` bars. A bar with an input that is not finite
    is skipped: NaN for that bar.

    Parameters
    ----------
    window
        Bars, at least 1.
    """

    window: int
    base: ClassVar = "mfi"
    inputs: ClassVar = ("high", "low", "close", "volume")
    loop: ClassVar = staticmethod(_mfi)

    @property
    def width(self) -> int:
        return 2 + pair_width(self.window)

    @property
    def warm_up(self) -> int:
        return self.window


@njit(**LOOP)
def _tsi(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    close: Float64,
    out: Float64,
    row: int,
    slow: int,
    fast: int,
) -> None:
    # State: [closes taken, up to slow + fast; last close; averages of the change: slow, and fast of
    # it; of the absolute change: slow, and fast of it], sums until they have values.
    slow_alpha, fast_alpha = 2.0 / (slow + 1.0), 2.0 / (fast + 1.0)
    for run in range(series.size):
        k = series[run]
        for i in range(starts[run], starts[run + 1]):
            x = close[i]
            out[row, i] = math.nan
            if not math.isfinite(x):
                continue
            taken, last, change, double = load4(states, k, word)
            states[k, word] = min(taken + 1.0, slow + fast)
            states[k, word + 1] = x
            if taken == 0.0:
                continue
            path, double_path = states[k, word + 4], states[k, word + 5]
            step = x - last
            change = averaged(taken - 1.0, change, step, slow, slow_alpha)
            path = averaged(taken - 1.0, path, abs(step), slow, slow_alpha)
            states[k, word + 2], states[k, word + 4] = change, path
            if taken < slow:
                continue
            double = averaged(taken - slow, double, change, fast, fast_alpha)
            double_path = averaged(taken - slow, double_path, path, fast, fast_alpha)
            states[k, word + 3], states[k, word + 5] = double, double_path
            if taken >= slow + fast - 1:
                out[row, i] = 100.0 * (double / double_path) if double_path > 0.0 else 0.0


@dataclass(frozen=True, slots=True)
class Tsi(RowKernel):
    """True strength index, from -100 to 100.

    ``100 * ema(fast) of ema(slow) of the change / the same of the absolute change``, each average
    started from the mean of its first values; 0 in a market that never moved. Source: W. Blau,
    Momentum, Direction and Divergence, 1995; TA-Lib has none. Warm-up: ``slow + fast - 1`` bars. A
    close that is not finite is skipped: NaN for that bar, and the next change is against the last
    finite close.

    Parameters
    ----------
    slow, fast
        Spans in bars, at least 1; 25 and 13 are usual.
    """

    slow: int
    fast: int
    base: ClassVar = "tsi"
    inputs: ClassVar = ("close",)
    loop: ClassVar = staticmethod(_tsi)

    @property
    def width(self) -> int:
        return 6

    @property
    def warm_up(self) -> int:
        return self.slow + self.fast - 1
