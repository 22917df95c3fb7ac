"""TA-Lib's function for each kind of indicator that it has, for the tests, the page, the times.

A difference is measured against the value, but against no less than ``floor``: an oscillator that
crosses 0 is as exact as what it is the difference of, not as its own size there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import talib

from marketlake.analytics.indicators import (
    adaptive,
    averages,
    bands,
    chaikin,
    chains,
    convergence,
    directional,
    flow,
    momentum,
    stochastics,
    strength,
    trend,
    volatility,
)
from marketlake.analytics.indicators.base import RowKernel
from marketlake.analytics.kernel import Float64

Bars = Mapping[str, Float64]
Floor = Callable[[Any, Bars], float | Float64]


@dataclass(frozen=True)
class Function:
    """What TA-Lib calls an indicator, how it is called, and the least that differences are of."""

    names: str
    call: Callable[[Any, Bars], Sequence[Float64]]
    floor: Floor


def _none(_kernel: RowKernel, _bars: Bars) -> float:
    return 0.0


def _one(_kernel: RowKernel, _bars: Bars) -> float:
    return 1.0


def _price(_kernel: RowKernel, bars: Bars) -> float:
    return float(np.nanmax(bars["close"]))


def _line(_kernel: RowKernel, bars: Bars) -> float:
    return float(np.abs(talib.AD(*_hlc(bars), bars["volume"])).max())


def _flows(kernel: strength.Mfi, bars: Bars) -> Float64:
    """Let 1e-9 be 1e-13 of the largest flow so far, for TA-Lib's running sums keep its rounding."""
    flow = sum(_hlc(bars)) / 3.0 * bars["volume"]
    totals = np.convolve(flow, np.ones(kernel.window))[: len(flow)]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.fmax(1.0, 1e-2 * np.maximum.accumulate(flow) / totals)


def _mean_of_prices(kernel: momentum.Cci, bars: Bars) -> Float64:
    """Let 1e-9 be 1e-15 of the mean price, which no sum of prices is better than, or of 1.

    The CCI is a difference of prices over their deviation: where a market moves by less than a
    millionth, the last digit of a price is more than 1e-9 of the result.
    """
    typical = sum(_hlc(bars)) / 3.0
    views = np.lib.stride_tricks.sliding_window_view(typical, kernel.window)
    means = views.mean(axis=1)
    deviations = np.abs(views - means[:, None]).mean(axis=1)
    floor = np.ones(len(typical))
    with np.errstate(divide="ignore"):
        floor[kernel.window - 1 :] = np.maximum(1.0, 1e-6 * means / (0.015 * deviations))
    return floor


def _hlc(bars: Bars) -> tuple[Float64, Float64, Float64]:
    return bars["high"], bars["low"], bars["close"]


def _ppo(kernel: convergence.Ppo, bars: Bars) -> Sequence[Float64]:
    line = talib.PPO(bars["close"], kernel.fast, kernel.slow, talib.MA_Type.EMA)
    signal = talib.EMA(line, kernel.signal)
    return line, signal, line - signal


def _donchian(kernel: bands.Donchian, bars: Bars) -> Sequence[Float64]:
    upper, lower = talib.MAX(bars["high"], kernel.window), talib.MIN(bars["low"], kernel.window)
    return upper, (upper + lower) / 2, lower


def _aroon(kernel: directional.Aroon, bars: Bars) -> Sequence[Float64]:
    down, up = talib.AROON(bars["high"], bars["low"], kernel.period)
    return up, down, talib.AROONOSC(bars["high"], bars["low"], kernel.period)


def _adx(kernel: directional.Adx, bars: Bars) -> Sequence[Float64]:
    return [f(*_hlc(bars), kernel.period) for f in (talib.ADX, talib.PLUS_DI, talib.MINUS_DI)]


