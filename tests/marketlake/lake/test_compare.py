import math
import shutil
import struct
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from marketlake.contracts.tables import BRONZE_EVENTS, GOLD_BARS, SILVER_BOOKS, Table
from marketlake.lake.compare import first_surplus, lake_differences
from marketlake.lake.errors import LakeError


def relation(table: pa.Table) -> duckdb.DuckDBPyRelation:
    return duckdb.connect().from_arrow(table)


def doubles(*values: float | None) -> duckdb.DuckDBPyRelation:
    return relation(pa.table({"x": pa.array(values, pa.float64()), "n": range(len(values))}))


def test_the_same_rows_in_another_order_are_the_same() -> None:
    rows = pa.table({"x": [1.5, None, math.nan], "name": ["a", "b", None]})
    assert first_surplus(relation(rows), relation(rows.take([2, 0, 1]))) == (None, None)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (0.0, -0.0),
        (0.1 + 0.2, 0.3),
        (math.nan, None),
        # Two NaN of other payloads.
        (math.nan, struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000001))[0]),
    ],
)
def test_one_bit_is_a_difference(left: float, right: float | None) -> None:
    one, two = first_surplus(doubles(7.0, left), doubles(7.0, right))
    assert one is not None
    assert two is not None
    assert (one["n"], two["n"]) == (1, 1)
    assert str(one["x"]) == str(left)
    assert str(two["x"]) == str(right)


def test_a_row_that_stands_twice_must_stand_twice() -> None:
    once, twice = pa.table({"x": [1.0]}), pa.table({"x": [1.0, 1.0]})
    assert first_surplus(relation(twice), relation(once)) == ({"x": 1.0}, None)
    assert first_surplus(relation(once), relation(twice)) == (None, {"x": 1.0})
    assert first_surplus(relation(once), relation(once.slice(1))) == ({"x": 1.0}, None)


def write(lake: Path, table: Table, **values: object) -> None:
    rows = pa.Table.from_pylist([table.row(**values)], schema=table.arrow_schema)
    write_deltalake(lake / table.path, rows, mode="append", partition_by=list(table.partition_by))


def test_floats_inside_books_are_compared_by_bits(tmp_path: Path) -> None:
    for lake, quantity in (("one", 0.0), ("two", -0.0)):
        bids = [{"price": 2.0, "quantity": 1.0}, {"price": 1.0, "quantity": quantity}]
        write(tmp_path / lake, SILVER_BOOKS, venue="okx", bids=bids, market="spot")
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    assert lake_differences(one, one, [SILVER_BOOKS]) == []
    found = lake_differences(one, two, [SILVER_BOOKS])
    assert [(d.table, d.problem) for d in found] == [
        ("silver.books", f"only in {one}"),
        ("silver.books", f"only in {two}"),
    ]
    assert "'quantity': -0.0" in found[1].row


def test_when_lanes_were_joined_is_no_difference_who_went_idle_is(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for lake, kinds in ((one, ("idle", "join", "part", "join")), (two, ("idle", "join"))):
        for kind in kinds:
            write(lake, BRONZE_EVENTS, source=f"marketlake/{kind}", topic="market.trades")
    assert lake_differences(str(one), str(two), [BRONZE_EVENTS]) == []
    write(two, BRONZE_EVENTS, source="marketlake/idle", topic="market.trades")
    found = lake_differences(str(one), str(two), [BRONZE_EVENTS])
    assert [d.problem for d in found] == [f"only in {two}"]


def test_a_control_event_of_another_hour_is_the_same_a_message_is_not(tmp_path: Path) -> None:
    for hour in (1, 2):
        time = datetime(2023, 3, 11, hour, tzinfo=UTC)
        lake = tmp_path / str(hour)
        write(lake, GOLD_BARS, close=1.0, market="spot")
        write(lake, BRONZE_EVENTS, source="marketlake/end", source_timestamp=time, ingest_time=time)
    one, two = str(tmp_path / "1"), str(tmp_path / "2")
    assert lake_differences(one, two, [BRONZE_EVENTS, GOLD_BARS]) == []
    write(Path(one), BRONZE_EVENTS, source="kafka", source_timestamp=time)
    write(Path(two), BRONZE_EVENTS, source="kafka", source_timestamp=time.replace(hour=3))
    assert {d.table for d in lake_differences(one, two, [BRONZE_EVENTS])} == {"bronze.events"}


def test_a_missing_table_is_told(tmp_path: Path) -> None:
    write(tmp_path / "one", GOLD_BARS, market="spot")
    with pytest.raises(LakeError, match="two/gold/bars"):
        lake_differences(str(tmp_path / "one"), str(tmp_path / "two"), [GOLD_BARS])


def test_a_damaged_file_is_an_error_and_no_difference(tmp_path: Path) -> None:
    write(tmp_path / "one", GOLD_BARS, close=1.0, market="spot")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    [file] = (tmp_path / "two" / "gold" / "bars").glob("market=*/**/*.parquet")
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(duckdb.Error, match="Parquet"):
        lake_differences(str(tmp_path / "one"), str(tmp_path / "two"), [GOLD_BARS])
