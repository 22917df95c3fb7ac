"""Delta tables and manifests on S3, also where S3 fails: written once, and read by all."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from marketlake.contracts.tables import GOLD_BARS, STREAM_TABLES
from marketlake.lake.compare import lake_differences
from marketlake.lake.datafiles import DataFile, DataFileWriter, verify
from marketlake.lake.delta import DeltaTables
from marketlake.lake.errors import LakeError
from marketlake.lake.query import open_lake, table_overview
from marketlake.lake.storage import Storage
from tests.s3_servers import S3Server, faulty

START = datetime(2025, 1, 15, 14, tzinfo=UTC)
COMMITS = 7


@pytest.fixture(params=["s3_bucket", "versitygw_bucket"])
def storage(request: pytest.FixtureRequest) -> Storage:
    return Storage(f"s3a://{request.getfixturevalue(request.param)}/a/lake")


@pytest.fixture
def failing(
    s3_server: S3Server, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Storage]:
    """A lake on a server of which every fifth answer is bad."""
    with faulty(s3_server, seed=3, rate=0.2, slow_s=0.2) as proxy:
        for name, value in proxy.environment.items():
            monkeypatch.setenv(name, value)
        yield Storage(f"s3a://{s3_bucket}/failing")


def bars(first_minute: int, count: int) -> pa.Table:
    rows = [
        GOLD_BARS.row(
            venue="okx",
            instrument="BTC-USDT",
            interval="1m",
            origin="trades",
            open_time=START + timedelta(minutes=first_minute + i),
        )
        for i in range(count)
    ]
    return pa.Table.from_pylist(rows, GOLD_BARS.arrow_schema).select(GOLD_BARS.file_schema.names)


def written(storage: Storage, number: int) -> list[DataFile]:
    writer = DataFileWriter(storage, GOLD_BARS, f"{number:08d}")
    writer.add(("spot", "2025-01-15"), bars(10 * number, 10))
    return writer.close()


def fill(storage: Storage) -> None:
    tables = DeltaTables(storage, STREAM_TABLES)
    tables.create_all()
    for number in range(COMMITS):
        assert tables.commit("gold/bars", "app", number, written(storage, number))


def test_a_lake_on_s3_equals_one_on_disk(storage, tmp_path):
    fill(storage)
    fill(Storage(str(tmp_path)))
    assert lake_differences(storage.uri, str(tmp_path), STREAM_TABLES) == []
    [overview] = [t for t in table_overview(storage) if t.name == "gold.bars"]
    assert (overview.rows, overview.files) == (10 * COMMITS, COMMITS)
    rows = open_lake(storage.uri).execute(
        "SELECT count(*) FROM gold.bars WHERE open_time >= TIMESTAMPTZ '2025-01-15 15:00:00+00'"
    )
    assert rows.fetchall() == [(10 * COMMITS - 60,)]


def test_what_was_changed_after_it_was_described_is_found(storage):
    files = [file for number in range(3) for file in written(storage, number)]
    assert verify(storage, files) == []
    path = f"gold/bars/{files[0].path}"
    storage.write(path, storage.read(path)[:-1] + b"x")
    storage.delete([f"gold/bars/{files[1].path}"])
    assert verify(storage, files) == files[:2]


def test_two_writers_of_one_table_lose_no_commit(storage):
    DeltaTables(storage, STREAM_TABLES).create_all()

    def write(application: str) -> int:
        tables = DeltaTables(storage, [GOLD_BARS])
        return sum(
            tables.commit("gold/bars", application, number, written(storage, number))
            for number in range(8)
        )

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(write, ["one", "two"])) == [8, 8]
    [overview] = [t for t in table_overview(storage) if t.name == "gold.bars"]
    assert overview.rows == 2 * 8 * 10


def test_faults_of_s3_lose_nothing_and_write_nothing_twice(failing):
    fill(failing)
    [overview] = [t for t in table_overview(failing) if t.name == "gold.bars"]
    assert (overview.rows, overview.files) == (10 * COMMITS, COMMITS)


def test_a_file_that_must_be_new_is_so_though_the_answer_was_lost(failing):
    for i in range(15):
        # Where the first try was done but not answered, the second finds its own file.
        failing.write_new(f"m/{i}", bytes([i]))
        with pytest.raises(LakeError, match="exists already: another writer"):
            failing.write_new(f"m/{i}", b"other")
    assert [failing.read(f"m/{i}") for i in range(15)] == [bytes([i]) for i in range(15)]
