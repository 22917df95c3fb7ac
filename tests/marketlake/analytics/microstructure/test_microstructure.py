"""Quotes and trades by hand, against plain loops, and as folds."""

from __future__ import annotations

import math
from dataclasses import fields
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketlake.analytics.indicators.base import RowKernel
from marketlake.analytics.kernel import (
    fold,
    initial_states,
    states_from_bytes,
    states_to_bytes,
)
from marketlake.analytics.microstructure import quotes, toxicity, trades
from marketlake.analytics.microstructure.quotes import TopOfBook
from marketlake.analytics.microstructure.registry import (
    KINDS,
    QUOTES,
    TRADES,
    TRADES_AND_QUOTES,
)
from marketlake.analytics.microstructure.samples import WindowMeans
from marketlake.analytics.microstructure.toxicity import Vpin
from marketlake.analytics.microstructure.trades import EffectiveSpread, KyleLambda, TradeRun

SHORT = {kind(*range(first, first + len(fields(kind)))) for kind in KINDS for first in (1, 2, 5)}
REGISTERED = (*QUOTES, *TRADES, *TRADES_AND_QUOTES)
KERNELS = [*REGISTERED, *sorted(SHORT - set(REGISTERED), key=lambda kernel: kernel.name)]
SERIES = 4
each_kernel = pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)


def rows_with_holes(seed, rows):
    """Quotes and trades on one grid of prices, so that many are equal; some are not finite."""
    rng = np.random.default_rng(seed)
    bid = 100.0 + 0.01 * np.cumsum(rng.integers(-1, 2, rows))
    columns = {
        "bid_price": bid,
        "bid_quantity": rng.integers(0, 5, rows) * 0.5,
        "ask_price": bid + 0.01 * rng.integers(-1, 3, rows),
        "ask_quantity": rng.integers(0, 5, rows) * 0.5,
        "price": bid + 0.01 * rng.integers(0, 2, rows),
        "quantity": rng.exponential(size=rows),
        "side": rng.choice([1.0, -1.0, 0.0, np.nan], rows),
        "mid": bid + 0.005,
    }
    for name, column in columns.items():
        if name != "side":
            column[rng.random(rows) < 0.03] = np.nan
            column[rng.random(rows) < 0.01] = np.inf
            column[rng.random(rows) < 0.01] = 0.0
    return rng.integers(0, SERIES, rows), columns


def run(kernel, columns):
    return fold(kernel, kernel.initial(), *(columns[name] for name in kernel.inputs))[1]


@each_kernel
@settings(max_examples=15, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), rows=st.integers(0, 300))
def test_any_cut_gives_the_same_bits(kernel, data, seed, rows):
    series, named = rows_with_holes(seed, rows)
    columns = [named[name] for name in kernel.inputs]
    whole = initial_states(kernel.initial(), SERIES)
    expected = kernel.step(whole, series, *columns)
    states, parts = initial_states(kernel.initial(), SERIES), []
    inner = data.draw(st.lists(st.integers(0, rows), max_size=12))
    for start, end in pairwise([0, *sorted(inner), rows]):
        states = states_from_bytes(states_to_bytes(states), kernel.width)
        parts.append(kernel.step(states, series[start:end], *(c[start:end] for c in columns)))
    assert np.concatenate(parts, axis=1).tobytes() == expected.tobytes()
    assert states.tobytes() == whole.tobytes()


@each_kernel
def test_series_do_not_touch_each_other_and_rows_may_come_singly(kernel):
    series, named = rows_with_holes(7, 400)
    columns = [named[name] for name in kernel.inputs]
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


@each_kernel
def test_a_row_without_its_inputs_leaves_the_state_and_gives_nan(kernel):
    _, named = rows_with_holes(3, 200)
    state, _ = fold(kernel, kernel.initial(), *(named[name] for name in kernel.inputs))
    for bad in (np.nan, np.inf, -1.0):
        after, out = fold(kernel, state, *(np.array([bad]) for _ in kernel.inputs))
        assert np.isnan(out).all()
        assert after.tobytes() == state.tobytes()


@each_kernel
def test_parameters_below_their_least_are_refused(kernel):
    parameters = kernel.arguments
    for i in range(len(parameters)):
        with pytest.raises(ValueError, match=f"^{kernel.base}_.* needs "):
            type(kernel)(*(0 if j == i else p for j, p in enumerate(parameters)))


