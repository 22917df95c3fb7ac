"""Volatility: average true range."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from numba import njit

from marketlake.analytics.kernel import Float64, Int64, KeyedKernel, require_positive


@njit(cache=True, nogil=True)
def _atr(
    states: Float64,
    series: Int64,
    high: Float64,
    low: Float64,
    close: Float64,
    out: Float64,
    period: int,
) -> None:
    # State: [bars taken, up to period + 1; last close; sum of the true ranges until there are
    # `period` of them, then Wilder's average].
    alpha = 1.0 / period
    held = -1
    taken, last, average = 0.0, 0.0, 0.0
    for i in range(series.size):
        out[0, i] = math.nan
        if not (math.isfinite(high[i]) and math.isfinite(low[i]) and math.isfinite(close[i])):
            continue
        k = series[i]
        if k != held:
            if held >= 0:
                states[held, 0], states[held, 1], states[held, 2] = taken, last, average
            held = k
            taken, last, average = states[k, 0], states[k, 1], states[k, 2]
        true_range = max(high[i], last) - min(low[i], last)
        last = close[i]
        if taken == 0.0:
            taken = 1.0
            continue
        if taken > period:
            average += alpha * (true_range - average)
        else:
            taken += 1.0
            average += true_range
            if taken <= period:
                continue
            average /= period
        out[0, i] = average
    if held >= 0:
        states[held, 0], states[held, 1], states[held, 2] = taken, last, average


@dataclass(frozen=True, slots=True)
class Atr(KeyedKernel):
    """Average true range of Wilder, in the unit of the price.

    True range: ``max(high, last close) - min(low, last close)``; the first bar has none. The
    average starts from the mean of the first ``period`` true ranges, then
    ``atr = (atr * (period - 1) + true range) / period``. Source: TA-Lib ``ATR``; J. W. Wilder, New
    Concepts in Technical Trading Systems, 1978. Warm-up: ``period`` bars. A bar whose high, low or
    close is not finite is skipped: NaN for that bar, and the next true range is against the last
    close taken.

    Parameters
    ----------
    period
        Bars, at least 1.
    """

    period: int
    inputs: ClassVar[tuple[str, ...]] = ("high", "low", "close")

    def __post_init__(self) -> None:
        require_positive(self.name, period=self.period)

    @property
    def name(self) -> str:
        return f"atr_{self.period}"

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def width(self) -> int:
        return 3

    @property
    def warm_up(self) -> int:
        return self.period

    def _advance(
        self, states: Float64, series: Int64, columns: Sequence[Float64], out: Float64
    ) -> None:
        _atr(states, series, *columns, out, self.period)
