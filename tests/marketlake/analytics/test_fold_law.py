"""Every kernel of the registry is a fold: how its rows are cut into calls shows nowhere."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketlake.analytics.anomalies.exponential import ExponentialZScore
from marketlake.analytics.anomalies.registry import DETECTORS
from marketlake.analytics.anomalies.robust import RobustZScore
from marketlake.analytics.anomalies.rolling_zscore import RollingZScore
from marketlake.analytics.anomalies.seasonal import SeasonalZScore
from marketlake.analytics.indicators.bank import IndicatorBank
from marketlake.analytics.indicators.momentum import Macd, Rsi
from marketlake.analytics.indicators.overlap import Bollinger, Ema, Sma
from marketlake.analytics.indicators.registry import DEFAULT
from marketlake.analytics.indicators.volatility import Atr
from marketlake.analytics.indicators.volume import RollingVwap
from marketlake.analytics.kernel import (
    fold,
    initial_states,
    states_from_bytes,
    states_to_bytes,
)
from marketlake.settings.model import AnomalySettings

# Short windows, so that a block of a ring ends, and a warm-up too, many times in few rows.
SHORT = (
    Sma(1), Sma(2), Sma(3), Ema(1), Ema(2), Rsi(1), Rsi(2), Macd(1, 2, 1), Macd(2, 5, 3),
    Bollinger(1, 2), Bollinger(3, 1.5), Atr(1), Atr(3), RollingVwap(1), RollingVwap(4),
    RollingZScore(5, 2), RollingZScore(60, 30), ExponentialZScore(1, 2), ExponentialZScore(4, 7),
    RobustZScore(3, 3), RobustZScore(4, 3), RobustZScore(9, 5), SeasonalZScore(1, 2),
    SeasonalZScore(288, 5, 3.0, 20, 1),
)  # fmt: skip
DETECTORS_OF_SETTINGS = [make(AnomalySettings()) for make in DETECTORS.values()]
KERNELS = [*DEFAULT, *SHORT, *DETECTORS_OF_SETTINGS]
SERIES = 4


def bars_with_holes(seed, rows):
    """Bars of several series, mixed, over three days; some inputs NaN, some volumes 0."""
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(scale=1e-3, size=rows)))
    open_ = close * (1 + rng.normal(scale=1e-3, size=rows))
    bars = {
        "open": open_,
        "high": np.maximum(open_, close) * (1 + rng.random(rows) * 1e-3),
        "low": np.minimum(open_, close) * (1 - rng.random(rows) * 1e-3),
        "close": close,
        "volume": np.where(rng.random(rows) < 0.1, 0.0, rng.random(rows)),
        "quote_volume": close * rng.random(rows),
        "value": rng.normal(size=rows),
    }
    for column in bars.values():
        column[rng.random(rows) < 0.03] = np.nan
        column[rng.random(rows) < 0.01] = np.inf
    step_us = 3 * 86_400_000_000 / max(rows, 1)
    bars["open_time_us"] = 1.7e15 + np.floor(np.arange(rows) * step_us)
    return rng.integers(0, SERIES, rows), bars


def cuts(draw, rows):
    inner = draw(st.lists(st.integers(0, rows), max_size=12))
    return [0, *sorted(inner), rows]


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
@settings(max_examples=12, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), rows=st.integers(0, 400))
def test_any_cut_gives_the_same_bits(kernel, data, seed, rows):
    series, bars = bars_with_holes(seed, rows)
    columns = [bars[name] for name in kernel.inputs]
    whole = initial_states(kernel.initial(), SERIES)
    expected = kernel.step(whole, series, *columns)

    states = initial_states(kernel.initial(), SERIES)
    parts = []
    bounds = cuts(data.draw, rows)
    for start, end in pairwise(bounds):
        states = states_from_bytes(states_to_bytes(states), kernel.width)
        parts.append(kernel.step(states, series[start:end], *(c[start:end] for c in columns)))
    assert np.concatenate(parts, axis=1).tobytes() == expected.tobytes()
    assert states.tobytes() == whole.tobytes()


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_series_do_not_touch_each_other_and_rows_may_come_singly(kernel):
    series, bars = bars_with_holes(7, 500)
    columns = [bars[name] for name in kernel.inputs]
    states = initial_states(kernel.initial(), SERIES)
    mixed = kernel.step(states, series, *columns)
    for number in range(SERIES):
        own = series == number
        state, out = kernel.initial(), []
        for i in np.flatnonzero(own):
            state, values = fold(kernel, state, *(c[i : i + 1] for c in columns))
            out.append(values)
        assert np.concatenate(out, axis=1).tobytes() == mixed[:, own].tobytes()
        assert state.tobytes() == states[number].tobytes()


@pytest.mark.parametrize("kernel", DEFAULT, ids=lambda kernel: kernel.name)
def test_bank_gives_what_the_kernel_gives_alone(kernel):
    series, bars = bars_with_holes(11, 600)
    bank = IndicatorBank()
    together = bank.step(initial_states(bank.initial(), SERIES), series, bars)
    alone = kernel.step(
        initial_states(kernel.initial(), SERIES), series, *(bars[n] for n in kernel.inputs)
    )
    first = bank.columns.index(kernel.outputs[0])
    assert together[first : first + len(alone)].tobytes() == alone.tobytes()


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_a_row_without_its_inputs_leaves_the_state_and_gives_nan(kernel):
    _, bars = bars_with_holes(3, 0)
    _, good = bars_with_holes(3, 200)
    clean = {name: np.nan_to_num(c, nan=1.0, posinf=1.0) for name, c in good.items()}
    state, _ = fold(kernel, kernel.initial(), *(clean[name] for name in kernel.inputs))
    after, out = fold(kernel, state, *(np.array([np.nan]) for _ in kernel.inputs))
    assert np.isnan(out).all()
    assert after.tobytes() == state.tobytes()
    after, out = fold(kernel, state, *(bars[name] for name in kernel.inputs))
    assert out.shape == (len(kernel.outputs), 0)
    assert after.tobytes() == state.tobytes()


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_warm_up_is_as_long_as_stated(kernel):
    rng = np.random.default_rng(5)
    rows = kernel.warm_up + 3
    close = 100 + rng.random(rows)
    bars = {
        "high": close + 1, "low": close - 1, "close": close, "volume": close,
        "quote_volume": close, "open_time_us": np.zeros(rows), "value": close,
    }  # fmt: skip
    _, out = fold(kernel, kernel.initial(), *(bars[name] for name in kernel.inputs))
    assert np.isnan(out[:, : kernel.warm_up]).all()
    assert np.isfinite(out[:, kernel.warm_up :]).all()
