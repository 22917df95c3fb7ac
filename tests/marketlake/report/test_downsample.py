import math
from datetime import UTC, datetime

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketlake.report.downsample import read_lines

START_MS = int(datetime(2023, 3, 10, tzinfo=UTC).timestamp() * 1000)


def lines(values: list[float], *, step_ms: int = 60_000, skip: range = range(0), **options):
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (series VARCHAR, x TIMESTAMPTZ, y DOUBLE)")
        for i, y in enumerate(values):
            if i not in skip:
                at_us = (START_MS + i * step_ms) * 1000
                connection.execute("INSERT INTO t VALUES ('a', make_timestamptz(?), ?)", [at_us, y])
        return read_lines(connection, "SELECT series, x, y FROM t", **options)


def test_a_short_series_keeps_each_point() -> None:
    values = [3.0, 1.0, 2.0, 2.0, 2.0, 9.0, 4.0]
    (line,) = lines(values, limit=8)
    assert line.name == "a"
    assert line.y == values
    assert line.x_ms == [START_MS + i * 60_000 for i in range(7)]


def test_one_spike_in_a_long_series_stays_at_its_time() -> None:
    values = [1.0] * 1_000
    values[437] = 0.874
    (line,) = lines(values, limit=40)
    assert len(line.y) <= 40
    assert line.x_ms[line.y.index(0.874)] == START_MS + 437 * 60_000


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=120), st.integers(4, 40))
def test_ends_and_extremes_stay_and_the_limit_holds(values: list[float], limit: int) -> None:
    (line,) = lines(values, limit=limit)
    assert len(line.y) <= limit
    assert line.x_ms == sorted(line.x_ms)
    assert (min(line.y), max(line.y)) == (min(values), max(values))
    assert (line.x_ms[0], line.x_ms[-1]) == (START_MS, START_MS + (len(values) - 1) * 60_000)
    assert set(zip(line.x_ms, line.y, strict=True)) <= {
        (START_MS + i * 60_000, y) for i, y in enumerate(values)
    }


def test_what_is_no_number_is_left_out() -> None:
    (line,) = lines([1.0, math.nan, math.inf, 2.0])
    assert line.y == [1.0, 2.0]


def test_no_rows_give_no_lines() -> None:
    assert lines([], break_after_ms=1) == []


@pytest.mark.parametrize(("missing", "breaks"), [(range(50, 55), 0), (range(50, 75), 1)])
def test_a_long_gap_breaks_the_line_and_a_short_one_does_not(missing: range, breaks: int) -> None:
    # 100 minutes in 20 stretches of 5: a gap counts from 15 minutes on.
    (line,) = lines([1.0] * 100, skip=missing, limit=80, break_after_ms=180_000)
    assert line.y.count(None) == breaks
    assert line.x_ms == sorted(set(line.x_ms))
