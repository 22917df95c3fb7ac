"""Upkeep of tables: the rows stay, the files become few, and nothing that is needed goes."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from marketlake.contracts.tables import GOLD_BARS, SILVER_BOOKS
from marketlake.lake.compare import lake_differences
from marketlake.lake.datafiles import FILE_LABEL, DataFile, DataFileWriter, is_from_files
from marketlake.lake.delta import DeltaTables
from marketlake.lake.query import open_lake
from marketlake.lake.storage import Storage
from marketlake.lake.upkeep import TableUpkeep, Upkeep
from marketlake.settings.model import MaintainSettings

START = datetime(2025, 1, 15, 14, tzinfo=UTC)
DAYS = ("2025-01-15", "2025-01-16")
HOUR_S = 3_600
SETTINGS = MaintainSettings(min_files=3, removed_hours=168, undecided_hours=24)


@pytest.fixture(params=["local", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "s3":
        return Storage(f"s3a://{request.getfixturevalue('s3_bucket')}/lake")
    return Storage(str(tmp_path / "lake"))


def bars(first_minute: int, count: int) -> pa.Table:
    rows = [
        GOLD_BARS.row(
            venue="okx" if (first_minute + i) % 2 else "binance",
            instrument="BTC-USDT",
            interval="1m",
            origin="trades",
            open_time=START + timedelta(minutes=first_minute + i),
            close=float(i),
            vwap=None if i % 3 else -0.0,
        )
        for i in range(count)
    ]
    return pa.Table.from_pylist(rows, GOLD_BARS.arrow_schema).select(GOLD_BARS.file_schema.names)


def written(storage: Storage, number: int, day: str = DAYS[0], label: str = "") -> list[DataFile]:
    writer = DataFileWriter(storage, GOLD_BARS, f"{label}{number:08d}")
    writer.add(("spot", day), bars(5 * number, 5))
    return writer.close()


def fill(storage: Storage, commits: int = 6) -> DeltaTables:
    tables = DeltaTables(storage, [GOLD_BARS, SILVER_BOOKS])
    tables.create_all()
    for number in range(commits):
        day = DAYS[number == commits - 1]
        tables.commit("gold/bars", "app", number, written(storage, number, day))
    return tables


def upkeep(
    storage: Storage,
    settings: MaintainSettings = SETTINGS,
    in_flight: frozenset[str] = frozenset(),
    *,
    dry_run: bool = False,
) -> TableUpkeep:
    keeper = Upkeep(storage, settings, is_from_files, lambda: set(in_flight), dry_run=dry_run)
    return keeper.keep("gold/bars", lambda: None)


def opened(storage: Storage) -> DeltaTable:
    return DeltaTable(storage.path("gold/bars"), storage_options=storage.delta_options)


def data_files(storage: Storage) -> set[str]:
    return {f.path for f in storage.walk("gold/bars") if f.path.endswith(".parquet")} - {
        f.path for f in storage.walk("gold/bars/_delta_log")
    }


def make_old(storage: Storage, paths: list[str], hours: float) -> None:
    then_s = time.time() - hours * HOUR_S
    for path in paths:
        os.utime(storage.local_root / path, (then_s, then_s))


@pytest.mark.parametrize("cluster", [False, True])
def test_files_become_few_and_rows_stay_bit_for_bit(storage, tmp_path, cluster):
    before = Storage(str(tmp_path / "before"))
    fill(before)
    tables = fill(storage)
    done = upkeep(storage, SETTINGS.model_copy(update={"cluster": cluster}))
    assert (done.files_before, done.files_after, done.partitions) == (6, 2, 1)
    assert done.joined_bytes > 0
    assert (done.removed_files, done.skipped) == (0, 0)
    assert lake_differences(before.uri, storage.uri, [GOLD_BARS]) == []
    # The layout and the statistics are those of files that the stream writes.
    delta = opened(storage)
    assert delta.metadata().partition_columns == ["market", "date"]
    actions = pa.table(delta.get_add_actions(flatten=True)).to_pylist()
    assert {a["partition.market"] for a in actions} == {"spot"}
    [joined] = [a for a in actions if str(a["partition.date"]) == DAYS[0]]
    assert joined["num_records"] == 25
    assert joined["min.open_time"] == START
    assert joined["max.open_time"] == START + timedelta(minutes=24)
    assert "min.close" not in joined
    file = pq.ParquetFile(pa.BufferReader(storage.read(f"gold/bars/{joined['path']}")))
    found = file.schema_arrow
    assert found.names == GOLD_BARS.file_schema.names
    assert [f.nullable for f in found] == [f.nullable for f in GOLD_BARS.file_schema]
    if cluster:
        venues = file.read()["venue"].to_pylist()
        assert sum(a != b for a, b in pairwise(venues)) < 6
    # Transactions of the stream are where they were: no batch is taken twice, the next one is.
    assert tables.version_of("gold/bars", "app") == 5
    assert not tables.commit("gold/bars", "app", 5, written(storage, 5))
    assert tables.commit("gold/bars", "app", 6, written(storage, 6))
    rows = open_lake(storage.uri).execute("SELECT count(*) FROM gold.bars")
    assert rows.fetchall() == [(35,)]
    again = upkeep(storage)
    assert (again.partitions, again.joined_bytes) == (0, 0)


def test_a_dry_run_tells_the_same_and_changes_nothing(storage):
    fill(storage)
    version, files = opened(storage).version(), data_files(storage)
    told = upkeep(storage, dry_run=True)
    assert (opened(storage).version(), data_files(storage)) == (version, files)
    done = upkeep(storage)
    assert (told.partitions, told.joined_bytes) == (done.partitions, done.joined_bytes)


def test_rows_of_plain_files_stay_files_of_their_own(storage):
    tables = DeltaTables(storage, [GOLD_BARS])
    files = [written(storage, n, label=FILE_LABEL if n == 2 else "")[0] for n in range(5)]
    tables.commit("gold/bars", "app", 0, files)
    assert upkeep(storage).partitions == 0
    assert sorted(f.path for f in tables.files("gold/bars")) == sorted(f.path for f in files)


def test_large_files_are_left_alone(storage):
    fill(storage)
    size = max(f.size_bytes for f in storage.walk("gold/bars") if f.path.endswith(".parquet"))
    assert size < 1_000_000
    few = SETTINGS.model_copy(update={"min_files": 6})
    assert upkeep(storage, few).partitions == 0


def test_what_left_the_table_stays_for_queries_that_began_before(tmp_path):
    storage = Storage(str(tmp_path))
    fill(storage)
    before = data_files(storage)
    dataset = opened(storage).to_pyarrow_dataset()
    upkeep(storage)
    # Old as they are: what counts is when they left the table.
    make_old(storage, sorted(before), 1_000)
    opened(storage).create_checkpoint()
    assert upkeep(storage).removed_files == 0
    assert before <= data_files(storage)
    assert dataset.to_table().num_rows == 30


def test_what_left_the_table_long_ago_is_removed(tmp_path):
    storage = Storage(str(tmp_path))
    fill(storage)
    before = data_files(storage)
    upkeep(storage)
    joined = data_files(storage) - before
    # Its age is reckoned by the clock of delta-rs, so what counts as long ago is made less.
    soon = SETTINGS.model_construct(**{**SETTINGS.model_dump(), "removed_hours": 0})
    told = upkeep(storage, soon, dry_run=True)
    done = upkeep(storage, soon)
    assert (told.removed_files, told.removed_bytes) == (done.removed_files, done.removed_bytes)
    assert done.removed_files == 5
    assert joined <= data_files(storage)
    assert len(data_files(storage)) == 2
    assert opened(storage).to_pyarrow_dataset().count_rows() == 30


def test_files_of_a_batch_that_is_not_decided_yet_stay_and_old_orphans_go(tmp_path):
    storage = Storage(str(tmp_path))
    fill(storage)
    fresh, old, decided = (written(storage, n)[0] for n in (7, 8, 9))
    names = [f"gold/bars/{file.path}" for file in (fresh, old, decided)]
    make_old(storage, names[1:], 25)
    make_old(storage, names[:1], 23)
    done = upkeep(storage, in_flight=frozenset(names[2:]))
    assert (done.removed_files, done.removed_bytes) == (1, old.size_bytes)
    assert [storage.exists(name) for name in names] == [True, False, True]
    assert opened(storage).to_pyarrow_dataset().count_rows() == 30


def test_a_partition_that_another_changes_meanwhile_waits_for_the_next_time(storage, monkeypatch):
    tables = fill(storage)
    files = tables.files("gold/bars")
    keeper = Upkeep(storage, SETTINGS, is_from_files, set, dry_run=False)

    def replace_day() -> None:
        # As `batch process --rewrite` does it, after the upkeep has looked at the table.
        if files:
            removed = [f for f in files if f.partition["date"] == DAYS[0]]
            new = written(storage, 20)
            files.clear()
            DeltaTables(storage, [GOLD_BARS]).commit("gold/bars", "batch", 0, new, replaced=removed)

    done = keeper.keep("gold/bars", replace_day)
    assert (done.partitions, done.skipped) == (0, 1)
    assert opened(storage).to_pyarrow_dataset().count_rows() == 10
    assert upkeep(storage).skipped == 0


def test_commits_beside_an_upkeep_are_not_lost(storage):
    tables = fill(storage)
    number = [6]

    def commit() -> None:
        tables.commit("gold/bars", "app", number[0], written(storage, number[0]))
        number[0] += 1

    done = Upkeep(storage, SETTINGS, is_from_files, set, dry_run=False).keep("gold/bars", commit)
    assert (done.partitions, done.skipped) == (1, 0)
    assert number[0] > 7
    assert opened(storage).to_pyarrow_dataset().count_rows() == 5 * number[0]
