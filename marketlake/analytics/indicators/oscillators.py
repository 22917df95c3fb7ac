"""Where the price stands: Stochastic, Williams %R, CCI, rate of change, Ultimate Oscillator."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from numba import njit

from marketlake.analytics.compiled import LOOP
from marketlake.analytics.indicators.base import BarKernel, load2, require_at_least, save2
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

CCI_DEVIATION_MIN = 1e-13
"""Mean deviation, as a part of the mean, that is rounding and not movement."""


@njit(**LOOP)
def _stochastic(
    states: Float64,
    word: int,
    series: Int64,
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
    held = -1
    full, pos, top, bottom = 0.0, 0, 0.0, 0.0
    k_full, k_pos, k_front = 0.0, 0, 0.0
    d_full, d_pos, d_front = 0.0, 0, 0.0
    for i in range(series.size):
        x = close[i]
        out[row, i] = out[row + 1, i] = math.nan
        if not math.isfinite(high[i] + low[i] + x):
            continue
        j = series[i]
        if j != held:
            if held >= 0:
                save_window4(states, held, word, full, pos, top, bottom)
                save_window3(states, held, k_at, k_full, k_pos, k_front)
                save_window3(states, held, d_at, d_full, d_pos, d_front)
            held = j
            full, pos, top, bottom = load_window4(states, j, word)
            k_full, k_pos, k_front = load_window3(states, j, k_at)
            d_full, d_pos, d_front = load_window3(states, j, d_at)
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
    if held >= 0:
        save_window4(states, held, word, full, pos, top, bottom)
        save_window3(states, held, k_at, k_full, k_pos, k_front)
        save_window3(states, held, d_at, d_full, d_pos, d_front)


@dataclass(frozen=True, slots=True)
class Stochastic(BarKernel):
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
    high: Float64,
    low: Float64,
    close: Float64,
    out: Float64,
    row: int,
    window: int,
) -> None:
    # State: a window of extremes.
    held = -1
    full, pos, top, bottom = 0.0, 0, 0.0, 0.0
    for i in range(series.size):
        x = close[i]
        out[row, i] = math.nan
        if not math.isfinite(high[i] + low[i] + x):
            continue
        k = series[i]
        if k != held:
            if held >= 0:
                save_window4(states, held, word, full, pos, top, bottom)
            held = k
            full, pos, top, bottom = load_window4(states, k, word)
        full, pos, top, bottom, highest, lowest = push_range(
            states, k, word + RANGE_HEADER, window, full, pos, top, bottom, high[i], low[i]
        )
        if full > 0.0:
            spread = highest - lowest
            out[row, i] = -100.0 * ((highest - x) / spread) if spread > 0.0 else 0.0
    if held >= 0:
        save_window4(states, held, word, full, pos, top, bottom)


@dataclass(frozen=True, slots=True)
class WilliamsR(BarKernel):
    """Williams %R, from -100 to 0: how far the close is below the highest high.

    ``-100 * (highest - close) / (highest - lowest)`` over the last ``window`` bars, 0 where the two
    are equal. Source: TA-Lib ``WILLR``; L. Williams, 1973. Warm-up: ``window - 1`` bars. A bar whose
    high, low or close is not finite is skipped: NaN for that bar.

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


