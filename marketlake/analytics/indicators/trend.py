"""Lines that follow a trend until it breaks: parabolic SAR, SuperTrend."""

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
def _psar(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    high: Float64,
    low: Float64,
    out: Float64,
    row: int,
    acceleration: float,
    maximum: float,
) -> None:
    # State: [direction: 0 before the second bar, then 1 or -1; bars taken, up to 1; last high; last
    # low; extreme; factor; SAR of the bar to come].
    first_factor = min(acceleration, maximum)
    for run in range(series.size):
        k = series[run]
        direction, taken, last_top, last_bottom = load4(states, k, word)
        extreme, factor, sar = load3(states, k, word + 4)
        for i in range(starts[run], starts[run + 1]):
            top, bottom = high[i], low[i]
            out[row, i] = math.nan
            if not math.isfinite(top + bottom):
                continue
            if taken == 0.0:
                taken, last_top, last_bottom = 1.0, top, bottom
                continue
            if direction == 0.0:
                direction, extreme, sar = _first(last_top, last_bottom, top, bottom)
                factor = first_factor
                # TA-Lib takes the second bar as its own forerunner.
                last_top, last_bottom = top, bottom
            if bottom <= sar if direction > 0.0 else top >= sar:
                direction = -direction
                sar = _beyond(extreme, direction, last_top, last_bottom, top, bottom)
                out[row, i] = sar
                factor = first_factor
                extreme = top if direction > 0.0 else bottom
            else:
                out[row, i] = sar
                reached = max(extreme, top) if direction > 0.0 else min(extreme, bottom)
                factor = min(factor + acceleration, maximum) if reached != extreme else factor
                extreme = reached
            sar += factor * (extreme - sar)
            sar = _beyond(sar, direction, last_top, last_bottom, top, bottom)
            last_top, last_bottom = top, bottom
        save4(states, k, word, direction, taken, last_top, last_bottom)
        save3(states, k, word + 4, extreme, factor, sar)


@njit(**LOOP)
def _first(
    last_top: float, last_bottom: float, top: float, bottom: float
) -> tuple[float, float, float]:
    """Give direction, extreme and SAR of a series' second bar."""
    rise, fall = top - last_top, last_bottom - bottom
    if fall > 0.0 and rise < fall:
        return -1.0, bottom, last_top
    return 1.0, top, last_bottom


@njit(forceinline=True, **LOOP)
def _beyond(
    sar: float, direction: float, last_top: float, last_bottom: float, top: float, bottom: float
) -> float:
    """Keep a SAR out of the range of the last two bars."""
    if direction > 0.0:
        return min(sar, last_bottom, bottom)
    return max(sar, last_top, top)


@dataclass(frozen=True, slots=True)
class Psar(RowKernel):
    """Parabolic stop and reverse of Wilder, in the unit of the price.

    Each bar, ``sar += factor * (extreme - sar)``, kept out of the range of the last two bars; when
    the price touches it, the position turns and the SAR jumps to the extreme reached. The factor
    begins at ``acceleration`` and grows by it with each new extreme, up to ``maximum``. The first
    direction is down where the second bar's low fell by more than its high rose, else up. Source:
    TA-Lib ``SAR``; J. W. Wilder, New Concepts in Technical Trading Systems, 1978. Warm-up: 1 bar.
    A bar whose high or low is not finite is skipped: NaN for that bar.

    Parameters
    ----------
    acceleration
        First factor and its growth, above 0; 0.02 is usual.
    maximum
        Largest factor, above 0; 0.2 is usual.
    """

    acceleration: float
    maximum: float
    base: ClassVar = "psar"
    inputs: ClassVar = ("high", "low")
    loop: ClassVar = staticmethod(_psar)

    @property
    def width(self) -> int:
        return 7

    @property
    def warm_up(self) -> int:
        return 1


@njit(**LOOP)
def _supertrend(
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
    multiple: float,
) -> None:
    # State: [bars taken, up to period + 1; last close; average true range, a sum until there are
    # `period`; upper band; lower band; direction, 0 before the first].
    alpha = 1.0 / period
    for run in range(series.size):
        k = series[run]
        for i in range(starts[run], starts[run + 1]):
            top, bottom, x = high[i], low[i], close[i]
            out[row, i] = out[row + 1, i] = math.nan
            if not math.isfinite(top + bottom + x):
                continue
            taken, last = states[k, word], states[k, word + 1]
            states[k, word + 1] = x
            if taken == 0.0:
                states[k, word] = 1.0
                continue
            spread = (max(last, top)) - (min(last, bottom))
            true_range = averaged(taken - 1.0, states[k, word + 2], spread, period, alpha)
            states[k, word + 2] = true_range
            if taken <= period:
                taken += 1.0
                states[k, word] = taken
                if taken <= period:
                    continue
            middle = 0.5 * (top + bottom)
            upper, lower = middle + multiple * true_range, middle - multiple * true_range
            direction = states[k, word + 5]
            if direction == 0.0:
                direction = -1.0
            else:
                last_upper, last_lower = states[k, word + 3], states[k, word + 4]
                upper = upper if upper < last_upper or last > last_upper else last_upper
                lower = lower if lower > last_lower or last < last_lower else last_lower
                if direction < 0.0 and x > upper:
                    direction = 1.0
                elif direction > 0.0 and x < lower:
                    direction = -1.0
            states[k, word + 3], states[k, word + 4], states[k, word + 5] = upper, lower, direction
            out[row, i] = lower if direction > 0.0 else upper
            out[row + 1, i] = direction


@dataclass(frozen=True, slots=True)
class SuperTrend(RowKernel):
    """SuperTrend: a band of the true range that only tightens, until the close crosses it.

    Bands ``(high + low) / 2 ± multiple * atr(period)``, Wilder's; the upper one only falls, unless
    the last close was above it, the lower one only rises, unless the last close was below it. The
    line is the lower band in an uptrend (direction 1), the upper in a downtrend (-1); the first
    direction is down. Source: O. Seban's SuperTrend as TradingView's ``ta.supertrend`` computes it
    (with the sign of the direction turned round); TA-Lib has none. Warm-up: ``period`` bars. A bar
    whose high, low or close is not finite is skipped: NaN for that bar.

    Parameters
    ----------
    period
        Bars of the true range, at least 1.
    multiple
        Distance of the bands, in average true ranges, above 0.
    """

    period: int
    multiple: float
    base: ClassVar = "supertrend"
    parts: ClassVar = ("supertrend", "supertrend_direction")
    inputs: ClassVar = ("high", "low", "close")
    loop: ClassVar = staticmethod(_supertrend)

    @property
    def width(self) -> int:
        return 6

    @property
    def warm_up(self) -> int:
        return self.period