def test_a_quote_by_hand():
    columns = {
        "bid_price": np.array([99.0, 99.0, 100.0, 99.5, 101.0]),
        "bid_quantity": np.array([3.0, 5.0, 2.0, 1.0, 1.0]),
        "ask_price": np.array([101.0, 101.0, 101.0, 101.0, 100.5]),
        "ask_quantity": np.array([1.0, 1.0, 4.0, 4.0, 1.0]),
    }
    spread, imbalance, micro, flow = run(TopOfBook(1), columns)
    np.testing.assert_allclose(spread[:2], 200.0)
    np.testing.assert_allclose(imbalance[:4], [0.5, 4 / 6, -2 / 6, -3 / 5])
    # 99 * 1 + 101 * 3 over 4: the side with more to buy is nearer to its price.
    np.testing.assert_allclose(micro[0], 100.5)
    # bid 3 to 5 at one price: +2; a better bid: +2, ask 1 to 4: -3; a worse bid: -2, ask the same.
    np.testing.assert_array_equal(flow[:4], [np.nan, 2.0, 2.0 - 3.0, -2.0])
    assert np.isnan([spread[4], imbalance[4], micro[4], flow[4]]).all()  # crossed


def trade_signs(columns):
    """Signs in plain Python: the venue's side, or the tick test of Lee and Ready."""
    signs, last, sign = [], None, 0.0
    for price, quantity, side in zip(
        columns["price"], columns["quantity"], columns["side"], strict=True
    ):
        if not (0 < price < math.inf and 0 < quantity < math.inf):
            signs.append(math.nan)
            continue
        if side in (1.0, -1.0):
            sign = side
        elif last is not None and price != last:
            sign = 1.0 if price > last else -1.0
        last = price
        signs.append(sign)
    return np.array(signs)


def test_signs_and_runs_agree_with_a_plain_loop():
    _, columns = rows_with_holes(11, 1_000)
    sign, length = run(TradeRun(), columns)
    expected = trade_signs(columns)
    np.testing.assert_array_equal(sign, expected)
    there = ~np.isnan(expected)
    count, before = 0, None
    for own, found in zip(expected[there], length[there], strict=True):
        count = count + 1 if own == before else 1
        before = own
        assert found == count * own
    assert length[~there].size
    assert np.isnan(length[~there]).all()


@pytest.mark.parametrize("window", [1, 7, 100])
def test_kyle_lambda_is_the_slope_of_least_squares(window):
    _, columns = rows_with_holes(12, 800)
    out = run(KyleLambda(window), columns)[0]
    signs = trade_signs(columns)
    there = np.flatnonzero(~np.isnan(signs))
    price, signed = columns["price"][there], (signs * columns["quantity"])[there]
    returns = 1e4 * np.diff(np.log(price))
    for n in range(len(there)):
        if n < window:
            assert np.isnan(out[there[n]])
            continue
        x, y = signed[1:][n - window : n], returns[n - window : n]
        if not x.any():
            assert np.isnan(out[there[n]])
            continue
        slope = np.linalg.lstsq(x[:, None], y, rcond=None)[0][0]
        np.testing.assert_allclose(out[there[n]], slope, rtol=1e-9, atol=1e-9)


def test_effective_spread_by_hand():
    columns = {
        "price": np.array([100.1, 99.9, 100.05, 100.0, 100.2]),
        "quantity": np.array([1.0, 1.0, 2.0, 1.0, 1.0]),
        "side": np.array([1.0, np.nan, -1.0, np.nan, np.nan]),
        "mid": np.array([100.0, 100.0, 100.0, 100.0, np.nan]),
    }
    each, mean = run(EffectiveSpread(2), columns)
    # 2 * 0.1 of 100 is 20 bps; a seller's trade above the middle had it better than the middle; one
    # in the middle pays nothing.
    np.testing.assert_allclose(each, [20.0, 20.0, -10.0, 0.0, np.nan], atol=1e-9)
    np.testing.assert_allclose(mean, [np.nan, 20.0, 0.0, -20.0 / 3.0, np.nan], atol=1e-9)


def test_every_kernel_of_the_package_is_registered():
    package = [quotes, trades, toxicity]
    there = {
        found
        for module in package
        for found in vars(module).values()
        if isinstance(found, type) and issubclass(found, RowKernel) and found is not RowKernel
    }
    assert there == set(KINDS) == {type(kernel) for kernel in REGISTERED}


@pytest.mark.parametrize(("trades", "buckets"), [(1, 1), (2, 4), (3, 5), (10, 2)])
def test_vpin_agrees_with_buckets_filled_one_by_one(trades, buckets):
    # Exact fractions: whether a trade fills a bucket to the brim does not hang on rounding.
    rng = np.random.default_rng(13)
    _, columns = rows_with_holes(13, 600)
    columns["quantity"] = np.where(
        np.isfinite(columns["quantity"]), rng.integers(0, 40, 600) / 8.0, np.nan
    )
    columns["quantity"][500] = 1e4  # one trade that fills many
    out = run(Vpin(trades, buckets), columns)[0]
    signs = trade_signs(columns)
    span, taken, average = trades * buckets, [], Fraction(0)
    closed, filled, tilt, size = [], Fraction(0), Fraction(0), None
    for i, sign in enumerate(signs):
        if np.isnan(sign):
            assert np.isnan(out[i])
            continue
        left = Fraction(columns["quantity"][i])
        left = left if size is None else min(left, (buckets + 1) * size)
        taken.append(left)
        if len(taken) <= span:
            average = sum(taken) / len(taken)
        else:
            average += (left - average) / span
            average = average.limit_denominator(10**15)
        if len(taken) >= trades:
            size = trades * average if size is None else size
            while filled + left >= size:
                part = size - filled
                closed.append((abs(tilt + int(sign) * part), size))
                left, filled, tilt, size = left - part, Fraction(0), Fraction(0), trades * average
            filled, tilt = filled + left, tilt + int(sign) * left
        if len(closed) < buckets:
            assert np.isnan(out[i])
        else:
            last = closed[-buckets:]
            expected = sum(one for one, _ in last) / sum(volume for _, volume in last)
            np.testing.assert_allclose(out[i], float(expected), atol=1e-9)
    assert len(closed) > 2 * buckets