FUNCTIONS: Final[dict[type[RowKernel], Function]] = {
    averages.Sma: Function("SMA", lambda k, b: [talib.SMA(b["close"], k.window)], _none),
    averages.Ema: Function("EMA", lambda k, b: [talib.EMA(b["close"], k.span)], _none),
    averages.Wma: Function("WMA", lambda k, b: [talib.WMA(b["close"], k.window)], _none),
    chains.Dema: Function("DEMA", lambda k, b: [talib.DEMA(b["close"], k.span)], _none),
    chains.Tema: Function("TEMA", lambda k, b: [talib.TEMA(b["close"], k.span)], _none),
    adaptive.Kama: Function("KAMA", lambda k, b: [talib.KAMA(b["close"], k.window)], _none),
    bands.Bollinger: Function(
        "BBANDS", lambda k, b: talib.BBANDS(b["close"], k.window, k.deviations, k.deviations), _none
    ),
    bands.Donchian: Function("MAX, MIN", _donchian, _none),
    trend.Psar: Function(
        "SAR", lambda k, b: [talib.SAR(b["high"], b["low"], k.acceleration, k.maximum)], _none
    ),
    strength.Rsi: Function("RSI", lambda k, b: [talib.RSI(b["close"], k.period)], _one),
    strength.Cmo: Function("CMO", lambda k, b: [talib.CMO(b["close"], k.period)], _one),
    strength.Mfi: Function(
        "MFI", lambda k, b: [talib.MFI(*_hlc(b), b["volume"], k.window)], _flows
    ),
    stochastics.StochRsi: Function(
        "STOCHRSI", lambda k, b: talib.STOCHRSI(b["close"], k.period, k.window, k.smooth, 0), _one
    ),
    stochastics.Stochastic: Function(
        "STOCH", lambda k, b: talib.STOCH(*_hlc(b), k.window, k.smooth_k, 0, k.smooth_d, 0), _one
    ),
    stochastics.WilliamsR: Function("WILLR", lambda k, b: [talib.WILLR(*_hlc(b), k.window)], _one),
    momentum.Cci: Function("CCI", lambda k, b: [talib.CCI(*_hlc(b), k.window)], _mean_of_prices),
    momentum.Roc: Function("ROC", lambda k, b: [talib.ROC(b["close"], k.lag)], _one),
    momentum.UltimateOscillator: Function(
        "ULTOSC", lambda k, b: [talib.ULTOSC(*_hlc(b), k.short, k.middle, k.long)], _one
    ),
    convergence.Macd: Function(
        "MACD", lambda k, b: talib.MACD(b["close"], k.fast, k.slow, k.signal), _price
    ),
    convergence.Ppo: Function("PPO, EMA", _ppo, _one),
    chains.Trix: Function("TRIX", lambda k, b: [talib.TRIX(b["close"], k.span)], _one),
    directional.Adx: Function("ADX, PLUS_DI, MINUS_DI", _adx, _one),
    directional.Aroon: Function("AROON, AROONOSC", _aroon, _one),
    flow.Obv: Function("OBV", lambda _, b: [talib.OBV(b["close"], b["volume"])], _none),
    chaikin.AccumulationDistribution: Function(
        "AD", lambda _, b: [talib.AD(*_hlc(b), b["volume"])], _line
    ),
    chaikin.ChaikinOscillator: Function(
        "ADOSC", lambda k, b: [talib.ADOSC(*_hlc(b), b["volume"], k.fast, k.slow)], _line
    ),
    volatility.Atr: Function("ATR", lambda k, b: [talib.ATR(*_hlc(b), k.period)], _none),
    volatility.Natr: Function("NATR", lambda k, b: [talib.NATR(*_hlc(b), k.period)], _none),
}


def talib_columns(kernel: RowKernel, bars: Bars) -> Float64:
    """Give TA-Lib's outputs for an indicator, NaN where ours is still warming up."""
    columns = np.array(FUNCTIONS[type(kernel)].call(kernel, bars))
    columns[:, : kernel.warm_up] = np.nan
    return columns


def difference(kernel: RowKernel, bars: Bars, ours: Float64, theirs: Float64) -> Float64:
    """Give the relative differences; 0 where both have none, infinite where only one has."""
    least = FUNCTIONS[type(kernel)].floor(kernel, bars)
    scale = np.maximum(np.abs(theirs), least)
    found = np.abs(ours - theirs) / np.where(scale > 0, scale, 1.0)
    found[np.isnan(ours) & np.isnan(theirs)] = 0.0
    return np.where(np.isnan(found), np.inf, found)
