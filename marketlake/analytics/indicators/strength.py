"""Rises against falls: relative strength, Chande's momentum, money flow, stochastic RSI."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from numba import njit

from marketlake.analytics.compiled import LOOP
from marketlake.analytics.indicators.base import BarKernel, averaged, load2, load4, save2, save4
from marketlake.analytics.kernel import Float64, Int64
from marketlake.analytics.windows import (
    PAIR_HEADER,
    RANGE_HEADER,
    SUM_HEADER,
    load_window3,
    load_window4,
    pair_width,
    push_pair,
    push_range,
    push_sum,
    range_width,
    save_window3,
    save_window4,
    sum_width,
)

RSI_RANGE_MIN = 1e-9
"""Range of an RSI, which runs from 0 to 100, that is rounding and not movement."""

TYPICAL_CHANGE_MIN = 1e-13
"""Change of a typical price, as a part of it, that is rounding and not movement."""


@njit(**LOOP)
def _rsi(
    states: Float64, word: int, series: Int64, close: Float64, out: Float64, row: int, period: int
) -> None:
    # State: [closes taken, up to period + 1; last close; gain; loss]. Gain and loss are sums
    # until there are `period` changes, then Wilder's averages.
    alpha = 1.0 / period
    held = -1
    taken, last, gain, loss = 0.0, 0.0, 0.0, 0.0
    for i in range(series.size):
        x = close[i]
        out[row, i] = math.nan
        if not math.isfinite(x):
            continue
        k = series[i]
        if k != held:
            if held >= 0:
                save4(states, held, word, taken, last, gain, loss)
            held = k
            taken, last, gain, loss = load4(states, k, word)
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
    if held >= 0:
        save4(states, held, word, taken, last, gain, loss)


@dataclass(frozen=True, slots=True)
class Rsi(BarKernel):
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
    states: Float64, word: int, series: Int64, close: Float64, out: Float64, row: int, period: int
) -> None:
    # State: as of the RSI.
    alpha = 1.0 / period
    held = -1
    taken, last, gain, loss = 0.0, 0.0, 0.0, 0.0
    for i in range(series.size):
        x = close[i]
        out[row, i] = math.nan
        if not math.isfinite(x):
            continue
        k = series[i]
        if k != held:
            if held >= 0:
                save4(states, held, word, taken, last, gain, loss)
            held = k
            taken, last, gain, loss = load4(states, k, word)
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
    if held >= 0:
        save4(states, held, word, taken, last, gain, loss)


@dataclass(frozen=True, slots=True)
class Cmo(BarKernel):
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
    held = -1
    taken, last = 0.0, 0.0
    full, pos, front_up, front_down = 0.0, 0, 0.0, 0.0
    for i in range(series.size):
        out[row, i] = math.nan
        typical = (high[i] + low[i] + close[i]) / 3.0
        flow = typical * volume[i]
        if not math.isfinite(flow):
            continue
        k = series[i]
        if k != held:
            if held >= 0:
                save2(states, held, word, taken, last)
                save_window4(states, held, at, full, pos, front_up, front_down)
            held = k
            taken, last = load2(states, k, word)
            full, pos, front_up, front_down = load_window4(states, k, at)
        change, least = typical - last, TYPICAL_CHANGE_MIN * abs(typical)
        last = typical
        if taken == 0.0:
            taken = 1.0
            continue
        rising = flow if change > least else 0.0
        falling = flow if change < -least else 0.0
        full, pos, front_up, front_down, rising, falling = push_pair(
            states, k, at + PAIR_HEADER, window, full, pos, front_up, front_down, rising, falling
        )
        if full > 0.0:
            total = rising + falling
            out[row, i] = 100.0 * (rising / total) if total > 0.0 else 0.0
    if held >= 0:
        save2(states, held, word, taken, last)
        save_window4(states, held, at, full, pos, front_up, front_down)


@dataclass(frozen=True, slots=True)
class Mfi(BarKernel):
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
    held = -1
    taken, last, gain, loss = 0.0, 0.0, 0.0, 0.0
    full, pos, top, bottom = 0.0, 0, 0.0, 0.0
    sum_full, sum_pos, front = 0.0, 0, 0.0
    for i in range(series.size):
        x = close[i]
        out[row, i] = out[row + 1, i] = math.nan
        if not math.isfinite(x):
            continue
        k = series[i]
        if k != held:
            if held >= 0:
                save4(states, held, word, taken, last, gain, loss)
                save_window4(states, held, range_at, full, pos, top, bottom)
                save_window3(states, held, sum_at, sum_full, sum_pos, front)
            held = k
            taken, last, gain, loss = load4(states, k, word)
            full, pos, top, bottom = load_window4(states, k, range_at)
            sum_full, sum_pos, front = load_window3(states, k, sum_at)
        change = x - last
        last = x
        if taken == 0.0:
            taken = 1.0
            continue
        gain = averaged(taken - 1.0, gain, max(change, 0.0), period, alpha)
        loss = averaged(taken - 1.0, loss, max(-change, 0.0), period, alpha)
        if taken <= period:
            taken += 1.0
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
    if held >= 0:
        save4(states, held, word, taken, last, gain, loss)
        save_window4(states, held, range_at, full, pos, top, bottom)
        save_window3(states, held, sum_at, sum_full, sum_pos, front)


@dataclass(frozen=True, slots=True)
class StochRsi(BarKernel):
    """Stochastic RSI, from 0 to 100: where the RSI stands in its own range.

    ``k = 100 * (rsi - lowest) / (highest - lowest)`` of the RSIs of the last ``window`` bars, ``d``
    the mean of the last ``smooth`` values of ``k``. Where the RSI did not move, by up to 1e-9 which
    is rounding, ``k`` is 0; TA-Lib gives what the rounding makes. Source: TA-Lib ``STOCHRSI``; T. S.
    Chande, S. Kroll, The New Technical Trader, 1994. Warm-up: ``period + window + smooth - 2`` bars.
    A close that is not finite is skipped: NaN for that bar.

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
