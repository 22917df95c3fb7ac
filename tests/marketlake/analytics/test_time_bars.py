"""Bars from trades and from finer bars, against DuckDB and by hand."""

from __future__ import annotations

from dataclasses import astuple, fields
from itertools import pairwise

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketlake.analytics.bars import ClosedBars, RollupBars, TimeBars, vwap
from marketlake.analytics.kernel import (
    initial_states,
    states_from_bytes,
    states_to_bytes,
)

MINUTE_US = 60_000_000
T0 = 1_678_492_800_000_000  # 2023-03-11 00:00 UTC
BARS = TimeBars(MINUTE_US)


def trades(seed, rows, series=3, span_us=40 * MINUTE_US):
    """Trades in order of time, some on the very border of an interval."""
    rng = np.random.default_rng(seed)
    time_us = np.sort(T0 + rng.integers(0, span_us, rows))
    on_border = rng.random(rows) < 0.1
    time_us[on_border] -= time_us[on_border] % MINUTE_US
    time_us.sort()
    price = np.round(100 + np.cumsum(rng.normal(size=rows)), 2)
    return rng.integers(0, series, rows), time_us, price, np.round(rng.random(rows), 3)


def joined(*parts):
    return ClosedBars(
        *(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(ClosedBars))
    )


def as_rows(bars):
    return sorted(zip(*(column.tolist() for column in astuple(bars)), strict=True))


def by_duckdb(series, time_us, price, quantity):
    row = np.arange(len(series))
    return duckdb.sql(
        f"""
        select series, time_us // {MINUTE_US} * {MINUTE_US} as open_time_us,
            arg_min(price, row), max(price), min(price), arg_max(price, row),
            sum(quantity), sum(price * quantity), count(*)
        from (select unnest($series) as series, unnest($time_us) as time_us,
            unnest($price) as price, unnest($quantity) as quantity, unnest($row) as row)
        group by all order by series, open_time_us
        """,
        params={
            "series": series.tolist(), "time_us": time_us.tolist(), "price": price.tolist(),
            "quantity": quantity.tolist(), "row": row.tolist(),
        },
    ).fetchall()  # fmt: skip


def test_bars_of_trades_agree_with_duckdb():
    given_trades = trades(1, 5_000)
    states = initial_states(BARS.initial(), 3)
    bars = joined(BARS.step(states, *given_trades), BARS.advance(states, T0 + 41 * MINUTE_US))
    expected = by_duckdb(*given_trades)
    ours = as_rows(bars)
    assert len(ours) == len(expected) > 100
    np.testing.assert_allclose(np.array(ours), np.array(expected, dtype=float), rtol=1e-13)
    exact = [0, 1, 2, 3, 4, 5, 8]
    np.testing.assert_array_equal(
        np.array(ours)[:, exact], np.array(expected, dtype=float)[:, exact]
    )
    assert (states[:, 0] == -1).all()


def test_a_bar_by_hand():
    states = initial_states(BARS.initial(), 1)
    time_us = np.array([0, 30, 59, 60]) * 1_000_000 + T0
    closed = BARS.step(
        states,
        np.zeros(4, dtype=int),
        time_us,
        np.array([10.0, 12, 9, 11]),
        np.array([1.0, 2, 1, 5]),
    )
    assert as_rows(closed) == [(0, T0, 10.0, 12.0, 9.0, 9.0, 4.0, 43.0, 3.0)]
    assert vwap(closed.quote_volume, closed.volume).tolist() == [10.75]


def test_advance_closes_what_ends_at_the_watermark_in_order_of_time_then_series():
    states = initial_states(BARS.initial(), 4)
    time_us = T0 + MINUTE_US * np.array([1, 0, 1, 2])
    closed = BARS.step(states, np.array([2, 1, 0, 3]), time_us, np.ones(4), np.ones(4))
    assert len(closed) == 0
    assert len(BARS.advance(states, T0 + MINUTE_US - 1)) == 0
    assert BARS.advance(states, T0 + MINUTE_US).series.tolist() == [1]
    assert BARS.advance(states, T0 + 10 * MINUTE_US).series.tolist() == [0, 2, 3]
    assert len(BARS.advance(states, T0 + 99 * MINUTE_US)) == 0


def test_a_quiet_interval_has_no_bar():
    states = initial_states(BARS.initial(), 1)
    time_us = T0 + MINUTE_US * np.array([0, 5])
    closed = BARS.step(states, np.array([0, 0]), time_us, np.ones(2), np.ones(2))
    assert closed.open_time_us.tolist() == [T0]
    assert BARS.advance(states, T0 + 6 * MINUTE_US).open_time_us.tolist() == [T0 + 5 * MINUTE_US]


def test_late_trades_are_marked_and_refused_and_no_bar_comes_twice():
    states = initial_states(BARS.initial(), 2)
    BARS.step(states, np.array([0]), np.array([T0]), np.ones(1), np.ones(1))
    BARS.advance(states, T0 + MINUTE_US)
    before = states.copy()
    series = np.array([0, 1, 0, 0, 1])
    time_us = T0 + np.array([0, 0, 2 * MINUTE_US, MINUTE_US, 30])
    late = BARS.late(states, series, time_us)
    # The first bar of series 0 is closed; then row 2 takes it on to minute 2, so row 3 is late.
    assert late.tolist() == [True, False, False, True, False]
    with pytest.raises(ValueError, match=r"2 of 5 rows .* first row 0 \(series 0"):
        BARS.step(states, series, time_us, np.ones(5), np.ones(5))
    assert states.tobytes() == before.tobytes()
    keep = ~late
    BARS.step(states, series[keep], time_us[keep], np.ones(3), np.ones(3))