@njit(**LOOP)
def _cci(
    states: Float64,
    word: int,
    series: Int64,
    high: Float64,
    low: Float64,
    close: Float64,
    out: Float64,
    row: int,
    window: int,
) -> None:
    # State: [bars taken, up to window - 1; cursor; ring of the window - 1 typical prices before this
    # one]. The newest is added from its register: the processor waits for what was just written.
    ring = word + 2
    others = window - 1
    end = ring + others
    fours = ring + others // 4 * 4
    held = -1
    taken, pos = 0, 0
    for i in range(series.size):
        typical = (high[i] + low[i] + close[i]) / 3.0
        out[row, i] = math.nan
        if not math.isfinite(typical):
            continue
        k = series[i]
        if k != held:
            if held >= 0:
                save2(states, held, word, taken, pos)
            held = k
            taken, pos = int(states[k, word]), int(states[k, word + 1])
        at = ring + pos
        pos = pos + 1 if pos + 1 < others else 0
        if taken < others:
            taken += 1
            states[k, at] = typical
            continue
        # Four sums side by side: the processor need not wait for one addition before the next.
        a, b, c, d = typical, 0.0, 0.0, 0.0
        for j in range(ring, fours, 4):
            a += states[k, j]
            b += states[k, j + 1]
            c += states[k, j + 2]
            d += states[k, j + 3]
        for j in range(fours, end):
            a += states[k, j]
        mean = ((a + b) + (c + d)) / window
        a, b, c, d = abs(typical - mean), 0.0, 0.0, 0.0
        for j in range(ring, fours, 4):
            a += abs(states[k, j] - mean)
            b += abs(states[k, j + 1] - mean)
            c += abs(states[k, j + 2] - mean)
            d += abs(states[k, j + 3] - mean)
        for j in range(fours, end):
            a += abs(states[k, j] - mean)
        deviation = ((a + b) + (c + d)) / window
        states[k, at] = typical
        moved = deviation > CCI_DEVIATION_MIN * abs(mean)
        out[row, i] = (typical - mean) / (0.015 * deviation) if moved else 0.0
    if held >= 0:
        save2(states, held, word, taken, pos)


@dataclass(frozen=True, slots=True)
class Cci(BarKernel):
    """Commodity channel index: how far the typical price is from its mean, in mean deviations.

    ``(typical - mean) / (0.015 * deviation)``, ``typical = (high + low + close) / 3``, with the mean
    and the mean absolute deviation of the last ``window`` typical prices. 0 where they did not
    move, by up to 1e-13 of the price which is rounding; TA-Lib gives what the rounding makes. The
    deviation is about a mean that moves with each bar, so that this alone of the indicators takes
    time in proportion to its window. Source: TA-Lib ``CCI``; D. Lambert, Commodities 10, 1980.
    Warm-up: ``window - 1`` bars. A bar whose high, low or close is not finite is skipped: NaN for
    that bar.

    Parameters
    ----------
    window
        Bars, at least 2.
    """

    window: int
    base: ClassVar = "cci"
    inputs: ClassVar = ("high", "low", "close")
    loop: ClassVar = staticmethod(_cci)

    def _check(self) -> None:
        require_at_least(self.name, 2, window=self.window)

    @property
    def width(self) -> int:
        return 1 + self.window

    @property
    def warm_up(self) -> int:
        return self.window - 1


@njit(**LOOP)
def _roc(
    states: Float64, word: int, series: Int64, close: Float64, out: Float64, row: int, lag: int
) -> None:
    # State: [closes taken, up to lag; cursor; ring of closes].
    ring = word + 2
    held = -1
    taken, pos = 0.0, 0
    for i in range(series.size):
        x = close[i]
        out[row, i] = math.nan
        if not math.isfinite(x):
            continue
        k = series[i]
        if k != held:
            if held >= 0:
                save2(states, held, word, taken, pos)
            held = k
            taken, pos = states[k, word], int(states[k, word + 1])
        last = states[k, ring + pos]
        states[k, ring + pos] = x
        pos = pos + 1 if pos + 1 < lag else 0
        if taken >= lag:
            out[row, i] = 100.0 * ((x - last) / last) if last != 0.0 else 0.0
        else:
            taken += 1.0
    if held >= 0:
        save2(states, held, word, taken, pos)


@dataclass(frozen=True, slots=True)
class Roc(BarKernel):
    """Rate of change: the close against that of ``lag`` bars ago, in percent.

    ``100 * (close - last) / last``, 0 where the last was 0. Source: TA-Lib ``ROC``. Warm-up:
    ``lag`` bars. A close that is not finite is skipped: NaN for that bar, and it does not count.

    Parameters
    ----------
    lag
        Bars, at least 1.
    """

    lag: int
    base: ClassVar = "roc"
    inputs: ClassVar = ("close",)
    loop: ClassVar = staticmethod(_roc)

    @property
    def width(self) -> int:
        return 2 + self.lag

    @property
    def warm_up(self) -> int:
        return self.lag


