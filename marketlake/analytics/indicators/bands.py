"""Bands around the price: Bollinger's, Keltner's, Donchian's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from numba import njit

from marketlake.analytics.compiled import LOOP
from marketlake.analytics.indicators.base import RowKernel, averaged, load4, save4
from marketlake.analytics.kernel import Float64, Int64
from marketlake.analytics.windows import (
    MOMENTS_HEADER,
    RANGE_HEADER,
    load_window4,
    moments_width,
    push_range,
    range_width,
    save_window4,
    to_suffix_moments,
)

_BANDS = ("upper", "middle", "lower")


@njit(**LOOP)
def _bollinger(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    close: Float64,
    out: Float64,
    row: int,
    window: int,
    deviations: float,
) -> None:
    # State: a window of moments. The steps are those of `push_moments` and `moments`, with the
    # header in registers.
    means = word + MOMENTS_HEADER
    m2s = means + window
    one = 1.0 / window
    for run in range(series.size):
        k = series[run]
        full, pos, front, front_m2 = load_window4(states, k, word)
        for i in range(starts[run], starts[run + 1]):
            x = close[i]
            out[row, i] = out[row + 1, i] = out[row + 2, i] = math.nan
            if not math.isfinite(x):
                continue
            states[k, means + pos] = x
            pos += 1
            if pos == window:
                to_suffix_moments(states, k, means, window)
                full, pos, front, front_m2 = 1.0, 0, 0.0, 0.0
                mean, m2 = states[k, means], states[k, m2s]
            else:
                delta = x - front
                front += delta * (1.0 / pos)
                front_m2 += delta * (x - front)
                suffix = states[k, means + pos]
                gap = front - suffix
                part = pos * one
                mean = suffix + gap * part
                m2 = states[k, m2s + pos] + (front_m2 + gap * gap * (part * (window - pos)))
            if full > 0.0:
                band = deviations * math.sqrt(m2 * one)
                out[row, i] = mean + band
                out[row + 1, i] = mean
                out[row + 2, i] = mean - band
        save_window4(states, k, word, full, pos, front, front_m2)


@dataclass(frozen=True, slots=True)
class Bollinger(RowKernel):
    """Bollinger bands: the mean of the last ``window`` closes, and bands around it.

    ``upper, lower = middle ± deviations * sigma``, sigma being the population standard deviation
    (divided by ``window``) of the same closes. Source: TA-Lib ``BBANDS`` with a simple average;
    sigma is computed here without the cancellation of a mean of squares. Warm-up:
    ``window - 1`` bars. A close that is not finite is skipped: NaN for that bar.

    Parameters
    ----------
    window
        Bars, at least 1.
    deviations
        Distance of the bands, in standard deviations, above 0.
    """

    window: int
    deviations: float
    base: ClassVar = "bollinger"
    parts: ClassVar = tuple(f"bollinger_{band}" for band in _BANDS)
    inputs: ClassVar = ("close",)
    loop: ClassVar = staticmethod(_bollinger)

    @property
    def width(self) -> int:
        return moments_width(self.window)

    @property
    def warm_up(self) -> int:
        return self.window - 1


@njit(**LOOP)
def _keltner(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    high: Float64,
    low: Float64,
    close: Float64,
    out: Float64,
    row: int,
    span: int,
    period: int,
    multiple: float,
) -> None:
    # State: [bars taken; last close; average of the closes; average true range], sums until they
    # have their values.
    alpha, wilder = 2.0 / (span + 1.0), 1.0 / period
    ready = max(span, period + 1)
    for run in range(series.size):
        k = series[run]
        taken, last, middle, true_range = load4(states, k, word)
        for i in range(starts[run], starts[run + 1]):
            top, bottom, x = high[i], low[i], close[i]
            out[row, i] = out[row + 1, i] = out[row + 2, i] = math.nan
            if not math.isfinite(top + bottom + x):
                continue
            before = taken
            taken = min(before + 1.0, ready)
            middle = averaged(before, middle, x, span, alpha)
            if before > 0.0:
                spread = (max(last, top)) - (min(last, bottom))
                true_range = averaged(before - 1.0, true_range, spread, period, wilder)
            last = x
            if taken >= ready:
                out[row, i] = middle + multiple * true_range
                out[row + 1, i] = middle
                out[row + 2, i] = middle - multiple * true_range
        save4(states, k, word, taken, last, middle, true_range)


@dataclass(frozen=True, slots=True)
class Keltner(RowKernel):
    """Keltner channel: an exponential average of the close, and multiples of the true range.

    ``upper, lower = ema(span) ± multiple * atr(period)``, both as in ``ema`` and ``atr`` (Wilder's)
    here. Source: L. B. Raschke's form of C. W. Keltner's channel, as in StockCharts ChartSchool,
    Keltner Channels; TA-Lib has none. Warm-up: ``max(span - 1, period)`` bars. A bar whose high,
    low or close is not finite is skipped: NaN for that bar.

    Parameters
    ----------
    span
        Bars of the average, at least 1.
    period
        Bars of the true range, at least 1.
    multiple
        Distance of the bands, in average true ranges, above 0.
    """

    span: int
    period: int
    multiple: float
    base: ClassVar = "keltner"
    parts: ClassVar = tuple(f"keltner_{band}" for band in _BANDS)
    inputs: ClassVar = ("high", "low", "close")
    loop: ClassVar = staticmethod(_keltner)

    @property
    def width(self) -> int:
        return 4

    @property
    def warm_up(self) -> int:
        return max(self.span - 1, self.period)


@njit(**LOOP)
def _donchian(
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
    # State: a window of extremes.
    for run in range(series.size):
        k = series[run]
        full, pos, top, bottom = load_window4(states, k, word)
        for i in range(starts[run], starts[run + 1]):
            out[row, i] = out[row + 1, i] = out[row + 2, i] = math.nan
            if not math.isfinite(high[i] + low[i]):
                continue
            full, pos, top, bottom, highest, lowest = push_range(
                states, k, word + RANGE_HEADER, window, full, pos, top, bottom, high[i], low[i]
            )
            if full > 0.0:
                out[row, i] = highest
                out[row + 1, i] = 0.5 * (highest + lowest)
                out[row + 2, i] = lowest
        save_window4(states, k, word, full, pos, top, bottom)


@dataclass(frozen=True, slots=True)
class Donchian(RowKernel):
    """Donchian channel: highest high and lowest low of the last ``window`` bars, and their middle.

    The bar itself is among them. Source: R. Donchian's four-week rule; TA-Lib ``MAX`` of the high
    and ``MIN`` of the low. Warm-up: ``window - 1`` bars. A bar whose high or low is not finite is
    skipped: NaN for that bar.

    Parameters
    ----------
    window
        Bars, at least 1.
    """

    window: int
    base: ClassVar = "donchian"
    parts: ClassVar = tuple(f"donchian_{band}" for band in _BANDS)
    inputs: ClassVar = ("high", "low")
    loop: ClassVar = staticmethod(_donchian)

    @property
    def width(self) -> int:
        return range_width(self.window)

    @property
    def warm_up(self) -> int:
        return self.window - 1
