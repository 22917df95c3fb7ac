"""Data files and Delta commits against the readers of the lake: delta-rs, pyarrow and DuckDB."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from marketlake.contracts.tables import GOLD_BARS, SILVER_BOOKS, STATE_FOLDS, STREAM_TABLES
from marketlake.lake.datafiles import DataFileWriter, day_text, verify
from marketlake.lake.delta import DeltaTables
from marketlake.lake.errors import LakeError
from marketlake.lake.query import open_lake
from marketlake.lake.storage import Storage

START = datetime(2025, 1, 15, 14, tzinfo=UTC)
PARTITION = ("spot", "2025-01-15")


def bars(venue, first_minute, count, close=100.0):
    rows = [
        GOLD_BARS.row(
            venue=venue,
            instrument="BTC-USDT",
            interval="1m",
            origin="trades",
            open_time=START + timedelta(minutes=first_minute + i),
            close=close + i,
        )
        for i in range(count)
    ]
    return pa.Table.from_pylist(rows, schema=GOLD_BARS.arrow_schema).select(
        GOLD_BARS.file_schema.names
    )


def written(storage, *parts, table=GOLD_BARS, label="b1"):
    writer = DataFileWriter(storage, table, label)
    for partition, rows in parts:
        writer.add(partition, rows)
    return writer.close()


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "lake"))


@pytest.fixture
def tables(storage: Storage) -> DeltaTables:
    return DeltaTables(storage, STREAM_TABLES)


def opened(storage, table=GOLD_BARS):
    return DeltaTable(storage.path(table.path))


def test_a_file_is_described_as_it_is(storage):
    [first, second] = written(
        storage,
        (PARTITION, bars("binance", 0, 3)),
        (("perp", "2025-01-15"), bars("binance", 0, 1)),
        (PARTITION, bars("okx", 5, 2)),
    )
    assert (second.partition, second.rows) == ({"market": "spot", "date": "2025-01-15"}, 5)
    assert (first.partition["market"], first.rows) == ("perp", 1)
    data = storage.read(f"gold/bars/{second.path}")
    assert second.path.startswith("market=spot/date=2025-01-15/b1-")
    assert (second.size_bytes, second.digest) == (len(data), hashlib.sha256(data).hexdigest())
    assert json.loads(second.statistics) == {
        "numRecords": 5,
        "minValues": {"open_time": "2025-01-15T14:00:00.000000Z"},
        "maxValues": {"open_time": "2025-01-15T14:06:00.000000Z"},
        "nullCount": {"open_time": 0},
    }


def test_the_parquet_file_holds_the_columns_of_the_contract(storage):
    [file] = written(storage, (PARTITION, bars("binance", 0, 3)))
    # Alone, without the folder names that pyarrow reads as columns.
    read = pq.ParquetFile(storage.path(f"gold/bars/{file.path}")).read()
    assert read.schema.names == GOLD_BARS.file_schema.names
    for field in GOLD_BARS.file_schema:
        found = read.schema.field(field.name)
        assert found.type == field.type, field.name
        assert found.nullable == field.nullable, field.name
    assert read["close"].to_pylist() == [100.0, 101.0, 102.0]


def test_no_rows_give_no_file(storage):
    assert written(storage, (PARTITION, bars("binance", 0, 0))) == []


def test_filters_find_every_row_with_and_without_statistics(storage, tables):
    files = written(storage, (PARTITION, bars("binance", 0, 60, 100.0)))
    files += written(storage, (PARTITION, bars("okx", 60, 60, 200.0)))
    tables.commit("gold/bars", "app", 0, files)
    dataset = opened(storage).to_pyarrow_dataset()
    # `close` and `venue` have no statistics: no file may be passed over for that.
    for expression, count in (
        (pc.field("close") >= 200.0, 60),
        (pc.field("close") == 105.0, 1),
        (pc.field("venue") == "okx", 60),
        (pc.field("volume") == 0.0, 120),
        (pc.field("trade_count").is_null(), 120),
        (pc.field("open_time") >= pa.scalar(START + timedelta(minutes=90)), 30),
        (pc.field("open_time") < pa.scalar(START), 0),
        (pc.field("date") == pa.scalar(START.date()), 120),
    ):
        assert dataset.to_table(filter=expression).num_rows == count, expression
    connection = open_lake(storage.uri)
    for where, count in (
        ("close >= 200", 60), ("venue = 'okx'", 60), ("close = 105", 1), ("volume = 0", 120),
        ("open_time >= TIMESTAMPTZ '2025-01-15 15:30:00+00'", 30), ("vwap IS NULL", 120),
        ("date = DATE '2025-01-15' AND market = 'spot'", 120), ("market = 'perp'", 0),
    ):  # fmt: skip
        [[found]] = connection.execute(f"SELECT count(*) FROM gold.bars WHERE {where}").fetchall()
        assert found == count, where
    plain = duckdb.sql(
        f"SELECT count(*) FROM read_parquet('{storage.path('gold/bars')}/**/*.parquet')"
    )
    assert plain.fetchall() == [(120,)]


def test_statistics_let_readers_skip_files_by_time(storage, tables):
    files = written(storage, (PARTITION, bars("binance", 0, 60)))
    files += written(storage, (PARTITION, bars("okx", 60, 60)))
    tables.commit("gold/bars", "app", 0, files)
    late = pc.field("open_time") >= pa.scalar(START + timedelta(minutes=90))
    fragments = list(opened(storage).to_pyarrow_dataset().get_fragments(filter=late))
    assert [f.path.split("/")[-1] for f in fragments] == [files[1].path.split("/")[-1]]


def test_a_table_without_ranged_columns_is_read_whole_too(storage, tables):
    row = STATE_FOLDS.row(step="merge", venue="", payload=b"x", batch=3)
    rows = pa.Table.from_pylist([row], schema=STATE_FOLDS.arrow_schema)
    state = DeltaTables(storage, [STATE_FOLDS])
    files = written(storage, (("merge-0",), rows.drop_columns(["input"])), table=STATE_FOLDS)
    state.commit("state/folds", "app", 0, files)
    dataset = opened(storage, STATE_FOLDS).to_pyarrow_dataset()
    for expression in (pc.field("batch") == 3, pc.field("input") == "merge-0"):
        assert dataset.to_table(filter=expression)["payload"].to_pylist() == [b"x"]


def test_books_are_read_as_lists_of_levels(storage, tables):
    levels = [{"price": 2.0, "quantity": 1.0}, {"price": 1.0, "quantity": 5.0}]
    row = SILVER_BOOKS.row(venue="okx", event_time=START, bids=levels, asks=[])
    rows = pa.Table.from_pylist([row], schema=SILVER_BOOKS.arrow_schema)
    rows = rows.select(SILVER_BOOKS.file_schema.names)
    files = written(storage, (PARTITION, rows), table=SILVER_BOOKS)
    tables.commit("silver/books", "app", 0, files)
    found = open_lake(storage.uri).execute(
        "SELECT bids[1].price, len(bids), len(asks) FROM silver.books WHERE bids[2].quantity = 5"
    )
    assert found.fetchall() == [(2.0, 2, 0)]


def test_a_transaction_is_committed_once(storage, tables):
    files = written(storage, (PARTITION, bars("binance", 0, 3)))
    assert tables.version_of("gold/bars", "app") is None
    assert tables.commit("gold/bars", "app", 4, files)
    version = opened(storage).version()
    for sequence in (4, 3, 0):
        assert not tables.commit("gold/bars", "app", sequence, files)
        # Nor from another process, which opens the table anew.
        assert not DeltaTables(storage, [GOLD_BARS]).commit("gold/bars", "app", sequence, files)
    assert opened(storage).version() == version
    assert opened(storage).to_pyarrow_dataset().count_rows() == 3
    assert tables.version_of("gold/bars", "app") == 4
    assert tables.version_of("gold/bars", "other") is None
    more = written(storage, (PARTITION, bars("okx", 0, 2)))
    assert tables.commit("gold/bars", "app", 5, more)
    assert opened(storage).to_pyarrow_dataset().count_rows() == 5


def test_another_applications_numbers_do_not_count(storage, tables):
    for i, application in enumerate(("a", "b")):
        files = written(storage, (PARTITION, bars("binance", 10 * i, 3)))
        assert tables.commit("gold/bars", application, 7, files)
    assert opened(storage).to_pyarrow_dataset().count_rows() == 6


def test_a_commit_without_files_still_counts(storage, tables):
    assert tables.commit("gold/bars", "app", 0, [], notes={"batch": "0"})
    assert tables.version_of("gold/bars", "app") == 0
    assert opened(storage).history(1)[0]["batch"] == "0"


def test_replaced_files_leave_in_the_same_commit(storage, tables):
    old = written(storage, (PARTITION, bars("binance", 0, 3)))
    tables.commit("gold/bars", "app", 0, old)
    before = opened(storage).version()
    new = written(storage, (PARTITION, bars("binance", 0, 4, 500.0)))
    tables.commit("gold/bars", "app", 1, new, replaced=old)
    table = opened(storage)
    assert table.version() == before + 1
    closes = table.to_pyarrow_dataset().to_table()["close"].to_pylist()
    assert closes == [500.0, 501.0, 502.0, 503.0]
    # The file itself stays for readers of the version before.
    assert storage.exists(f"gold/bars/{old[0].path}")
    assert not verify(storage, [*old, *new])


def test_all_tables_are_plain_delta_with_the_schema_of_the_contract(storage, tables):
    tables.create_all()
    for table in STREAM_TABLES:
        delta = opened(storage, table)
        assert delta.metadata().partition_columns == list(table.partition_by)
        assert delta.protocol().min_reader_version == 1, table.path
        assert not delta.protocol().reader_features
        found = pa.schema(delta.schema().to_arrow())
        assert found.names == table.arrow_schema.names
        for field in table.arrow_schema:
            assert found.field(field.name).nullable == field.nullable, (table.path, field.name)
    again = DeltaTables(storage, STREAM_TABLES)
    again.create_all()
    assert {opened(storage, t).version() for t in STREAM_TABLES} == {0}


def test_verify_finds_what_is_changed_cut_or_gone(storage):
    parts = [((("spot"), f"2025-01-{day}"), bars("okx", 0, 3)) for day in (15, 16, 17, 18)]
    files = written(storage, *parts)
    assert verify(storage, files) == []
    changed, cut, gone, _ = (Path(storage.path(f"gold/bars/{f.path}")) for f in files)
    data = bytearray(changed.read_bytes())
    data[100] ^= 1
    changed.write_bytes(data)
    cut.write_bytes(cut.read_bytes()[:-1])
    gone.unlink()
    assert verify(storage, files) == files[:3]


def test_a_table_that_cannot_be_opened_is_one_clear_line(storage):
    storage.write("gold/bars/_delta_log", b"a file where the log should be")
    with pytest.raises(LakeError, match=r"cannot open table .*gold/bars: ") as e:
        DeltaTables(storage, [GOLD_BARS]).create_all()
    assert "\n" not in str(e.value)


def test_days_are_spelled_as_partition_values():
    assert day_text(0) == "1970-01-01"
    assert day_text(20_103) == "2025-01-15"
    assert day_text(19_782) == "2024-02-29"