@njit(**LOOP)
def _ultimate(
    states: Float64,
    word: int,
    series: Int64,
    high: Float64,
    low: Float64,
    close: Float64,
    out: Float64,
    row: int,
    short: int,
    middle: int,
    long: int,
) -> None:
    # State: [whether a bar was taken; last close; three windows of the sums of buying pressure and
    # of true range].
    a_at = word + 2
    b_at = a_at + PAIR_HEADER + 2 * short
    c_at = b_at + PAIR_HEADER + 2 * middle
    held = -1
    taken, last = 0.0, 0.0
    a_full, a_pos, a_up, a_range = 0.0, 0, 0.0, 0.0
    b_full, b_pos, b_up, b_range = 0.0, 0, 0.0, 0.0
    c_full, c_pos, c_up, c_range = 0.0, 0, 0.0, 0.0
    for i in range(series.size):
        top, bottom, x = high[i], low[i], close[i]
        out[row, i] = math.nan
        if not math.isfinite(top + bottom + x):
            continue
        k = series[i]
        if k != held:
            if held >= 0:
                save2(states, held, word, taken, last)
                save_window4(states, held, a_at, a_full, a_pos, a_up, a_range)
                save_window4(states, held, b_at, b_full, b_pos, b_up, b_range)
                save_window4(states, held, c_at, c_full, c_pos, c_up, c_range)
            held = k
            taken, last = load2(states, k, word)
            a_full, a_pos, a_up, a_range = load_window4(states, k, a_at)
            b_full, b_pos, b_up, b_range = load_window4(states, k, b_at)
            c_full, c_pos, c_up, c_range = load_window4(states, k, c_at)
        floor = min(bottom, last)
        pressure, spread = x - floor, max(top, last) - floor
        last = x
        if taken == 0.0:
            taken = 1.0
            continue
        a_full, a_pos, a_up, a_range, up, whole = push_pair(
            states, k, a_at + PAIR_HEADER, short, a_full, a_pos, a_up, a_range, pressure, spread
        )
        total = 4.0 * (up / whole) if whole > 0.0 else 0.0
        b_full, b_pos, b_up, b_range, up, whole = push_pair(
            states, k, b_at + PAIR_HEADER, middle, b_full, b_pos, b_up, b_range, pressure, spread
        )
        total += 2.0 * (up / whole) if whole > 0.0 else 0.0
        c_full, c_pos, c_up, c_range, up, whole = push_pair(
            states, k, c_at + PAIR_HEADER, long, c_full, c_pos, c_up, c_range, pressure, spread
        )
        total += up / whole if whole > 0.0 else 0.0
        if c_full > 0.0:
            out[row, i] = 100.0 * (total / 7.0)
    if held >= 0:
        save2(states, held, word, taken, last)
        save_window4(states, held, a_at, a_full, a_pos, a_up, a_range)
        save_window4(states, held, b_at, b_full, b_pos, b_up, b_range)
        save_window4(states, held, c_at, c_full, c_pos, c_up, c_range)


@dataclass(frozen=True, slots=True)
class UltimateOscillator(BarKernel):
    """Ultimate Oscillator, from 0 to 100: buying pressure over three windows.

    ``100 * (4 * short + 2 * middle + long) / 7``, each the sum over its window of
    ``close - min(low, last close)`` over that of the true range; a window without range counts 0.
    Source: TA-Lib ``ULTOSC``; L. Williams, Stocks & Commodities 3:4, 1985. Warm-up: ``long`` bars. A
    bar whose high, low or close is not finite is skipped: NaN for that bar.

    Parameters
    ----------
    short, middle, long
        Bars, at least 1, in ascending order; 7, 14 and 28 are usual.
    """

    short: int
    middle: int
    long: int
    base: ClassVar = "ultimate"
    inputs: ClassVar = ("high", "low", "close")
    loop: ClassVar = staticmethod(_ultimate)

    def _check(self) -> None:
        if not self.short <= self.middle <= self.long:
            msg = f"{self.name} needs short, middle and long in ascending order"
            raise ValueError(msg)

    @property
    def width(self) -> int:
        return 2 + sum(pair_width(window) for window in (self.short, self.middle, self.long))

    @property
    def warm_up(self) -> int:
        return self.long