def test_vpin_is_0_to_1_and_1_where_all_buy_whatever_the_unit():
    _, columns = rows_with_holes(14, 500)
    out = run(Vpin(2, 5), columns)[0]
    known = out[np.isfinite(out)]
    assert known.size > 100
    assert ((known >= 0) & (known <= 1)).all()
    # A power of two changes no rounding: VPIN does not hang on the unit of quantity.
    scaled = run(Vpin(2, 5), {**columns, "quantity": columns["quantity"] * 2.0**40})[0]
    np.testing.assert_array_equal(scaled, out)
    columns["side"] = np.ones(500)
    all_buy = run(Vpin(2, 5), columns)[0]
    np.testing.assert_allclose(all_buy[np.isfinite(all_buy)], 1.0)


@pytest.mark.parametrize("quantity", [1e308, 1e155, 1e99, 1e9, 5e-324])
@pytest.mark.parametrize("kernel", [TradeRun(), KyleLambda(5), Vpin(2, 5)], ids=lambda k: k.name)
def test_a_quantity_at_the_end_of_what_a_double_can_hold_leaves_no_trace(kernel, quantity):
    _, columns = rows_with_holes(15, 900)
    columns["quantity"][100] = quantity
    late = run(kernel, columns)[:, 800:]
    assert np.isfinite(late).mean() > 0.8
    if kernel.base == "vpin":
        assert np.unique(late[np.isfinite(late)]).size > 20


def test_means_of_a_minute_close_with_the_next_row_or_the_watermark():
    fold_ = WindowMeans(60_000_000, 2)
    states = initial_states(fold_.initial(), 2)
    minute = 60_000_000
    series, times = np.array([0, 1, 0, 0]), np.array([0, 10, minute - 1, minute])
    values = np.array([[1.0, 5.0, 3.0, 7.0], [np.nan, np.nan, 4.0, 8.0]])
    first = fold_.step(states, series, times, values)
    np.testing.assert_array_equal(first.series, [0])
    np.testing.assert_array_equal(first.open_time_us, [0])
    np.testing.assert_array_equal(first.mean, [[2.0], [4.0]])
    np.testing.assert_array_equal(first.count, [[2.0], [1.0]])
    np.testing.assert_array_equal(first.total, [[4.0], [4.0]])
    rest = fold_.advance(states, minute)
    np.testing.assert_array_equal(rest.series, [1])
    np.testing.assert_array_equal(rest.mean, [[5.0], [np.nan]])
    assert fold_.advance(states, minute).series.size == 0
    last = fold_.advance(states, 2 * minute)
    np.testing.assert_array_equal(last.mean, [[7.0], [8.0]])


@settings(max_examples=30, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), rows=st.integers(0, 200))
def test_means_of_a_minute_do_not_hang_on_how_rows_are_cut(data, seed, rows):
    rng = np.random.default_rng(seed)
    fold_ = WindowMeans(60_000_000, 3)
    series = rng.integers(0, SERIES, rows)
    times = np.sort(rng.integers(0, 600_000_000, rows))
    values = rng.normal(size=(3, rows))
    values[rng.random((3, rows)) < 0.2] = np.nan
    whole = initial_states(fold_.initial(), SERIES)
    expected = fold_.step(whole, series, times, values)
    states, parts = initial_states(fold_.initial(), SERIES), []
    inner = data.draw(st.lists(st.integers(0, rows), max_size=8))
    for start, end in pairwise([0, *sorted(inner), rows]):
        states = states_from_bytes(states_to_bytes(states), states.shape[1])
        part = np.ascontiguousarray(values[:, start:end])
        parts.append(fold_.step(states, series[start:end], times[start:end], part))
    assert states.tobytes() == whole.tobytes()
    for field in ("series", "open_time_us"):
        joined = np.concatenate([getattr(part, field) for part in parts])
        np.testing.assert_array_equal(joined, getattr(expected, field))
    joined = np.concatenate([part.mean for part in parts], axis=1)
    assert joined.tobytes() == expected.mean.tobytes()
