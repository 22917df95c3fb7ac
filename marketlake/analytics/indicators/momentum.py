"""How far and how fast the price has come: CCI, rate of change, Ultimate Oscillator."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from numba import njit

from marketlake.analytics.compiled import LOOP
from marketlake.analytics.indicators.base import (
    RowKernel,
    load2,
    require_at_least,
    save2,
)
from marketlake.analytics.kernel import Float64, Int64
from marketlake.analytics.windows import (
    PAIR_HEADER,
    load_window4,
    pair_width,
    push_pair,
    save_window4,
)

CCI_DEVIATION_MIN = 1e-13
"""Mean deviation, as a part of the mean, that is rounding and not movement."""


@njit(forceinline=True, **LOOP)
def _total(states: Float64, k: int, ring: int, count: int, first: float) -> float:
    """Sum ``first`` and a ring, in four sums so that no addition waits for the one before it."""
    fours = ring + count // 4 * 4
    a, b, c, d = first, 0.0, 0.0, 0.0
    for j in range(ring, fours, 4):
        a += states[k, j]
        b += states[k, j + 1]
        c += states[k, j + 2]
        d += states[k, j + 3]
    for j in range(fours, ring + count):
        a += states[k, j]
    return (a + b) + (c + d)


@njit(forceinline=True, **LOOP)
def _total_distance(
    states: Float64, k: int, ring: int, count: int, first: float, mean: float
) -> float:
    """Sum the distances of ``first`` and a ring from ``mean``, likewise."""
    fours = ring + count // 4 * 4
    a, b, c, d = abs(first - mean), 0.0, 0.0, 0.0
    for j in range(ring, fours, 4):
        a += abs(states[k, j] - mean)
        b += abs(states[k, j + 1] - mean)
        c += abs(states[k, j + 2] - mean)
        d += abs(states[k, j + 3] - mean)
    for j in range(fours, ring + count):
        a += abs(states[k, j] - mean)
    return (a + b) + (c + d)


@njit(**LOOP)
def _cci(
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
    # State: [bars taken, up to window - 1; cursor; ring of the typical prices before this one]. The
    # newest is added from its register: the processor would wait for what was just written.
    ring = word + 2
    others = window - 1
    for run in range(series.size):
        k = series[run]
        taken, pos = int(states[k, word]), int(states[k, word + 1])
        for i in range(starts[run], starts[run + 1]):
            typical = (high[i] + low[i] + close[i]) / 3.0
            out[row, i] = math.nan
            if not math.isfinite(typical):
                continue
            at = ring + pos
            pos = pos + 1 if pos + 1 < others else 0
            if taken < others:
                taken += 1
                states[k, at] = typical
                continue
            mean = _total(states, k, ring, others, typical) / window
            deviation = _total_distance(states, k, ring, others, typical, mean) / window
            states[k, at] = typical
            moved = deviation > CCI_DEVIATION_MIN * abs(mean)
            out[row, i] = (typical - mean) / (0.015 * deviation) if moved else 0.0
        save2(states, k, word, taken, pos)


@dataclass(frozen=True, slots=True)
class Cci(RowKernel):
    """Commodity channel index: how far the typical price is from its mean, in mean deviations.

    ``(typical - mean) / (0.015 * deviation)``, ``typical = (high + low + close) / 3``, with the
    mean and the mean absolute deviation of the last ``window`` typical prices. 0 where they did not
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
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    close: Float64,
    out: Float64,
    row: int,
    lag: int,
) -> None:
    # State: [closes taken, up to lag; cursor; ring of closes].
    ring = word + 2
    for run in range(series.size):
        k = series[run]
        taken, pos = states[k, word], int(states[k, word + 1])
        for i in range(starts[run], starts[run + 1]):
            x = close[i]
            out[row, i] = math.nan
            if not math.isfinite(x):
                continue
            last = states[k, ring + pos]
            states[k, ring + pos] = x
            pos = pos + 1 if pos + 1 < lag else 0
            if taken >= lag:
                out[row, i] = 100.0 * ((x - last) / last) if last != 0.0 else 0.0
            else:
                taken += 1.0
        save2(states, k, word, taken, pos)


@dataclass(frozen=True, slots=True)
class Roc(RowKernel):
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
    starts: Int64,
    high: Float64,
    low: Float64,
    close: Float64,
    out: Float64,
    row: int,
    short: int,
    mid: int,
    long: int,
) -> None:
    # State: [whether a bar was taken; last close; three windows of the sums of buying pressure and
    # of true range].
    a_at = word + 2
    b_at = a_at + PAIR_HEADER + 2 * short
    c_at = b_at + PAIR_HEADER + 2 * mid
    for run in range(series.size):
        k = series[run]
        taken, last = load2(states, k, word)
        a_full, a_pos, a_up, a_range = load_window4(states, k, a_at)
        b_full, b_pos, b_up, b_range = load_window4(states, k, b_at)
        c_full, c_pos, c_up, c_range = load_window4(states, k, c_at)
        for i in range(starts[run], starts[run + 1]):
            top, bottom, x = high[i], low[i], close[i]
            out[row, i] = math.nan
            if not math.isfinite(top + bottom + x):
                continue
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
                states, k, b_at + PAIR_HEADER, mid, b_full, b_pos, b_up, b_range, pressure, spread
            )
            total += 2.0 * (up / whole) if whole > 0.0 else 0.0
            c_full, c_pos, c_up, c_range, up, whole = push_pair(
                states, k, c_at + PAIR_HEADER, long, c_full, c_pos, c_up, c_range, pressure, spread
            )
            total += up / whole if whole > 0.0 else 0.0
            if c_full > 0.0:
                out[row, i] = 100.0 * (total / 7.0)
        save2(states, k, word, taken, last)
        save_window4(states, k, a_at, a_full, a_pos, a_up, a_range)
        save_window4(states, k, b_at, b_full, b_pos, b_up, b_range)
        save_window4(states, k, c_at, c_full, c_pos, c_up, c_range)


@dataclass(frozen=True, slots=True)
class UltimateOscillator(RowKernel):
    """Ultimate Oscillator, from 0 to 100: buying pressure over three windows.

    ``100 * (4 * short + 2 * middle + long) / 7``, each the sum over its window of ``close -
    min(low, last close)`` over that of the true range; a window without range counts 0. Source:
    TA-Lib ``ULTOSC``; L. Williams, Stocks & Commodities 3:4, 1985. Warm-up: ``long`` bars. A bar
    whose high, low or close is not finite is skipped: NaN for that bar.

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