def test_a_trade_before_the_open_bar_is_late_in_the_next_call_too():
    states = initial_states(BARS.initial(), 1)
    one = np.ones(1)
    BARS.step(states, np.array([0]), np.array([T0 + 2 * MINUTE_US]), one, one)
    time_us = T0 + MINUTE_US * np.array([1, 2])
    assert BARS.late(states, np.array([0, 0]), time_us).tolist() == [True, False]
    with pytest.raises(ValueError, match="bars that are closed"):
        BARS.step(states, np.array([0]), time_us[:1], one, one)


@pytest.mark.parametrize(
    ("time_us", "price", "message"),
    [
        (-1, 1.0, "from 0 to"),
        (T0 * 1000, 1.0, "in another unit"),
        (T0, np.nan, "finite price and quantity"),
    ],
)
def test_trades_that_make_no_bar_are_refused(time_us, price, message):
    states = initial_states(BARS.initial(), 1)
    with pytest.raises(ValueError, match=message):
        BARS.step(states, np.array([0]), np.array([time_us]), np.array([price]), np.ones(1))
    assert states.tobytes() == BARS.initial().tobytes()


def test_the_last_microsecond_belongs_to_its_bar_whatever_the_interval():
    for interval in (1_000_000, 60_000_000, 7_777_777, 3_600_000_000, 86_400_000_000):
        bars = TimeBars(interval)
        starts = np.arange(T0 // interval, T0 // interval + 500) * interval
        time_us = np.stack([starts, starts + interval - 1], axis=1).ravel()
        n = len(time_us)
        states = initial_states(bars.initial(), 1)
        closed = bars.step(states, np.zeros(n, dtype=int), time_us, np.ones(n), np.ones(n))
        assert closed.open_time_us.tolist() == starts[:-1].tolist()
        assert (closed.trade_count == 2).all()


def test_rolled_up_bars_are_the_bars_of_the_trades():
    series, time_us, price, quantity = trades(2, 4_000)
    quantity = np.round(quantity * 8) / 8 + 0.125  # sums of eighths and cents times 100 are exact
    price = np.round(price)
    end = T0 + 100 * MINUTE_US
    fine, coarse, rolled = (initial_states(BARS.initial(), 3) for _ in range(3))
    minutes = joined(BARS.step(fine, series, time_us, price, quantity), BARS.advance(fine, end))
    five = TimeBars(5 * MINUTE_US)
    direct = joined(five.step(coarse, series, time_us, price, quantity), five.advance(coarse, end))
    rollup = RollupBars(5 * MINUTE_US)
    columns = astuple(minutes)
    order = np.lexsort((minutes.series, minutes.open_time_us))
    up = joined(rollup.step(rolled, *(c[order] for c in columns)), rollup.advance(rolled, end))
    assert as_rows(up) == as_rows(direct)
    assert len(up) == 3 * 8


def test_what_a_finer_bar_does_not_tell_is_unknown_in_the_rolled_up_one():
    rollup = RollupBars(2 * MINUTE_US)
    states = initial_states(rollup.initial(), 1)
    one, two = np.ones(2), np.full(2, 2.0)
    unknown = np.array([np.nan, 3.0])
    time_us = T0 + np.array([0, MINUTE_US])
    rollup.step(states, np.zeros(2, dtype=int), time_us, one, two, one, two, two, unknown, unknown)
    bar = rollup.advance(states, T0 + 2 * MINUTE_US)
    assert bar.volume.tolist() == [4.0]
    assert np.isnan(bar.quote_volume).all()
    assert np.isnan(bar.trade_count).all()


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(0, 120),
    inner=st.lists(st.integers(0, 120), max_size=8),
)
def test_any_cut_gives_the_same_bars(seed, rows, inner):
    columns = trades(seed, rows, span_us=6 * MINUTE_US)
    whole = initial_states(BARS.initial(), 3)
    expected = BARS.step(whole, *columns)
    states = initial_states(BARS.initial(), 3)
    bounds = [0, *sorted(min(i, rows) for i in inner), rows]
    parts = []
    for start, end in pairwise(bounds):
        states = states_from_bytes(states_to_bytes(states), BARS.width)
        parts.append(BARS.step(states, *(c[start:end] for c in columns)))
    assert [c.tobytes() for c in astuple(joined(*parts))] == [
        c.tobytes() for c in astuple(expected)
    ]
    assert states.tobytes() == whole.tobytes()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), steps=st.lists(st.integers(0, 100), max_size=8))
def test_advancing_with_the_trades_changes_no_bar(seed, steps):
    """Closing bars by the watermark, between chunks, gives the set that the trades alone give."""
    columns = trades(seed, 100, span_us=8 * MINUTE_US)
    end = T0 + 9 * MINUTE_US
    whole = initial_states(BARS.initial(), 3)
    expected = joined(BARS.step(whole, *columns), BARS.advance(whole, end))
    states = initial_states(BARS.initial(), 3)
    parts, bounds = [], [0, *sorted(steps), 100]
    for start, stop in pairwise(bounds):
        parts.append(BARS.step(states, *(c[start:stop] for c in columns)))
        next_us = columns[1][stop] if stop < 100 else end
        parts.append(BARS.advance(states, int(next_us)))
    assert as_rows(joined(*parts)) == as_rows(expected)
    assert states.tobytes() == whole.tobytes()


def test_vwap_without_volume_or_quote_volume_is_nan():
    given_quote = np.array([0.0, 10.0, np.nan, 5.0])
    out = vwap(given_quote, np.array([0.0, 4.0, 1.0, np.nan]))
    np.testing.assert_array_equal(out, [np.nan, 2.5, np.nan, np.nan])
