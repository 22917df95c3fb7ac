"""Indicators against TA-Lib, wherever it has the function."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from marketlake.analytics.indicators.adaptive import Kama
from marketlake.analytics.indicators.averages import Ema, Sma, Wma
from marketlake.analytics.indicators.bands import Bollinger, Donchian
from marketlake.analytics.indicators.chaikin import ChaikinOscillator
from marketlake.analytics.indicators.chains import Dema, Tema, Trix
from marketlake.analytics.indicators.convergence import Macd, Ppo
from marketlake.analytics.indicators.directional import Adx, Aroon
from marketlake.analytics.indicators.momentum import Cci, Roc, UltimateOscillator
from marketlake.analytics.indicators.registry import DEFAULT
from marketlake.analytics.indicators.stochastics import Stochastic, StochRsi, WilliamsR
from marketlake.analytics.indicators.strength import Cmo, Mfi, Rsi
from marketlake.analytics.indicators.trend import Psar
from marketlake.analytics.indicators.volatility import Atr, Natr
from marketlake.analytics.kernel import fold

from .bar_samples import DEPEG, FTX, constant, goes_flat, random_walk, recorded

TOLERANCE = 1e-9

_FILE = Path(__file__).parents[3] / "benchmarks" / "talib_functions.py"
_SPEC = importlib.util.spec_from_file_location("talib_functions", _FILE)
talib_functions = importlib.util.module_from_spec(_SPEC)
sys.modules["talib_functions"] = talib_functions
_SPEC.loader.exec_module(talib_functions)

OTHERS = (
    Sma(7), Ema(1), Ema(3), Wma(5), Dema(4), Tema(3), Kama(3), Bollinger(5, 1.5), Donchian(7),
    Psar(0.05, 0.12), Rsi(3), Cmo(5), Mfi(4), StochRsi(5, 7, 4), Stochastic(5, 1, 4), WilliamsR(4),
    Cci(7), Roc(1), UltimateOscillator(2, 5, 6), Macd(3, 10, 4), Ppo(4, 9, 3), Trix(3), Adx(5),
    Aroon(5), ChaikinOscillator(4, 3), Atr(5), Natr(3),
)  # fmt: skip
KERNELS = [*(k for k in DEFAULT if type(k) in talib_functions.FUNCTIONS), *OTHERS]
each_kernel = pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)


def rounding_only(kernel, bars):
    """Bars for which TA-Lib gives what its rounding makes of 0 / 0; stated in our docstrings."""
    found = np.zeros(len(bars["close"]), dtype=bool)
    if isinstance(kernel, Cci):
        typical = (bars["high"] + bars["low"] + bars["close"]) / 3
        found = _ranges(typical, kernel.window) < 1e-12 * typical
    if isinstance(kernel, StochRsi):
        rsi = talib_functions.talib.RSI(bars["close"], kernel.period)
        still = _ranges(rsi, kernel.window) < 1e-7
        found = np.convolve(still, np.ones(kernel.smooth))[: len(still)] > 0
    if isinstance(kernel, Kama):
        # Its running sum of changes keeps a rest of past ones; what follows depends on it.
        changes = np.abs(np.diff(bars["close"], prepend=bars["close"][0]))
        still = np.convolve(changes, np.ones(kernel.window))[: len(changes)] == 0
        found = np.cumsum(still & (np.arange(len(still)) >= kernel.window)) > 0
    return found


def _ranges(values, window):
    views = np.lib.stride_tricks.sliding_window_view(values, window)
    ranges = np.full(len(values), np.inf)
    ranges[window - 1 :] = views.max(axis=1) - views.min(axis=1)
    return ranges


def assert_agrees(kernel, bars):
    ours = fold(kernel, kernel.initial(), *(bars[name] for name in kernel.inputs))[1]
    theirs = talib_functions.talib_columns(kernel, bars)
    compared = ~rounding_only(kernel, bars)
    differences = talib_functions.difference(kernel, bars, ours, theirs)[:, compared]
    assert differences.size == 0 or differences.max() <= TOLERANCE


@each_kernel
def test_agrees_on_a_random_walk(kernel):
    bars = random_walk()
    assert not rounding_only(kernel, bars).any()
    assert_agrees(kernel, bars)


@each_kernel
def test_agrees_on_a_market_that_goes_flat(kernel):
    assert_agrees(kernel, goes_flat())


@each_kernel
@pytest.mark.parametrize("price", [0.1, 100.0, 23_288.01])
def test_agrees_on_a_market_that_never_moves(kernel, price):
    assert_agrees(kernel, constant(price=price))


@each_kernel
def test_agrees_over_gaps_as_if_the_bars_left_stood_side_by_side(kernel):
    bars = random_walk(2_000)
    rng = np.random.default_rng(5)
    for name in kernel.inputs:
        bars[name][rng.random(2_000) < 0.05] = np.nan
    there = np.isfinite([bars[name] for name in kernel.inputs]).all(axis=0)
    ours = fold(kernel, kernel.initial(), *(bars[name] for name in kernel.inputs))[1]
    assert np.isnan(ours[:, ~there]).all()
    left = {name: column[there] for name, column in bars.items()}
    theirs = talib_functions.talib_columns(kernel, left)
    assert talib_functions.difference(kernel, left, ours[:, there], theirs).max() <= TOLERANCE


@pytest.mark.recorded
@each_kernel
@pytest.mark.parametrize("name", [*DEPEG, *FTX])
def test_agrees_on_recorded_bars(kernel, name, recorded_data):
    bars = recorded(recorded_data, name)
    assert len(bars["close"]) >= 1_000
    assert_agrees(kernel, bars)
