"""Every kernel of the registry is a fold: how its rows are cut into calls shows nowhere."""

from __future__ import annotations

from dataclasses import fields
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
from marketlake.analytics.indicators.registry import DEFAULT, KINDS
from marketlake.analytics.kernel import (
    fold,
    initial_states,
    states_from_bytes,
    states_to_bytes,
)
from marketlake.settings.model import AnomalySettings


def short(kind, values):
    """An indicator of a kind with ascending windows, as small as it allows from a value on.

    Short windows, so that a block of a ring ends, and a warm-up too, many times in few rows.
    """
    for first in values:
        parameters = range(first, first + 2 * len(fields(kind)), 2)
        try:
            return kind(*parameters)
        except ValueError:
            continue
    return kind(*reversed(range(2, 2 + len(fields(kind)))))


SHORT = {short(kind, values) for kind in KINDS for values in ((1, 2, 3), (4, 5))}
SHORT_DETECTORS = (
    RollingZScore(5, 2), RollingZScore(60, 30), ExponentialZScore(1, 2), ExponentialZScore(4, 7),
    RobustZScore(3, 3), RobustZScore(4, 3), RobustZScore(9, 5), SeasonalZScore(1, 2),
    SeasonalZScore(288, 5, 3.0, 20, 1),
)  # fmt: skip
KERNELS = [
    *DEFAULT,
    *sorted(SHORT - set(DEFAULT), key=lambda kernel: kernel.name),
    *SHORT_DETECTORS,
    *(make(AnomalySettings()) for make in DETECTORS.values()),
]
SERIES = 4


def bars_with_holes(seed, rows):
    """Bars of several series, mixed, over three days; some inputs NaN, some volumes 0."""
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(scale=1e-3, size=rows)))
    close[rng.random(rows) < 0.1] = 100.0  # equal values: ties, changes of 0
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


def test_every_kind_of_the_registry_is_among_the_kernels_of_these_tests():
    for kind in KINDS:
        assert len({kernel for kernel in KERNELS if type(kernel) is kind}) >= min(
            2, 1 + len(fields(kind))
        )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(0, 150), asked=st.integers(0, 20))
def test_peek_is_a_step_on_a_copy_and_changes_nothing(seed, rows, asked):
    bank = IndicatorBank()
    series, bars = bars_with_holes(seed, rows + asked)
    states = initial_states(bank.initial(), SERIES)
    bank.step(states, series[:rows], {name: c[:rows] for name, c in bars.items()})
    before = states.tobytes()
    unfinished = {name: c[rows:] for name, c in bars.items()}
    seen = bank.peek(states, series[rows:], unfinished)
    assert states.tobytes() == before
    for i in range(asked):
        one = {name: c[i : i + 1] for name, c in unfinished.items()}
        expected = bank.step(states.copy(), series[rows + i : rows + i + 1], one)
        assert seen[:, i : i + 1].tobytes() == expected.tobytes()


def test_bars_seen_unfinished_change_nothing_of_what_the_finished_ones_give():
    bank = IndicatorBank()
    series, bars = bars_with_holes(13, 300)
    plain, watched = (initial_states(bank.initial(), SERIES) for _ in range(2))
    expected = bank.step(plain, series, bars)
    parts = []
    for i in range(0, 300, 10):
        chunk = {name: c[i : i + 10] for name, c in bars.items()}
        late = {name: c * 1.01 for name, c in chunk.items()}
        bank.peek(watched, series[i : i + 10], late)
        bank.peek(watched, series[i : i + 10], chunk)
        parts.append(bank.step(watched, series[i : i + 10], chunk))
    assert np.concatenate(parts, axis=1).tobytes() == expected.tobytes()
    assert watched.tobytes() == plain.tobytes()


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
        "open": close, "high": close + 1, "low": close - 1, "close": close, "volume": close,
        "quote_volume": close, "open_time_us": np.zeros(rows), "value": close,
    }  # fmt: skip
    _, out = fold(kernel, kernel.initial(), *(bars[name] for name in kernel.inputs))
    assert np.isnan(out[:, : kernel.warm_up]).all()
    assert np.isfinite(out[:, kernel.warm_up :]).all()


def test_a_bank_over_a_long_column_is_the_same_in_chunks():
    bank = IndicatorBank()
    series, bars = bars_with_holes(17, 20_000)
    whole, cut = (initial_states(bank.initial(), SERIES) for _ in range(2))
    expected = bank.step(whole, series, bars)
    parts = [
        bank.step(cut, series[i : i + 700], {name: c[i : i + 700] for name, c in bars.items()})
        for i in range(0, 20_000, 700)
    ]
    assert np.concatenate(parts, axis=1).tobytes() == expected.tobytes()
    assert cut.tobytes() == whole.tobytes()
