"""Overlays on the price chart: simple and exponential moving averages, Bollinger bands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from numba import njit

from marketlake.analytics.kernel import Float64, Int64, KeyedKernel, require_positive
from marketlake.analytics.windows import (
    SUM_HEADER,
    moments,
    moments_width,
    push_moments,
    to_suffix_sums,
)


@njit(cache=True, nogil=True)
def _sma(states: Float64, series: Int64, close: Float64, out: Float64, window: int) -> None:
    # State: a window of sums, as `windows` lays it out.
    held = -1
    full, pos, front = 0.0, 0, 0.0
    for i in range(series.size):
        x = close[i]
        out[0, i] = math.nan
        if not math.isfinite(x):
            continue
        k = series[i]
        if k != held:
            if held >= 0:
                states[held, 0], states[held, 1], states[held, 2] = full, pos, front
            held = k
            full, pos, front = states[k, 0], int(states[k, 1]), states[k, 2]
        front += x
        total = front
        states[k, SUM_HEADER + pos] = x
        pos += 1
        if pos < window:
            total += states[k, SUM_HEADER + pos]
        else:
            to_suffix_sums(states, k, SUM_HEADER, window)
            full, pos, front = 1.0, 0, 0.0
        if full > 0.0:
            out[0, i] = total / window
    if held >= 0:
        states[held, 0], states[held, 1], states[held, 2] = full, pos, front


@dataclass(frozen=True, slots=True)
class Sma(KeyedKernel):
    """Simple moving average: the mean of the last ``window`` closes.

    Source: TA-Lib ``SMA``. Warm-up: ``window - 1`` bars. A close that is not finite is skipped:
    NaN for that bar, and the window keeps its values.

    Parameters
    ----------
    window
        Bars, at least 1.
    """

    window: int
    inputs: ClassVar[tuple[str, ...]] = ("close",)

    def __post_init__(self) -> None:
        require_positive(self.name, window=self.window)

    @property
    def name(self) -> str:
        return f"sma_{self.window}"

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def width(self) -> int:
        return SUM_HEADER + self.window

    @property
    def warm_up(self) -> int:
        return self.window - 1

    def _advance(
        self, states: Float64, series: Int64, columns: Sequence[Float64], out: Float64
    ) -> None:
        _sma(states, series, columns[0], out, self.window)


@njit(cache=True, nogil=True)
def _ema(states: Float64, series: Int64, close: Float64, out: Float64, span: int) -> None:
    # State: [closes taken, up to span; their sum until then, the average after].
    alpha = 2.0 / (span + 1.0)
    held = -1
    taken, average = 0.0, 0.0
    for i in range(series.size):
        x = close[i]
        out[0, i] = math.nan
        if not math.isfinite(x):
            continue
        k = series[i]
        if k != held:
            if held >= 0:
                states[held, 0], states[held, 1] = taken, average
            held = k
            taken, average = states[k, 0], states[k, 1]
        if taken >= span:
            average += alpha * (x - average)
        else:
            taken += 1.0
            average += x
            if taken < span:
                continue
            average /= span
        out[0, i] = average
    if held >= 0:
        states[held, 0], states[held, 1] = taken, average


@dataclass(frozen=True, slots=True)
class Ema(KeyedKernel):
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
    inputs: ClassVar[tuple[str, ...]] = ("close",)

    def __post_init__(self) -> None:
        require_positive(self.name, span=self.span)

    @property
    def name(self) -> str:
        return f"ema_{self.span}"

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def width(self) -> int:
        return 2

    @property
    def warm_up(self) -> int:
        return self.span - 1

    def _advance(
        self, states: Float64, series: Int64, columns: Sequence[Float64], out: Float64
    ) -> None:
        _ema(states, series, columns[0], out, self.span)


@njit(cache=True, nogil=True)
def _bollinger(
    states: Float64, series: Int64, close: Float64, out: Float64, window: int, deviations: float
) -> None:
    for i in range(series.size):
        x = close[i]
        out[0, i] = math.nan
        out[1, i] = math.nan
        out[2, i] = math.nan
        if not math.isfinite(x):
            continue
        k = series[i]
        push_moments(states, k, window, x)
        if states[k, 0] > 0.0:
            _, mean, m2 = moments(states, k, window)
            band = deviations * math.sqrt(m2 / window)
            out[0, i] = mean + band
            out[1, i] = mean
            out[2, i] = mean - band


@dataclass(frozen=True, slots=True)
class Bollinger(KeyedKernel):
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
        Half width of the bands in standard deviations, above 0.
    """

    window: int
    deviations: float = 2.0
    inputs: ClassVar[tuple[str, ...]] = ("close",)

    def __post_init__(self) -> None:
        require_positive(self.name, window=self.window)
        if not self.deviations > 0:
            msg = f"{self.name} needs deviations above 0, not {self.deviations}"
            raise ValueError(msg)

    @property
    def name(self) -> str:
        return f"bollinger_{self._suffix}"

    @property
    def _suffix(self) -> str:
        return f"{self.window}_{self.deviations:g}".replace(".", "p")

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(f"bollinger_{band}_{self._suffix}" for band in ("upper", "middle", "lower"))

    @property
    def width(self) -> int:
        return moments_width(self.window)

    @property
    def warm_up(self) -> int:
        return self.window - 1

    def _advance(
        self, states: Float64, series: Int64, columns: Sequence[Float64], out: Float64
    ) -> None:
        _bollinger(states, series, columns[0], out, self.window, float(self.deviations))
