"""Average prices weighted by the volume, over a number of bars and over the UTC day.

What a bar traded is its ``quote_volume`` where that is finite: the sum of price times quantity
over its trades, hence exact. Bars as venues publish them may lack it; then it is the typical price
``(high + low + close) / 3`` times the volume, the usual estimate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Final

from numba import njit

from marketlake.analytics.compiled import LOOP
from marketlake.analytics.indicators.base import RowKernel
from marketlake.analytics.kernel import Float64, Int64
from marketlake.analytics.windows import (
    PAIR_HEADER,
    load_window4,
    pair_width,
    push_pair,
    save_window4,
)

US_PER_DAY: Final = 86_400_000_000

_BAR_INPUTS: Final = ("high", "low", "close", "volume", "quote_volume")


@njit(forceinline=True, **LOOP)
def _traded(high: float, low: float, close: float, volume: float, quote_volume: float) -> float:
    """Give what a bar traded in the quote currency; NaN where its inputs do not tell."""
    if math.isfinite(quote_volume) and math.isfinite(volume):
        return quote_volume
    traded = (high + low + close) / 3.0 * volume
    return traded if math.isfinite(traded) else math.nan


@njit(**LOOP)
def _rolling_vwap(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    high: Float64,
    low: Float64,
    close: Float64,
    volume: Float64,
    quote_volume: Float64,
    out: Float64,
    row: int,
    window: int,
) -> None:
    # State: windows of the sums of traded and of volume.
    at_ring = word + PAIR_HEADER
    for run in range(series.size):
        k = series[run]
        full, pos, first, second = load_window4(states, k, word)
        for i in range(starts[run], starts[run + 1]):
            out[row, i] = math.nan
            traded = _traded(high[i], low[i], close[i], volume[i], quote_volume[i])
            if math.isnan(traded):
                continue
            full, pos, first, second, traded, total = push_pair(
                states, k, at_ring, window, full, pos, first, second, traded, volume[i]
            )
            if full > 0.0 and total > 0.0:
                out[row, i] = traded / total
        save_window4(states, k, word, full, pos, first, second)


@dataclass(frozen=True, slots=True)
class RollingVwap(RowKernel):
    """Volume-weighted average price of the last ``window`` bars.

    ``sum(traded) / sum(volume)``, a bar having traded its ``quote_volume`` where that is finite,
    else its typical price ``(high + low + close) / 3`` times its volume. NaN where the window
    holds no volume. Warm-up: ``window - 1`` bars. A bar whose volume is not finite, or that has
    neither a quote volume nor all three prices, is skipped: NaN for that bar.

    Parameters
    ----------
    window
        Bars, at least 1.
    """

    window: int
    base: ClassVar = "vwap"
    inputs: ClassVar = _BAR_INPUTS
    loop: ClassVar = staticmethod(_rolling_vwap)

    @property
    def width(self) -> int:
        return pair_width(self.window)

    @property
    def warm_up(self) -> int:
        return self.window - 1


@njit(**LOOP)
def _session_vwap(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    open_time_us: Float64,
    high: Float64,
    low: Float64,
    close: Float64,
    volume: Float64,
    quote_volume: Float64,
    out: Float64,
    row: int,
) -> None:
    # State: [UTC day, counted from the epoch; traded; volume].
    for run in range(series.size):
        k = series[run]
        for i in range(starts[run], starts[run + 1]):
            out[row, i] = math.nan
            traded = _traded(high[i], low[i], close[i], volume[i], quote_volume[i])
            if math.isnan(traded) or not math.isfinite(open_time_us[i]):
                continue
            day = math.floor(open_time_us[i] / US_PER_DAY)
            if day != states[k, word]:
                states[k, word] = day
                states[k, word + 1] = 0.0
                states[k, word + 2] = 0.0
            states[k, word + 1] += traded
            states[k, word + 2] += volume[i]
            if states[k, word + 2] > 0.0:
                out[row, i] = states[k, word + 1] / states[k, word + 2]


@dataclass(frozen=True, slots=True)
class SessionVwap(RowKernel):
    """Volume-weighted average price since midnight UTC, by the bars' open time.

    ``sum(traded) / sum(volume)`` over the bars of the day so far, a bar having traded its
    ``quote_volume`` where that is finite, else its typical price ``(high + low + close) / 3``
    times its volume. NaN until the day has volume. No warm-up. A bar whose volume is not finite,
    or that has neither a quote volume nor all three prices, is skipped: NaN for that bar.
    """

    base: ClassVar = "vwap_session"
    inputs: ClassVar = ("open_time_us", *_BAR_INPUTS)
    loop: ClassVar = staticmethod(_session_vwap)

    @property
    def width(self) -> int:
        return 3

    @property
    def warm_up(self) -> int:
        return 0
