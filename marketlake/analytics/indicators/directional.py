"""Strength and direction of a trend: ADX with its two directional indicators, Aroon."""

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
    require_at_least,
    save2,
)
from marketlake.analytics.kernel import Float64, Int64
from marketlake.analytics.windows import load_window4, save_window4

_AROON_HEADER = 6


@njit(**LOOP)
def _adx(
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
    # State: [bars taken, up to 2 * period; last high; last low; last close; rising, falling and
    # true range, Wilder's sums; average of the directional index, a sum until it has its values].
    alpha = 1.0 / period
    ready = 2.0 * period
    for run in range(series.size):
        k = series[run]
        taken, last_top, last_bottom, last = (
            states[k, word], states[k, word + 1], states[k, word + 2], states[k, word + 3],
        )  # fmt: skip
        rising, falling, ranged, average = (
            states[k, word + 4], states[k, word + 5], states[k, word + 6], states[k, word + 7],
        )  # fmt: skip
        for i in range(starts[run], starts[run + 1]):
            top, bottom, x = high[i], low[i], close[i]
            out[row, i] = out[row + 1, i] = out[row + 2, i] = math.nan
            if not math.isfinite(top + bottom + x):
                continue
            before = taken
            taken = min(before + 1.0, ready)
            up, down = top - last_top, last_bottom - bottom
            spread = (max(last, top)) - (min(last, bottom))
            last_top, last_bottom, last = top, bottom, x
            if before == 0.0:
                continue
            fade = alpha * (before >= period)
            rising -= fade * rising
            falling -= fade * falling
            ranged -= fade * ranged
            rising += _leading(up, down)
            falling += _leading(down, up)
            ranged += spread
            if before < period:
                continue
            plus, minus = _percent(rising, ranged), _percent(falling, ranged)
            # A bar without direction is one of the first values, but changes no average.
            both = plus + minus
            if both > 0.0 or before < ready:
                index = _percent(abs(plus - minus), both)
                average = averaged(before - period, average, index, period, alpha)
            if taken >= ready:
                out[row, i], out[row + 1, i], out[row + 2, i] = average, plus, minus
        _save8(states, k, word, taken, last_top, last_bottom, last, rising, falling,
               ranged, average)  # fmt: skip


@njit(forceinline=True, **LOOP)
def _leading(move: float, other: float) -> float:
    """Give a move that is positive and the larger of two, else 0."""
    return move if move > max(other, 0.0) else 0.0


@njit(forceinline=True, **LOOP)
def _percent(part: float, whole: float) -> float:
    """Give a part in percent of a whole; 0 of nothing."""
    return 100.0 * (part / whole) if whole > 0.0 else 0.0


@njit(forceinline=True, **LOOP)
def _save8(
    states: Float64, k: int, word: int,
    a: float, b: float, c: float, d: float, e: float, f: float, g: float, h: float,
) -> None:  # fmt: skip
    states[k, word], states[k, word + 1], states[k, word + 2], states[k, word + 3] = a, b, c, d
    states[k, word + 4], states[k, word + 5], states[k, word + 6], states[k, word + 7] = e, f, g, h


@dataclass(frozen=True, slots=True)
class Adx(RowKernel):
    """Average directional index of Wilder, with +DI and -DI, all from 0 to 100.

    A bar's rise is what its high gained, if that is positive and more than its low fell; its fall
    likewise. ``di = 100 * wilder(rise or fall) / wilder(true range)``, the sums being started from
    ``period - 1`` bars and then ``sum = sum * (1 - 1 / period) + new``. ``dx = 100 * abs(plus -
    minus) / (plus + minus)``, and ``adx`` is Wilder's average of it, started from the mean of
    ``period`` values; a bar without direction leaves it as it was. Source: TA-Lib ``ADX``,
    ``PLUS_DI``, ``MINUS_DI``, without an unstable period; J. W. Wilder, New Concepts in Technical
    Trading Systems, 1978. Warm-up: ``2 * period - 1`` bars for all three. A bar whose high, low or
    close is not finite is skipped: NaN for that bar.

    Parameters
    ----------
    period
        Bars, at least 2.
    """

    period: int
    base: ClassVar = "adx"
    parts: ClassVar = ("adx", "plus_di", "minus_di")
    inputs: ClassVar = ("high", "low", "close")
    loop: ClassVar = staticmethod(_adx)

    def _check(self) -> None:
        require_at_least(self.name, 2, period=self.period)

    @property
    def width(self) -> int:
        return 8

    @property
    def warm_up(self) -> int:
        return 2 * self.period - 1


@njit(**LOOP)
def _to_latest_highs(states: Float64, k: int, values: int, window: int) -> None:
    """Write for each slot of a full block where the latest highest value from it on stands."""
    top, best = -math.inf, 0.0
    for j in range(window - 1, -1, -1):
        value = states[k, values + j]
        best = float(j) if value > top else best
        top = max(top, value)
        states[k, values + window + j] = best


@njit(forceinline=True, **LOOP)
def _push_high(
    states: Float64, k: int, ring: int, window: int, pos: int, front: float, at: float, x: float
) -> tuple[float, float, float]:
    """Add ``x``; the front's highest, its slot, and how many bars ago the window's highest was."""
    states[k, ring + pos] = x
    latest = pos == 0 or x >= front
    front = x if latest else front
    at = float(pos) if latest else at
    if pos + 1 == window:
        _to_latest_highs(states, k, ring, window)
        return front, at, pos - at
    slot = states[k, ring + window + pos + 1]
    older = states[k, ring + int(slot)] > front
    return front, at, pos + window - slot if older else pos - at


@njit(**LOOP)
def _aroon(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    high: Float64,
    low: Float64,
    out: Float64,
    row: int,
    period: int,
) -> None:
    # State: [full; pos; highest of the open block; its slot; the same of the lows with their sign
    # turned; ring of highs; where the suffixes have their highest; the same of the lows]. A slot of
    # the block before is only read where the open block has not reached it.
    window = period + 1
    highs = word + _AROON_HEADER
    lows = highs + 2 * window
    for run in range(series.size):
        k = series[run]
        full, pos, top, top_at = load_window4(states, k, word)
        bottom, bottom_at = load2(states, k, word + 4)
        for i in range(starts[run], starts[run + 1]):
            out[row, i] = out[row + 1, i] = out[row + 2, i] = math.nan
            if not math.isfinite(high[i] + low[i]):
                continue
            top, top_at, up = _push_high(states, k, highs, window, pos, top, top_at, high[i])
            bottom, bottom_at, down = _push_high(
                states, k, lows, window, pos, bottom, bottom_at, -low[i]
            )
            pos += 1
            if pos == window:
                full, pos = 1.0, 0
            if full > 0.0:
                up, down = 100.0 * ((period - up) / period), 100.0 * ((period - down) / period)
                out[row, i], out[row + 1, i], out[row + 2, i] = up, down, up - down
        save_window4(states, k, word, full, pos, top, top_at)
        save2(states, k, word + 4, bottom, bottom_at)


@dataclass(frozen=True, slots=True)
class Aroon(RowKernel):
    """Aroon: how long ago the highest high and the lowest low were.

    ``up = 100 * (period - bars since the highest high) / period`` of the last ``period + 1`` bars,
    ``down`` the same of the lowest low, both from 0 to 100, the latest counting where several are
    equal; ``oscillator = up - down``. Source: TA-Lib ``AROON`` and ``AROONOSC``; T. S. Chande,
    Stocks & Commodities 13:9, 1995. Warm-up: ``period`` bars. A bar whose high or low is not finite
    is skipped: NaN for that bar, and it does not count.

    Parameters
    ----------
    period
        Bars, at least 1.
    """

    period: int
    base: ClassVar = "aroon"
    parts: ClassVar = ("aroon_up", "aroon_down", "aroon_oscillator")
    inputs: ClassVar = ("high", "low")
    loop: ClassVar = staticmethod(_aroon)

    @property
    def width(self) -> int:
        return _AROON_HEADER + 4 * (self.period + 1)

    @property
    def warm_up(self) -> int:
        return self.period
