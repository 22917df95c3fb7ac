"""Volume: average prices weighted by the volume, over a number of bars and over the UTC day.

What a bar traded is its ``quote_volume`` where that is finite: the sum of price times quantity
over its trades, hence exact. Bars as venues publish them may lack it; then it is the typical price
``(high + low + close) / 3`` times the volume, the usual estimate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from numba import njit

from marketlake.analytics.kernel import Float64, Int64, KeyedKernel, require_positive
from marketlake.analytics.windows import to_suffix_sums

US_PER_DAY: Final = 86_400_000_000

VWAP_HEADER: Final = 4
"""Words of a rolling VWAP's state before its two rings."""

_BAR_INPUTS: Final = ("high", "low", "close", "volume", "quote_volume")


@njit(cache=True, nogil=True)
def _traded(high: float, low: float, close: float, volume: float, quote_volume: float) -> float:
    """Give what a bar traded in the quote currency; NaN where its inputs do not tell."""
    if math.isfinite(quote_volume) and math.isfinite(volume):
        return quote_volume
    traded = (high + low + close) / 3.0 * volume
    return traded if math.isfinite(traded) else math.nan


@njit(cache=True, nogil=True)
def _rolling_vwap(
    states: Float64,
    series: Int64,
    high: Float64,
    low: Float64,
    close: Float64,
    volume: Float64,
    quote_volume: Float64,
    out: Float64,
    window: int,
) -> None:
    # State: two windows of sums with one cursor: [full, pos, traded so far in the block, volume so
    # far, ring of traded, ring of volume].
    volumes = VWAP_HEADER + window
    for i in range(series.size):
        out[0, i] = math.nan
        traded = _traded(high[i], low[i], close[i], volume[i], quote_volume[i])
        if math.isnan(traded):
            continue
        k = series[i]
        pos = int(states[k, 1])
        total_traded = states[k, 2] + traded
        total_volume = states[k, 3] + volume[i]
        states[k, VWAP_HEADER + pos] = traded
        states[k, volumes + pos] = volume[i]
        pos += 1
        if pos < window:
            states[k, 1], states[k, 2], states[k, 3] = pos, total_traded, total_volume
            total_traded += states[k, VWAP_HEADER + pos]
            total_volume += states[k, volumes + pos]
        else:
            to_suffix_sums(states, k, VWAP_HEADER, window)
            to_suffix_sums(states, k, volumes, window)
            states[k, 0], states[k, 1], states[k, 2], states[k, 3] = 1.0, 0.0, 0.0, 0.0
        if states[k, 0] > 0.0 and total_volume > 0.0:
            out[0, i] = total_traded / total_volume


@dataclass(frozen=True, slots=True)
class RollingVwap(KeyedKernel):
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
    inputs: ClassVar[tuple[str, ...]] = _BAR_INPUTS

    def __post_init__(self) -> None:
        require_positive(self.name, window=self.window)

    @property
    def name(self) -> str:
        return f"vwap_{self.window}"

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def width(self) -> int:
        return VWAP_HEADER + 2 * self.window

    @property
    def warm_up(self) -> int:
        return self.window - 1

    def _advance(
        self, states: Float64, series: Int64, columns: Sequence[Float64], out: Float64
    ) -> None:
        _rolling_vwap(states, series, *columns, out, self.window)


@njit(cache=True, nogil=True)
def _session_vwap(
    states: Float64,
    series: Int64,
    open_time_us: Float64,
    high: Float64,
    low: Float64,
    close: Float64,
    volume: Float64,
    quote_volume: Float64,
    out: Float64,
) -> None:
    # State: [UTC day, counted from the epoch; traded; volume].
    for i in range(series.size):
        out[0, i] = math.nan
        traded = _traded(high[i], low[i], close[i], volume[i], quote_volume[i])
        if math.isnan(traded) or not math.isfinite(open_time_us[i]):
            continue
        k = series[i]
        day = math.floor(open_time_us[i] / US_PER_DAY)
        if day != states[k, 0]:
            states[k, 0] = day
            states[k, 1] = 0.0
            states[k, 2] = 0.0
        states[k, 1] += traded
        states[k, 2] += volume[i]
        if states[k, 2] > 0.0:
            out[0, i] = states[k, 1] / states[k, 2]


@dataclass(frozen=True, slots=True)
class SessionVwap(KeyedKernel):
    """Volume-weighted average price since midnight UTC, by the bars' open time.

    ``sum(traded) / sum(volume)`` over the bars of the day so far, a bar having traded its
    ``quote_volume`` where that is finite, else its typical price ``(high + low + close) / 3``
    times its volume. NaN until the day has volume. No warm-up. A bar whose volume is not finite,
    or that has neither a quote volume nor all three prices, is skipped: NaN for that bar.
    """

    inputs: ClassVar[tuple[str, ...]] = ("open_time_us", *_BAR_INPUTS)
    outputs: ClassVar[tuple[str, ...]] = ("vwap_session",)
    name: ClassVar[str] = "vwap_session"
    width: ClassVar[int] = 3
    warm_up: ClassVar[int] = 0

    def _advance(
        self, states: Float64, series: Int64, columns: Sequence[Float64], out: Float64
    ) -> None:
        _session_vwap(states, series, *columns, out)
