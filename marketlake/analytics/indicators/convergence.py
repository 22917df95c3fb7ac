"""Differences of exponential averages: MACD, PPO."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from numba import njit

from marketlake.analytics.compiled import LOOP
from marketlake.analytics.indicators.base import (
    RowKernel,
    averaged,
    load4,
    save4,
)
from marketlake.analytics.kernel import Float64, Int64


@njit(**LOOP)
def _macd(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    close: Float64,
    out: Float64,
    row: int,
    fast: int,
    slow: int,
    signal: int,
) -> None:
    # State: [closes taken, up to slow + signal - 1; fast; slow; signal], each of the last three a
    # sum until its average has its values.
    fast_alpha, slow_alpha = 2.0 / (fast + 1.0), 2.0 / (slow + 1.0)
    signal_alpha = 2.0 / (signal + 1.0)
    ready = slow + signal - 1
    for run in range(series.size):
        k = series[run]
        taken, fast_ema, slow_ema, signal_ema = load4(states, k, word)
        for i in range(starts[run], starts[run + 1]):
            x = close[i]
            out[row, i] = out[row + 1, i] = out[row + 2, i] = math.nan
            if not math.isfinite(x):
                continue
            before = taken
            taken = min(before + 1.0, ready)
            slow_ema = averaged(before, slow_ema, x, slow, slow_alpha)
            if before >= slow - fast:
                fast_ema = averaged(before - (slow - fast), fast_ema, x, fast, fast_alpha)
            if taken < slow:
                continue
            line = fast_ema - slow_ema
            signal_ema = averaged(before - (slow - 1), signal_ema, line, signal, signal_alpha)
            if taken >= ready:
                out[row, i], out[row + 1, i], out[row + 2, i] = line, signal_ema, line - signal_ema
        save4(states, k, word, taken, fast_ema, slow_ema, signal_ema)


@dataclass(frozen=True, slots=True)
class Macd(RowKernel):
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
    base: ClassVar = "macd"
    parts: ClassVar = ("macd", "macd_signal", "macd_hist")
    inputs: ClassVar = ("close",)
    loop: ClassVar = staticmethod(_macd)

    def _check(self) -> None:
        require_ascending(self.name, self.fast, self.slow)

    @property
    def width(self) -> int:
        return 4

    @property
    def warm_up(self) -> int:
        return self.slow + self.signal - 2


def require_ascending(name: str, fast: int, slow: int) -> None:
    """Refuse a fast span that is not below the slow one."""
    if fast >= slow:
        msg = f"{name} needs fast below slow, not {fast} and {slow}"
        raise ValueError(msg)


@njit(**LOOP)
def _ppo(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    close: Float64,
    out: Float64,
    row: int,
    fast: int,
    slow: int,
    signal: int,
) -> None:
    # State: as of the MACD.
    fast_alpha, slow_alpha = 2.0 / (fast + 1.0), 2.0 / (slow + 1.0)
    signal_alpha = 2.0 / (signal + 1.0)
    ready = slow + signal - 1
    for run in range(series.size):
        k = series[run]
        taken, fast_ema, slow_ema, signal_ema = load4(states, k, word)
        for i in range(starts[run], starts[run + 1]):
            x = close[i]
            out[row, i] = out[row + 1, i] = out[row + 2, i] = math.nan
            if not math.isfinite(x):
                continue
            before = taken
            taken = min(before + 1.0, ready)
            slow_ema = averaged(before, slow_ema, x, slow, slow_alpha)
            fast_ema = averaged(before, fast_ema, x, fast, fast_alpha)
            if taken < slow:
                continue
            line = 100.0 * ((fast_ema - slow_ema) / slow_ema) if slow_ema != 0.0 else 0.0
            signal_ema = averaged(before - (slow - 1), signal_ema, line, signal, signal_alpha)
            if taken >= ready:
                out[row, i], out[row + 1, i], out[row + 2, i] = line, signal_ema, line - signal_ema
        save4(states, k, word, taken, fast_ema, slow_ema, signal_ema)


@dataclass(frozen=True, slots=True)
class Ppo(RowKernel):
    """Percentage price oscillator: the MACD as a percentage of its slow average.

    ``ppo = 100 * (ema(fast) - ema(slow)) / ema(slow)``, 0 where the slow average is 0; ``signal =
    ema(signal) of ppo``, ``hist = ppo - signal``. Source: TA-Lib ``PPO`` with exponential averages:
    unlike in ``macd``, each starts from the mean of its own first values; G. Appel. TA-Lib has no
    signal: it is its ``EMA`` of the line. Warm-up: ``slow + signal - 2`` bars for all three. A
    close that is not finite is skipped: NaN for that bar.

    Parameters
    ----------
    fast, slow, signal
        Spans in bars, at least 1, ``fast < slow``.
    """

    fast: int
    slow: int
    signal: int
    base: ClassVar = "ppo"
    parts: ClassVar = ("ppo", "ppo_signal", "ppo_hist")
    inputs: ClassVar = ("close",)
    loop: ClassVar = staticmethod(_ppo)

    def _check(self) -> None:
        require_ascending(self.name, self.fast, self.slow)

    @property
    def width(self) -> int:
        return 4

    @property
    def warm_up(self) -> int:
        return self.slow + self.signal - 2
