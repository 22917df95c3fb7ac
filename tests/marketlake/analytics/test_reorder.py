"""The reorder buffer against sorted()."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from marketlake.analytics.arrays import row_count
from marketlake.analytics.reorder import ReorderBuffer, in_order

ROWS = st.lists(st.tuples(st.integers(0, 12), st.integers(-3, 3)), max_size=60)


def columns(rows):
    return {
        "time_us": np.array([r[0] for r in rows], np.int64),
        "sequence": np.array([r[1] for r in rows], np.int64),
        "arrival": np.array([r[2] for r in rows], np.int64),
    }


def tuples(cols):
    if not row_count(cols):
        return []
    return list(zip(*(cols[n].tolist() for n in ("time_us", "sequence", "arrival")), strict=True))


def numbered(rows):
    return [(*row, arrival) for arrival, row in enumerate(rows)]


@settings(max_examples=100, deadline=None)
@given(rows=ROWS, order=st.sampled_from([("time_us",), ("time_us", "sequence")]))
def test_in_order_is_a_stable_sort(rows, order):
    rows = numbered(rows)
    expected = sorted(rows, key=lambda row: row[: len(order)])
    assert tuples(in_order(columns(rows), order)) == expected


@settings(max_examples=150, deadline=None)
@given(rows=ROWS, data=st.data())
def test_rows_come_out_sorted_before_the_watermark_and_never_twice(rows, data):
    rows = numbered(rows)
    buffer, held, rest, watermark = ReorderBuffer(("time_us", "sequence")), [], rows, -1
    for _ in range(6):
        size = data.draw(st.integers(0, len(rest)))
        part, rest = rest[:size], rest[size:]
        watermark = data.draw(st.integers(watermark, 14))
        out = tuples(buffer.step(columns(part), watermark))
        every = held + part
        assert out == sorted((r for r in every if r[0] < watermark), key=lambda r: r[:2])
        held = [r for r in every if r[0] >= watermark]
        assert tuples(buffer.state()) == sorted(held, key=lambda r: r[:2])
        buffer = ReorderBuffer(("time_us", "sequence"), buffer.state())


def test_ties_keep_the_order_of_arrival_across_calls():
    buffer = ReorderBuffer(("time_us", "sequence"))
    buffer.step(columns([(5, 0, 1), (9, 0, 2)]), 5)
    buffer.step(columns([(5, 0, 3), (5, -1, 4)]), 5)
    assert tuples(buffer.step({}, 6)) == [(5, -1, 4), (5, 0, 1), (5, 0, 3)]
    assert tuples(buffer.step({}, 100)) == [(9, 0, 2)]
    assert buffer.state() == {}


def test_a_row_at_the_watermark_is_held():
    buffer = ReorderBuffer(("time_us",))
    assert tuples(buffer.step(columns([(5, 0, 0)]), 5)) == []
    assert tuples(buffer.step({}, 6)) == [(5, 0, 0)]


def test_an_empty_buffer_gives_nothing():
    assert row_count(ReorderBuffer(("time_us",)).step({}, 100)) == 0
    assert row_count(ReorderBuffer(("time_us",)).step(columns([]), 100)) == 0
