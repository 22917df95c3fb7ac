"""Indicators against TA-Lib, and against exact sums where TA-Lib has none."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import talib

from marketlake.analytics.indicators.momentum import Macd, Rsi
from marketlake.analytics.indicators.overlap import Bollinger, Ema, Sma
from marketlake.analytics.indicators.registry import DEFAULT, columns, indicator, reference_page
from marketlake.analytics.indicators.volatility import Atr
from marketlake.analytics.indicators.volume import RollingVwap, SessionVwap
from marketlake.analytics.kernel import Kernel, fold

DATA = Path(os.environ.get("MARKETLAKE_DATA", Path(__file__).parents[4] / "shared/data"))
RECORDED = [
    "kraken_btcusd", "kraken_usdcusd", "coinbase_btcusd", "coinbase_usdtusd", "binanceus_usdcusdt",
]  # fmt: skip

REFERENCES = {
    Sma(20): lambda b: [talib.SMA(b["close"], 20)],
    Sma(50): lambda b: [talib.SMA(b["close"], 50)],
    Sma(7): lambda b: [talib.SMA(b["close"], 7)],
    Ema(12): lambda b: [talib.EMA(b["close"], 12)],
    Ema(26): lambda b: [talib.EMA(b["close"], 26)],
    Rsi(14): lambda b: [talib.RSI(b["close"], 14)],
    Rsi(3): lambda b: [talib.RSI(b["close"], 3)],
    Macd(12, 26, 9): lambda b: talib.MACD(b["close"], 12, 26, 9),
    Macd(3, 10, 4): lambda b: talib.MACD(b["close"], 3, 10, 4),
    Bollinger(20, 2): lambda b: talib.BBANDS(b["close"], 20, 2, 2),
    Bollinger(5, 1.5): lambda b: talib.BBANDS(b["close"], 5, 1.5, 1.5),
    Atr(14): lambda b: [talib.ATR(b["high"], b["low"], b["close"], 14)],
    Atr(5): lambda b: [talib.ATR(b["high"], b["low"], b["close"], 5)],
}
KERNELS = pytest.mark.parametrize("kernel", REFERENCES, ids=lambda kernel: kernel.name)


def random_walk(rows=5_000, start=100.0):
    rng = np.random.default_rng(20230311)
    close = start * np.exp(np.cumsum(rng.normal(scale=1e-3, size=rows)))
    open_ = np.concatenate([[start], close[:-1]])
    volume = rng.random(rows)
    return {
        "open": open_,
        "high": np.maximum(open_, close) * (1 + rng.random(rows) * 1e-3),
        "low": np.minimum(open_, close) * (1 - rng.random(rows) * 1e-3),
        "close": close,
        "volume": volume,
        "quote_volume": volume * close,
        "open_time_us": np.arange(rows) * 60e6,
    }


def run(kernel: Kernel, bars):
    return fold(kernel, kernel.initial(), *(bars[name] for name in kernel.inputs))[1]


def assert_agrees(kernel, bars):
    """To 1e-9 of the value; of the price for the MACD, which is a difference of prices."""
    ours = run(kernel, bars)
    theirs = np.array(REFERENCES[kernel](bars))
    assert np.array_equal(np.isnan(ours), np.isnan(theirs))
    scale = bars["close"].max() if isinstance(kernel, Macd) else 0.0
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9 * scale)


@KERNELS
def test_agrees_with_talib_on_a_random_walk(kernel):
    assert_agrees(kernel, random_walk())


@KERNELS
def test_agrees_with_talib_on_a_market_that_goes_flat(kernel):
    bars = random_walk(200)
    flat = {name: np.concatenate([c, np.full(1_000, c[-1])]) for name, c in bars.items()}
    assert_agrees(kernel, flat)


@pytest.mark.recorded
@pytest.mark.parametrize("name", RECORDED)
@KERNELS
def test_agrees_with_talib_on_recorded_bars(kernel, name):
    path = DATA / "depeg-2023-03" / f"{name}.parquet"
    if not path.exists():
        pytest.skip(f"the recorded bars {path.name} are absent (see MARKETLAKE_DATA)")
    table = pq.read_table(path)
    bars = {
        column: np.asarray(table[column].to_pylist(), dtype=np.float64)
        for column in ("high", "low", "close")
    }
    assert len(bars["close"]) > 5_000
    assert_agrees(kernel, bars)


def test_rsi_does_not_depend_on_the_unit_of_the_price():
    close = random_walk(300)["close"]
    expected = run(Rsi(14), {"close": close})
    np.testing.assert_allclose(run(Rsi(14), {"close": close * 1e-20}), expected, rtol=1e-12)
    assert (run(Rsi(14), {"close": np.full(30, 7.0)})[0, 14:] == 0.0).all()


def test_rsi_of_rises_only_is_100_and_of_falls_only_0():
    rises = {"close": np.arange(1.0, 31.0)}
    assert (run(Rsi(14), rises)[0, 14:] == 100.0).all()
    assert (run(Rsi(14), {"close": rises["close"][::-1]})[0, 14:] == 0.0).all()


def test_bollinger_of_a_constant_has_no_width():
    upper, middle, lower = run(Bollinger(20, 2), {"close": np.full(100, 0.1)})
    for band in (upper, middle, lower):
        assert (band[19:] == 0.1).all()


def test_bollinger_keeps_the_deviation_of_a_large_mean():
    # Closes of 1e9 and 1e9 + 1e-3 in turn: the population deviation is half the step. A mean of
    # squares less the square of the mean would have nothing of it left.
    close = 1e9 + 1e-3 * (np.arange(200) % 2)
    step = (1e9 + 1e-3) - 1e9
    upper, _, lower = run(Bollinger(20, 2), {"close": close})
    np.testing.assert_allclose((upper - lower)[19:], 4 * step / 2, rtol=1e-3)


def test_sma_after_a_million_bars_is_exact_to_rounding():
    rng = np.random.default_rng(1)
    close = 20_000 * np.exp(np.cumsum(rng.normal(scale=1e-3, size=1_000_000)))
    close[500_000] = 1e18  # a running sum would carry its rounding to the end
    out = run(Sma(50), {"close": close})[0]
    for i in (49, 1_000, 499_999, 500_010, 500_050, 750_003, 999_980, *range(999_990, 1_000_000)):
        exact = math.fsum(close[i - 49 : i + 1]) / 50
        assert abs(out[i] - exact) <= 1e-14 * exact


def test_vwap_after_a_million_bars_is_exact_to_rounding():
    bars = random_walk(1_000_000)
    out = run(RollingVwap(20), bars)[0]
    for i in (19, 20, 39, 500_000, *range(999_980, 1_000_000)):
        last = slice(i - 19, i + 1)
        exact = math.fsum(bars["quote_volume"][last]) / math.fsum(bars["volume"][last])
        assert abs(out[i] - exact) <= 1e-13 * exact


def small_bars(**changes):
    bars = {
        "high": np.array([12.0, 22.0, 32.0, 42.0]),
        "low": np.array([8.0, 18.0, 28.0, 38.0]),
        "close": np.array([10.0, 20.0, 30.0, 40.0]),
        "volume": np.array([1.0, 3.0, 2.0, 0.0]),
        "quote_volume": np.array([11.0, 60.0, 60.0, 0.0]),
        "open_time_us": np.array([0.0, 60e6, 86_400e6 - 60e6, 86_400e6]),
    }
    return bars | changes


def test_rolling_vwap_by_hand():
    out = run(RollingVwap(2), small_bars())[0]
    # 71/4, 120/5, 60/2
    np.testing.assert_array_equal(out, [np.nan, 17.75, 24.0, 30.0])


def test_rolling_vwap_takes_the_typical_price_where_the_quote_volume_is_missing():
    bars = small_bars(quote_volume=np.array([np.nan, 60.0, 60.0, 0.0]))
    # typical price of the first bar is 10, so it traded 10: 70/4
    assert run(RollingVwap(2), bars)[0, 1] == 17.5


def test_rolling_vwap_without_volume_is_nan_until_there_is_some():
    out = run(RollingVwap(2), small_bars(volume=np.array([0.0, 0.0, 2.0, 0.0])))[0]
    np.testing.assert_array_equal(np.isnan(out), [True, True, False, False])


def test_session_vwap_starts_again_at_midnight_utc():
    bars = small_bars(volume=np.array([1.0, 3.0, 2.0, 4.0]))
    bars["quote_volume"][3] = 164.0
    out = run(SessionVwap(), bars)[0]
    # 11/1, 71/4, 131/6, then a new day: 164/4
    np.testing.assert_array_equal(out, [11.0, 17.75, 131.0 / 6.0, 41.0])


def test_session_vwap_is_nan_until_the_day_has_volume():
    out = run(SessionVwap(), small_bars())[0]
    assert np.isnan(out[3])


def test_registry_names_the_columns_of_the_table():
    assert columns() == (
        "sma_20", "sma_50", "ema_12", "ema_26", "rsi_14",
        "macd_12_26_9", "macd_signal_12_26_9", "macd_hist_12_26_9",
        "bollinger_upper_20_2", "bollinger_middle_20_2", "bollinger_lower_20_2",
        "atr_14", "vwap_20", "vwap_session",
    )  # fmt: skip


def test_registry_finds_an_indicator_and_lists_them_when_there_is_none():
    assert indicator("ema_12") == Ema(12)
    with pytest.raises(KeyError, match=r"no indicator 'ema_13'; there are sma_20, .*vwap_session"):
        indicator("ema_13")


def test_reference_page_has_a_section_for_each_indicator():
    page = reference_page()
    for kernel in DEFAULT:
        section = page.split(f"## {kernel.name}\n")[1].split("\n## ")[0]
        for column in kernel.outputs:
            assert f"`{column}`" in section
        assert "Warm-up" in section or "No warm-up" in section


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sma(0), "sma_0 needs window of at least 1, not 0"),
        (lambda: Macd(26, 12, 9), "needs fast below slow, not 26 and 12"),
        (lambda: Bollinger(20, 0), "needs deviations above 0"),
    ],
)
def test_parameters_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
