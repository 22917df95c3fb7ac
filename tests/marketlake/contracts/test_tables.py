"""One definition of each table, and the forms derived from it."""

from __future__ import annotations

import re

import pyarrow as pa
import pytest

from marketlake.contracts.control import ORDER, Control, decode_control, encode_control
from marketlake.contracts.reasons import Reason, reason_names
from marketlake.contracts.tables import (
    BRONZE_EVENTS,
    GOLD_BARS,
    SILVER_TRADES,
    STATE_FOLDS,
    STREAM_TABLES,
    SUMMARY_TABLES,
    indicators_table,
)
from marketlake.contracts.types import LEVELS, STRINGS

INDICATORS = indicators_table({"sma_20": "mean of 20 closes"})
TABLES = [*STREAM_TABLES, *SUMMARY_TABLES, STATE_FOLDS, INDICATORS]
each_table = pytest.mark.parametrize("table", TABLES, ids=lambda t: t.path)

# How Delta and Spark spell what Arrow calls so: https://spark.apache.org/docs, data types.
SPARK_OF_ARROW = {
    pa.string(): "STRING",
    pa.int64(): "BIGINT",
    pa.int32(): "INT",
    pa.float64(): "DOUBLE",
    pa.binary(): "BINARY",
    pa.bool_(): "BOOLEAN",
    pa.date32(): "DATE",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP",
}


def spark_type(arrow):
    if pa.types.is_list(arrow):
        return f"ARRAY<{spark_type(arrow.value_type)}>"
    if pa.types.is_struct(arrow):
        return "STRUCT<" + ", ".join(f"{f.name}: {spark_type(f.type)}" for f in arrow) + ">"
    return SPARK_OF_ARROW[arrow]


@each_table
def test_ddl_and_arrow_say_the_same(table):
    expected = ", ".join(
        f"`{f.name}` {spark_type(f.type)}" + ("" if f.nullable else " NOT NULL")
        for f in table.arrow_schema
    )
    assert table.ddl == expected


def test_the_nested_types_say_the_same():
    for column_type in (STRINGS, LEVELS):
        assert spark_type(column_type.arrow) == column_type.ddl


@each_table
def test_names_are_plain_and_unique_and_keys_are_never_null(table):
    names = [c.name for c in table.columns]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-z][a-z0-9_]*", name) for name in names)
    columns = {c.name: c for c in table.columns}
    for name in (*table.key, *table.partition_by):
        assert not columns[name].nullable, name
    assert all(c.doc for c in table.columns)


@each_table
def test_a_data_file_has_all_columns_but_those_of_its_folder(table):
    names = [n for n in table.arrow_schema.names if n not in table.partition_by]
    assert table.file_schema.names == names
    assert set(table.partition_by) <= set(table.arrow_schema.names)


@each_table
def test_a_row_made_of_nothing_fits_the_schema(table):
    rows = pa.Table.from_pylist([table.row()], schema=table.arrow_schema)
    for column in table.columns:
        assert (rows[column.name].null_count == 1) == column.nullable, column.name


def test_a_row_takes_what_it_is_given_and_no_other_name():
    row = SILVER_TRADES.row(venue="okx", price=2.5, side="buy")
    assert (row["venue"], row["price"], row["side"], row["sequence"]) == ("okx", 2.5, "buy", None)
    with pytest.raises(KeyError, match=r"silver/trades has no column \['pice', 'size'\]"):
        SILVER_TRADES.row(pice=1.0, size=2.0)


def test_paths_and_keys_are_those_that_others_build_against():
    assert BRONZE_EVENTS.path == "bronze/events"
    assert BRONZE_EVENTS.key == ("source", "topic", "partition", "offset")
    assert GOLD_BARS.key == ("venue", "instrument", "interval", "origin", "open_time")
    assert INDICATORS.key == GOLD_BARS.key
    assert len({t.path for t in TABLES}) == len(TABLES)


def test_indicators_follow_the_registry():
    names = indicators_table({"b": "two", "a": "one"}).arrow_schema.names
    assert names[names.index("close") + 1 :] == ["b", "a", "market", "date"]


def test_every_reason_is_one_bit_with_a_name():
    assert [int(r) for r in Reason] == [1 << i for i in range(len(Reason))]
    assert reason_names(0) == []
    both = int(Reason.TOO_LATE | Reason.MISSING_FIELD)
    assert reason_names(both) == ["missing_field", "too_late"]
    assert len({*reason_names(2 ** len(Reason) - 1)}) == len(Reason)


@pytest.mark.parametrize("kind", ["join", "part", "idle", "end", "resume"])
def test_a_control_event_comes_back_from_bronze(kind):
    event = Control(kind, -(2**62), "market.trades-0" if kind == "join" else "")
    assert decode_control(encode_control(event)) == event
    assert event.source == f"marketlake/{kind}"
    assert event.source in ORDER


def test_at_one_position_an_input_ends_before_it_idles_before_it_resumes():
    assert sorted(ORDER, key=ORDER.get) == [
        "marketlake/join",
        "marketlake/part",
        "marketlake/end",
        "marketlake/idle",
        "marketlake/resume",
    ]
