"""Indicators by hand, at their edges, and after very many bars; their registry."""

from __future__ import annotations

import math

import numpy as np
import pytest

from marketlake.analytics.indicators.adaptive import Hma, Kama
from marketlake.analytics.indicators.averages import Ema, Sma
from marketlake.analytics.indicators.bands import Bollinger
from marketlake.analytics.indicators.bank import IndicatorBank
from marketlake.analytics.indicators.convergence import Macd, Ppo
from marketlake.analytics.indicators.directional import Adx
from marketlake.analytics.indicators.estimators import YangZhang
from marketlake.analytics.indicators.ichimoku import Ichimoku
from marketlake.analytics.indicators.momentum import UltimateOscillator
from marketlake.analytics.indicators.registry import (
    DEFAULT,
    KINDS,
    columns,
    indicator,
    kernels_of,
    parse,
    reference_page,
)
from marketlake.analytics.indicators.strength import Rsi
from marketlake.analytics.indicators.trend import Psar
from marketlake.analytics.indicators.vwap import RollingVwap, SessionVwap
from marketlake.analytics.kernel import Kernel, fold, initial_states

from .bar_samples import random_walk


def run(kernel: Kernel, bars):
    return fold(kernel, kernel.initial(), *(bars[name] for name in kernel.inputs))[1]


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


def test_the_first_columns_are_those_that_states_on_disk_begin_with():
    assert columns()[:14] == (
        "sma_20", "sma_50", "ema_12", "ema_26", "rsi_14",
        "macd_12_26_9", "macd_signal_12_26_9", "macd_hist_12_26_9",
        "bollinger_upper_20_2", "bollinger_middle_20_2", "bollinger_lower_20_2",
        "atr_14", "vwap_20", "vwap_session",
    )  # fmt: skip
    assert sum(kernel.width for kernel in DEFAULT[:10]) == 23 + 53 + 2 + 2 + 4 + 4 + 44 + 3 + 44 + 3


def test_there_are_at_least_sixty_columns_and_every_kind_is_among_them():
    assert len(set(columns())) == len(columns()) >= 60
    assert {type(kernel) for kernel in DEFAULT} == set(KINDS)


def test_registry_finds_an_indicator_and_lists_them_when_there_is_none():
    assert indicator("ema_12") == Ema(12)
    with pytest.raises(KeyError, match=r"no indicator 'ema_13'; there are sma_20, .*vwap_session"):
        indicator("ema_13")


@pytest.mark.parametrize("kernel", DEFAULT, ids=lambda kernel: kernel.name)
def test_a_name_gives_its_indicator_back(kernel):
    assert parse(kernel.name) == kernel


def test_names_in_settings_may_have_other_parameters():
    assert kernels_of(["sma_7", "bollinger_20_1p5", "vwap_session", "vwap_5"]) == (
        Sma(7), Bollinger(20, 1.5), SessionVwap(), RollingVwap(5),
    )  # fmt: skip
    assert kernels_of(None) == DEFAULT


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["sma_20", "smma_20"],
            r"^no indicator 'smma_20'; known are sma_WINDOW, .*, ulcer_WINDOW$",
        ),
        (["macd_12"], "^indicator 'macd_12' is not of the form macd_FAST_SLOW_SIGNAL"),
        (["sma"], "^indicator 'sma' is not of the form sma_WINDOW"),
        (["sma_2.5"], "^indicator 'sma_2.5' is not of the form sma_WINDOW"),
        (["sma_-1"], "needs window of at least 1, not -1"),
        (["bollinger_20_nan"], "needs deviations above 0, not nan"),
        (["bollinger_20_2.0"], "^indicator 'bollinger_20_2.0' is written 'bollinger_20_2'$"),
        (["ema_5", "ema_5"], "^indicators named more than once: ema_5$"),
    ],
)
def test_a_setting_that_names_no_indicator_is_refused_in_one_line(names, message):
    with pytest.raises(ValueError, match=message) as refusal:
        kernels_of(names)
    assert "\n" not in str(refusal.value)


OWN = '''
"""An indicator of a user."""
import math
from dataclasses import dataclass
from typing import ClassVar
from numba import njit
from marketlake.analytics.indicators.base import RowKernel

@njit
def _highest(states, word, series, starts, close, out, row):
    for run in range(series.size):
        k = series[run]
        for i in range(starts[run], starts[run + 1]):
            x = close[i]
            if math.isfinite(x):
                states[k, word] = max(states[k, word], x)
            out[row, i] = states[k, word] if math.isfinite(x) else math.nan

@dataclass(frozen=True, slots=True)
class Highest(RowKernel):
    """Highest close so far."""
    base: ClassVar = "highest"
    inputs: ClassVar = ("close",)
    loop: ClassVar = staticmethod(_highest)
    width: ClassVar = 1
    warm_up: ClassVar = 0

HIGHEST = Highest()
'''


def test_an_indicator_of_a_users_own_is_named_by_its_module(tmp_path, monkeypatch):
    (tmp_path / "my_indicators.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    kernels = kernels_of(["sma_2", "my_indicators:HIGHEST"])
    bank = IndicatorBank(kernels)
    assert bank.columns == ("sma_2", "highest")
    states = initial_states(bank.initial(), 1)
    out = bank.step(states, np.zeros(3, np.int64), {"close": np.array([1.0, 3.0, 2.0])})
    np.testing.assert_array_equal(out, [[np.nan, 2.0, 2.5], [1.0, 3.0, 3.0]])
    assert "Highest close so far." in reference_page(kernels)
    for name, message in (
        ("no_such_module:X", "^no indicator 'no_such_module:X': No module named"),
        ("my_indicators:X", "has no attribute 'X'"),
        ("my_indicators:Highest", "is no instance of a RowKernel"),
    ):
        with pytest.raises(ValueError, match=message):
            kernels_of([name])


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
        (lambda: Ppo(5, 5, 1), "needs fast below slow, not 5 and 5"),
        (lambda: Bollinger(20, 0), "needs deviations above 0"),
        (lambda: Psar(0.02, math.inf), "needs maximum above 0, not inf"),
        (lambda: Ichimoku(9, 52, 26), "in ascending order"),
        (lambda: UltimateOscillator(14, 7, 28), "in ascending order"),
        (lambda: YangZhang(1), "needs window of at least 2, not 1"),
        (lambda: Hma(1), "needs window of at least 2, not 1"),
        (lambda: Kama(1), "needs window of at least 2, not 1"),
        (lambda: Adx(1), "needs period of at least 2, not 1"),
    ],
)
def test_parameters_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
