"""Momentum: relative strength index, moving average convergence and divergence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from numba import njit

from marketlake.analytics.kernel import Float64, Int64, KeyedKernel, require_positive


@njit(cache=True, nogil=True)
def _rsi(states: Float64, series: Int64, close: Float64, out: Float64, period: int) -> None:
    # State: [closes taken, up to period + 1; last close; gain; loss]. Gain and loss are sums
    # until there are `period` changes, then Wilder's averages.
    alpha = 1.0 / period
    held = -1
    taken, last, gain, loss = 0.0, 0.0, 0.0, 0.0
    for i in range(series.size):
        x = close[i]
        out[0, i] = math.nan
        if not math.isfinite(x):
            continue
        k = series[i]
        if k != held:
            if held >= 0:
                states[held, 0], states[held, 1] = taken, last
                states[held, 2], states[held, 3] = gain, loss
            held = k
            taken, last, gain, loss = states[k, 0], states[k, 1], states[k, 2], states[k, 3]
        change = x - last
        last = x
        if taken == 0.0:
            taken = 1.0
            continue
        if taken > period:
            gain += alpha * (max(change, 0.0) - gain)
            loss += alpha * (max(-change, 0.0) - loss)
        else:
            taken += 1.0
            gain += max(change, 0.0)
            loss += max(-change, 0.0)
            if taken <= period:
                continue
            gain /= period
            loss /= period
        total = gain + loss
        out[0, i] = 100.0 * (gain / total) if total > 0.0 else 0.0
    if held >= 0:
        states[held, 0], states[held, 1] = taken, last
        states[held, 2], states[held, 3] = gain, loss


@dataclass(frozen=True, slots=True)
class Rsi(KeyedKernel):
    """Relative strength index of Wilder, from 0 to 100.

    ``100 * gain / (gain + loss)``, where gain and loss are Wilder's averages,
    ``average = (average * (period - 1) + new) / period``, of the rises and of the falls of the
    close, started from the plain mean of the first ``period`` changes. A market without any
    change so far has 0, as in TA-Lib; one that goes flat keeps its value, for both averages fade
    alike, at any scale of the price. Source: TA-Lib 0.8 ``RSI``; J. W. Wilder, New Concepts in
    Technical Trading Systems, 1978. Warm-up: ``period`` bars. A close that is not finite is
    skipped: NaN for that bar, and the next change is against the last finite close.

    Parameters
    ----------
    period
        Bars, at least 1.
    """

    period: int
    inputs: ClassVar[tuple[str, ...]] = ("close",)

    def __post_init__(self) -> None:
        require_positive(self.name, period=self.period)

    @property
    def name(self) -> str:
        return f"rsi_{self.period}"

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def width(self) -> int:
        return 4

    @property
    def warm_up(self) -> int:
        return self.period

    def _advance(
        self, states: Float64, series: Int64, columns: Sequence[Float64], out: Float64
    ) -> None:
        _rsi(states, series, columns[0], out, self.period)


@njit(cache=True, nogil=True)
def _macd(
    states: Float64, series: Int64, close: Float64, out: Float64, fast: int, slow: int, signal: int
) -> None:
    # State: [closes taken, up to slow + signal - 1; fast; slow; signal], each of the last three a
    # sum until its average has its values.
    fast_alpha = 2.0 / (fast + 1.0)
    slow_alpha = 2.0 / (slow + 1.0)
    signal_alpha = 2.0 / (signal + 1.0)
    ready = slow + signal - 1
    held = -1
    taken, fast_ema, slow_ema, signal_ema = 0.0, 0.0, 0.0, 0.0
    for i in range(series.size):
        x = close[i]
        out[0, i] = out[1, i] = out[2, i] = math.nan
        if not math.isfinite(x):
            continue
        k = series[i]
        if k != held:
            if held >= 0:
                states[held, 0], states[held, 1] = taken, fast_ema
                states[held, 2], states[held, 3] = slow_ema, signal_ema
            held = k
            taken, fast_ema = states[k, 0], states[k, 1]
            slow_ema, signal_ema = states[k, 2], states[k, 3]
        before = taken
        taken = min(before + 1.0, ready)
        if before >= slow:
            fast_ema += fast_alpha * (x - fast_ema)
            slow_ema += slow_alpha * (x - slow_ema)
        else:
            slow_ema += x
            fast_ema += x if before >= slow - fast else 0.0
            if taken < slow:
                continue
            fast_ema /= fast
            slow_ema /= slow
        line = fast_ema - slow_ema
        if before >= ready:
            signal_ema += signal_alpha * (line - signal_ema)
        else:
            signal_ema += line
            if taken < ready:
                continue
            signal_ema /= signal
        out[0, i], out[1, i], out[2, i] = line, signal_ema, line - signal_ema
    if held >= 0:
        states[held, 0], states[held, 1] = taken, fast_ema
        states[held, 2], states[held, 3] = slow_ema, signal_ema


@dataclass(frozen=True, slots=True)
class Macd(KeyedKernel):
    """Moving average convergence and divergence: the line, its signal and their difference.

    ``macd = ema(fast) - ema(slow)``, ``signal = ema(signal) of macd``, ``hist = macd - signal``.
    Source: TA-Lib ``MACD``: the slow average starts from the mean of the first ``slow`` closes;
    the fast one at that same bar, from the mean of the ``fast`` closes that end there (so it is
    not the ``ema`` of the same span until the difference has faded); the signal from the mean of
    the first ``signal`` values of the line. Warm-up: ``slow + signal - 2`` bars for all three. A
    close that is not finite is skipped: NaN for that bar.

    Parameters
    ----------
    fast, slow, signal
        Spans in bars, at least 1, ``fast < slow``.
    """

    fast: int
    slow: int
    signal: int
    inputs: ClassVar[tuple[str, ...]] = ("close",)

    def __post_init__(self) -> None:
        require_positive(self.name, fast=self.fast, signal=self.signal)
        if self.fast >= self.slow:
            msg = f"{self.name} needs fast below slow, not {self.fast} and {self.slow}"
            raise ValueError(msg)

    @property
    def name(self) -> str:
        return f"macd_{self._suffix}"

    @property
    def _suffix(self) -> str:
        return f"{self.fast}_{self.slow}_{self.signal}"

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(f"{part}_{self._suffix}" for part in ("macd", "macd_signal", "macd_hist"))

    @property
    def width(self) -> int:
        return 4

    @property
    def warm_up(self) -> int:
        return self.slow + self.signal - 2

    def _advance(
        self, states: Float64, series: Int64, columns: Sequence[Float64], out: Float64
    ) -> None:
        _macd(states, series, columns[0], out, self.fast, self.slow, self.signal)
