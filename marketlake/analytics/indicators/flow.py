"""Volume that goes with the change of the price: OBV, force index."""

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
    save3,
)
from marketlake.analytics.kernel import Float64, Int64


@njit(**LOOP)
def _obv(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    close: Float64,
    volume: Float64,
    out: Float64,
    row: int,
) -> None:
    # State: [whether a bar was taken; last close; balance].
    for run in range(series.size):
        k = series[run]
        taken, last, balance = load3(states, k, word)
        for i in range(starts[run], starts[run + 1]):
            x, v = close[i], volume[i]
            out[row, i] = math.nan
            if not math.isfinite(x + v):
                continue
            if taken == 0.0:
                taken, last = 1.0, -math.inf
            # No branch: which way it goes cannot be foretold; a wrong guess costs ten additions.
            balance += ((x > last) - (x < last)) * v
            last = x
            out[row, i] = balance
        save3(states, k, word, taken, last, balance)


@dataclass(frozen=True, slots=True)
class Obv(RowKernel):
    """On-balance volume: volume of bars that closed higher less that of those that closed lower.

    In units of the base currency, counted from the series' first bar, whose volume it starts from;
    only its changes mean anything. Source: TA-Lib ``OBV``; J. Granville, New Key to Stock Market
    Profits, 1963. No warm-up. A bar whose close or volume is not finite is skipped: NaN for that
    bar.
    """

    base: ClassVar = "obv"
    inputs: ClassVar = ("close", "volume")
    loop: ClassVar = staticmethod(_obv)

    @property
    def width(self) -> int:
        return 3

    @property
    def warm_up(self) -> int:
        return 0


@njit(**LOOP)
def _force(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    close: Float64,
    volume: Float64,
    out: Float64,
    row: int,
    span: int,
) -> None:
    # State: [bars taken, up to span + 1; last close; average, a sum until it has its values].
    alpha = 2.0 / (span + 1.0)
    for run in range(series.size):
        k = series[run]
        taken, last, average = load3(states, k, word)
        for i in range(starts[run], starts[run + 1]):
            x, v = close[i], volume[i]
            out[row, i] = math.nan
            if not math.isfinite(x + v):
                continue
            force = (x - last) * v
            last = x
            if taken == 0.0:
                taken = 1.0
                continue
            average = averaged(taken - 1.0, average, force, span, alpha)
            taken = min(taken + 1.0, span + 1.0)
            if taken > span:
                out[row, i] = average
        save3(states, k, word, taken, last, average)


@dataclass(frozen=True, slots=True)
class ForceIndex(RowKernel):
    """Force index: exponential average of the change of the close times the volume.

    ``ema(span)`` of ``(close - last close) * volume``, in units of the quote currency, started from
    the mean of the first ``span`` values. Source: A. Elder, Trading for a Living, 1993; TA-Lib has
    none. Warm-up: ``span`` bars. A bar whose close or volume is not finite is skipped: NaN for that
    bar, and the next change is against the last close taken.

    Parameters
    ----------
    span
        Bars, at least 1.
    """

    span: int
    base: ClassVar = "force"
    inputs: ClassVar = ("close", "volume")
    loop: ClassVar = staticmethod(_force)

    @property
    def width(self) -> int:
        return 3

    @property
    def warm_up(self) -> int:
        return self.span
