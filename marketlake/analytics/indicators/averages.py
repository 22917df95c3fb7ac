"""Moving averages whose weights are fixed: simple, exponential, linear."""

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
    save2,
)
from marketlake.analytics.kernel import Float64, Int64
from marketlake.analytics.windows import (
    SUM_HEADER,
    WEIGHTED_HEADER,
    load_window3,
    load_window4,
    push_sum,
    push_weighted,
    save_window3,
    save_window4,
    sum_width,
    weighted_width,
)


@njit(**LOOP)
def _sma(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    close: Float64,
    out: Float64,
    row: int,
    window: int,
) -> None:
    # State: a window of sums, as `windows` lays it out.
    for run in range(series.size):
        k = series[run]
        full, pos, front = load_window3(states, k, word)
        for i in range(starts[run], starts[run + 1]):
            x = close[i]
            out[row, i] = math.nan
            if not math.isfinite(x):
                continue
            full, pos, front, total = push_sum(
                states, k, word + SUM_HEADER, window, full, pos, front, x
            )
            if full > 0.0:
                out[row, i] = total / window
        save_window3(states, k, word, full, pos, front)


@dataclass(frozen=True, slots=True)
class Sma(RowKernel):
    """Simple moving average: the mean of the last ``window`` closes.

    Source: TA-Lib ``SMA``. Warm-up: ``window - 1`` bars. A close that is not finite is skipped:
    NaN for that bar, and the window keeps its values.

    Parameters
    ----------
    window
        Bars, at least 1.
    """

    window: int
    base: ClassVar = "sma"
    inputs: ClassVar = ("close",)
    loop: ClassVar = staticmethod(_sma)

    @property
    def width(self) -> int:
        return sum_width(self.window)

    @property
    def warm_up(self) -> int:
        return self.window - 1


@njit(**LOOP)
def _ema(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    close: Float64,
    out: Float64,
    row: int,
    span: int,
) -> None:
    # State: [closes taken, up to span; their sum until then, the average after].
    alpha = 2.0 / (span + 1.0)
    for run in range(series.size):
        k = series[run]
        taken, average = load2(states, k, word)
        for i in range(starts[run], starts[run + 1]):
            x = close[i]
            out[row, i] = math.nan
            if not math.isfinite(x):
                continue
            average = averaged(taken, average, x, span, alpha)
            if taken < span:
                taken += 1.0
                if taken < span:
                    continue
            out[row, i] = average
        save2(states, k, word, taken, average)


@dataclass(frozen=True, slots=True)
class Ema(RowKernel):
    """Exponential moving average, ``ema += 2 / (span + 1) * (close - ema)``.

    Source: TA-Lib ``EMA``, which starts from the simple average of the first ``span`` closes.
    Warm-up: ``span - 1`` bars. A close that is not finite is skipped: NaN for that bar, and the
    average stays.

    Parameters
    ----------
    span
        Bars, at least 1.
    """

    span: int
    base: ClassVar = "ema"
    inputs: ClassVar = ("close",)
    loop: ClassVar = staticmethod(_ema)

    @property
    def width(self) -> int:
        return 2

    @property
    def warm_up(self) -> int:
        return self.span - 1


@njit(**LOOP)
def _wma(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    close: Float64,
    out: Float64,
    row: int,
    window: int,
) -> None:
    # State: a window of weighted sums: [full; pos; plain front; weighted front; ring].
    weights = 0.5 * window * (window + 1.0)
    for run in range(series.size):
        k = series[run]
        full, pos, plain, weighted = load_window4(states, k, word)
        for i in range(starts[run], starts[run + 1]):
            x = close[i]
            out[row, i] = math.nan
            if not math.isfinite(x):
                continue
            full, pos, plain, weighted, total = push_weighted(
                states, k, word + WEIGHTED_HEADER, window, full, pos, plain, weighted, x
            )
            if full > 0.0:
                out[row, i] = total / weights
        save_window4(states, k, word, full, pos, plain, weighted)


@dataclass(frozen=True, slots=True)
class Wma(RowKernel):
    """Linearly weighted moving average: weight 1 for the oldest close, ``window`` for the newest.

    Source: TA-Lib ``WMA``. Warm-up: ``window - 1`` bars. A close that is not finite is skipped:
    NaN for that bar, and the window keeps its values.

    Parameters
    ----------
    window
        Bars, at least 1.
    """

    window: int
    base: ClassVar = "wma"
    inputs: ClassVar = ("close",)
    loop: ClassVar = staticmethod(_wma)

    @property
    def width(self) -> int:
        return weighted_width(self.window)

    @property
    def warm_up(self) -> int:
        return self.window - 1
