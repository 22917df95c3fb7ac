"""Indicators that TA-Lib lacks, against their published formulas in plain pandas and numpy.

Each reference is written from the source named in it, over whole columns, and shares nothing with
the kernels.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from marketlake.analytics.indicators.adaptive import Hma
from marketlake.analytics.indicators.bands import Keltner
from marketlake.analytics.indicators.chaikin import ChaikinMoneyFlow
from marketlake.analytics.indicators.estimators import (
    GarmanKlass,
    Parkinson,
    RealisedVolatility,
    YangZhang,
)
from marketlake.analytics.indicators.flow import ForceIndex
from marketlake.analytics.indicators.ichimoku import Ichimoku
from marketlake.analytics.indicators.strength import Tsi
from marketlake.analytics.indicators.trend import SuperTrend
from marketlake.analytics.indicators.volatility import Ulcer
from marketlake.analytics.indicators.vwap import RollingVwap, SessionVwap
from marketlake.analytics.kernel import fold

from .bar_samples import DEPEG, FTX, constant, goes_flat, random_walk, recorded


def seeded_ema(values, span, alpha=None):
    """An exponential average that starts from the mean of the first ``span`` values there are."""
    alpha = alpha or 2 / (span + 1)
    out = pd.Series(np.nan, index=values.index)
    there = values.dropna()
    if len(there) < span:
        return out
    average = there.iloc[:span].mean()
    out[there.index[span - 1]] = average
    for i in there.index[span:]:
        average = alpha * values[i] + (1 - alpha) * average
        out[i] = average
    return out


def wma(values, window):
    weights = np.arange(1, window + 1)
    return values.rolling(window).apply(lambda w: w @ weights / weights.sum(), raw=True)


def true_range(b):
    last = b.close.shift()
    ranges = pd.concat([b.high - b.low, (b.high - last).abs(), (b.low - last).abs()], axis=1)
    return ranges.max(axis=1).where(last.notna())


def atr(b, period):
    return seeded_ema(true_range(b), period, 1 / period)


def hma(k, b):
    # A. Hull: WMA(2 * WMA(n / 2) - WMA(n), sqrt(n)).
    fast, slow = wma(b.close, k.window // 2), wma(b.close, k.window)
    return [wma(2 * fast - slow, math.floor(math.sqrt(k.window)))]


def keltner(k, b):
    # StockCharts: middle EMA of the close, bands a multiple of the ATR away.
    middle, reach = seeded_ema(b.close, k.span), k.multiple * atr(b, k.period)
    return [middle + reach, middle.where(reach.notna()), middle - reach]


def supertrend(k, b):
    # TradingView's ta.supertrend: bands that tighten, a line that changes sides.
    reach, middle = k.multiple * atr(b, k.period), (b.high + b.low) / 2
    basic_upper, basic_lower = middle + reach, middle - reach
    line, side = np.full(len(b), np.nan), np.full(len(b), np.nan)
    upper = lower = line_was_upper = None
    for i in range(k.period, len(b)):
        if upper is None:
            upper, lower, side[i] = basic_upper[i], basic_lower[i], -1
        else:
            if basic_upper[i] < upper or b.close[i - 1] > upper:
                upper = basic_upper[i]
            if basic_lower[i] > lower or b.close[i - 1] < lower:
                lower = basic_lower[i]
            if line_was_upper:
                side[i] = 1 if b.close[i] > upper else -1
            else:
                side[i] = -1 if b.close[i] < lower else 1
        line_was_upper = side[i] == -1
        line[i] = upper if line_was_upper else lower
    return [line, side]


def ichimoku(k, b):
    # Hosoda: middles of ranges; the cloud is drawn `base_line` bars ahead.
    def middle(n):
        return (b.high.rolling(n).max() + b.low.rolling(n).min()) / 2

    conversion, base = middle(k.conversion), middle(k.base_line)
    cloud = [((conversion + base) / 2).shift(k.base_line), middle(k.span).shift(k.base_line)]
    return [conversion, base, *cloud]


def tsi(k, b):
    # W. Blau: doubly smoothed momentum over doubly smoothed absolute momentum.
    step = b.close.diff()
    double = [seeded_ema(seeded_ema(s, k.slow), k.fast) for s in (step, step.abs())]
    return [(100 * double[0] / double[1]).where(double[1] != 0, 0).where(double[1].notna())]


def cmf(k, b):
    # StockCharts: sum of money flow volume over sum of volume.
    spread = b.high - b.low
    where = ((b.close - b.low) - (b.high - b.close)) / spread.where(spread > 0)
    flow = where.fillna(0) * b.volume
    total = b.volume.rolling(k.window).apply(math.fsum, raw=True)
    return [flow.rolling(k.window).apply(math.fsum, raw=True) / total.where(total > 0)]


def force(k, b):
    # A. Elder: EMA of the change times the volume.
    return [seeded_ema(b.close.diff() * b.volume, k.span)]


def realised(k, b):
    # Andersen and Bollerslev: squared returns about a mean of 0.
    squares = np.log(b.close / b.close.shift()) ** 2
    return [squares.rolling(k.window).apply(lambda w: math.sqrt(math.fsum(w) / len(w)), raw=True)]


def parkinson(k, b):
    # Parkinson 1980: ranges over 4 ln 2.
    squares = np.log(b.high / b.low) ** 2
    mean = squares.rolling(k.window).apply(lambda w: math.fsum(w) / len(w), raw=True)
    return [np.sqrt(mean / (4 * math.log(2)))]


def garman_klass(k, b):
    # Garman and Klass 1980, the practical estimator.
    body = np.log(b.close / b.open) ** 2
    daily = 0.5 * np.log(b.high / b.low) ** 2 - (2 * math.log(2) - 1) * body
    mean = daily.rolling(k.window).apply(lambda w: math.fsum(w) / len(w), raw=True)
    return [np.sqrt(mean.clip(lower=0))]


def yang_zhang(k, b):
    # Yang and Zhang 2000, equations 7 to 9.
    n = k.window
    gap, body = np.log(b.open / b.close.shift()), np.log(b.close / b.open).where(b.index > 0)
    up, down = np.log(b.high / b.open), np.log(b.low / b.open)
    inner = (up * (up - body) + down * (down - body)).where(b.index > 0)
    weight = 0.34 / (1.34 + (n + 1) / (n - 1))
    variances = [
        s.rolling(n).apply(lambda w: np.sum((w - w.mean()) ** 2) / (n - 1), raw=True)
        for s in (gap, body)
    ]
    mean = inner.rolling(n).apply(lambda w: math.fsum(w) / n, raw=True)
    return [np.sqrt((variances[0] + weight * variances[1] + (1 - weight) * mean).clip(lower=0))]


def ulcer(k, b):
    # Martin and McCann: root mean square of the drawdowns from the highest close of the window.
    fall = 100 * (b.close / b.close.rolling(k.window).max() - 1)
    return [(fall**2).rolling(k.window).apply(lambda w: math.sqrt(math.fsum(w) / len(w)), raw=True)]


def vwap(k, b):
    traded = (
        ((b.high + b.low + b.close) / 3 * b.volume).rolling(k.window).apply(math.fsum, raw=True)
    )
    total = b.volume.rolling(k.window).apply(math.fsum, raw=True)
    return [traded / total.where(total > 0)]


def session_vwap(_k, b):
    day = (b.open_time_us // 86_400e6).astype("int64")
    traded = ((b.high + b.low + b.close) / 3 * b.volume).groupby(day).cumsum()
    total = b.volume.groupby(day).cumsum()
    return [traded / total.where(total > 0)]


REFERENCES = {
    Hma: hma, Keltner: keltner, SuperTrend: supertrend, Ichimoku: ichimoku, Tsi: tsi,
    ChaikinMoneyFlow: cmf, ForceIndex: force, RealisedVolatility: realised, Parkinson: parkinson,
    GarmanKlass: garman_klass, YangZhang: yang_zhang, Ulcer: ulcer, RollingVwap: vwap,
    SessionVwap: session_vwap,
}  # fmt: skip
KERNELS = [
    Hma(16), Hma(5), Hma(2), Keltner(20, 10, 2), Keltner(3, 7, 1.5), SuperTrend(10, 3),
    SuperTrend(3, 0.5), Ichimoku(9, 26, 52), Ichimoku(2, 3, 7), Tsi(25, 13), Tsi(3, 8),
    ChaikinMoneyFlow(20), ChaikinMoneyFlow(3), ForceIndex(13), ForceIndex(1),
    RealisedVolatility(20), RealisedVolatility(1), Parkinson(20), Parkinson(2), GarmanKlass(20),
    GarmanKlass(3), YangZhang(20), YangZhang(2), Ulcer(14), Ulcer(2), RollingVwap(20),
    RollingVwap(3), SessionVwap(),
]  # fmt: skip
each_kernel = pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)


def with_absent_quote_volume(bars):
    times = np.arange(len(bars["close"])) * 60e6
    return {"open_time_us": times, **bars, "quote_volume": np.full(len(bars["close"]), np.nan)}


def scale_of(kernel, bars):
    """What a difference is measured against at least: each is a difference of such sizes."""
    if isinstance(kernel, ForceIndex):
        return np.nanmax(bars["close"]) * np.nanmax(bars["volume"]) * 1e-3
    if isinstance(kernel, Tsi):
        return 100.0
    if isinstance(kernel, GarmanKlass | YangZhang | RealisedVolatility | Parkinson):
        # A root of a sum that all but cancels is good to the root of its rounding.
        return 1e-2
    return 1e-3


def assert_agrees(kernel, bars):
    bars = with_absent_quote_volume(bars)
    ours = fold(kernel, kernel.initial(), *(bars[name] for name in kernel.inputs))[1]
    theirs = np.array([np.asarray(c) for c in REFERENCES[type(kernel)](kernel, pd.DataFrame(bars))])
    theirs[:, : kernel.warm_up] = np.nan
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9 * scale_of(kernel, bars))


@each_kernel
def test_agrees_on_a_random_walk(kernel):
    assert_agrees(kernel, random_walk(2_000))


@each_kernel
def test_agrees_on_a_market_that_goes_flat(kernel):
    assert_agrees(kernel, goes_flat(200, 300))


@each_kernel
@pytest.mark.parametrize("price", [0.1, 23_288.01])
def test_agrees_on_a_market_that_never_moves(kernel, price):
    assert_agrees(kernel, constant(200, price))


@each_kernel
def test_agrees_over_gaps_as_if_the_bars_left_stood_side_by_side(kernel):
    bars = random_walk(1_000)
    rng = np.random.default_rng(5)
    needed = [name for name in kernel.inputs if name not in ("quote_volume", "open_time_us")]
    for name in needed:
        bars[name][rng.random(1_000) < 0.05] = np.nan
    there = np.isfinite([bars[name] for name in needed]).all(axis=0)
    bars = with_absent_quote_volume(bars)
    ours = fold(kernel, kernel.initial(), *(bars[name] for name in kernel.inputs))[1]
    left = {name: column[there] for name, column in bars.items()}
    alone = fold(kernel, kernel.initial(), *(left[name] for name in kernel.inputs))[1]
    assert np.isnan(ours[:, ~there]).all()
    np.testing.assert_array_equal(ours[:, there], alone)
    assert_agrees(kernel, left)


@pytest.mark.recorded
@each_kernel
@pytest.mark.parametrize("name", [DEPEG[1], FTX[2]])
def test_agrees_on_recorded_bars(kernel, name, recorded_data):
    bars = recorded(recorded_data, name)
    assert_agrees(kernel, {column: values[:3_000] for column, values in bars.items()})


@pytest.mark.parametrize(
    "kernel",
    [RealisedVolatility(3), Parkinson(3), GarmanKlass(3), YangZhang(3)],
    ids=lambda k: k.name,
)
def test_a_price_without_a_logarithm_is_skipped(kernel):
    bars = random_walk(50)
    broken = {name: column.copy() for name, column in bars.items()}
    for name in ("open", "high", "low", "close"):
        broken[name][20:22] = [0.0, -37.63]
    out = fold(kernel, kernel.initial(), *(broken[name] for name in kernel.inputs))[1]
    without = {name: np.delete(column, [20, 21]) for name, column in bars.items()}
    rest = fold(kernel, kernel.initial(), *(without[name] for name in kernel.inputs))[1]
    assert np.isnan(out[:, 20:22]).all()
    np.testing.assert_array_equal(np.delete(out, [20, 21], axis=1), rest)
