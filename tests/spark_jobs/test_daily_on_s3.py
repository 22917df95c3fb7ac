"""The daily job with lake, input and export on S3 gives what it gives on disk."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from marketlake.contracts.tables import STREAM_TABLES, SUMMARY_TABLES
from marketlake.lake.compare import lake_differences
from marketlake.lake.storage import Storage
from marketlake.settings.model import S3Settings
from spark_jobs.errors import JobError
from spark_jobs.export import FOLDER
from spark_jobs.input_paths import S3Path, find_paths
from tests.processes import marketlake

pytestmark = [pytest.mark.spark, pytest.mark.slow]

DAY = "2025-01-15"
START_US = 1_736_899_200_000_000
COMPARED = [t for t in (*STREAM_TABLES, *SUMMARY_TABLES) if t.layer != "bronze"]


def trades(venue: str, minutes: int) -> pd.DataFrame:
    n = range(minutes * 4)
    return pd.DataFrame(
        {
            "venue": venue,
            "instrument": ["BTC-USDT" if i % 2 else "ETH-USDT" for i in n],
            "price": [100.0 + (i * 7 % 13) for i in n],
            "quantity": [1.0 + i % 3 for i in n],
            "event_time_us": [START_US + i * 15_000_000 for i in n],
        }
    )


def fill_input(place: Storage) -> None:
    place.write("day/binance.parquet", trades("binance", 60).to_parquet(index=False))
    place.write("day/part/okx.csv", trades("okx", 60).to_csv(index=False).encode())
    kraken = trades("kraken", 60).to_csv(index=False).encode()
    place.write("day/kraken.csv.gz", gzip.compress(kraken))
    place.write("day/.hidden/x.csv", b"not read")


def process(root: str) -> dict[str, int]:
    said = marketlake(
        *("batch", "process", "--json", "--lake", f"{root}/lake", "--date", DAY),
        *("--input", f"{root}/in/day", "--export", f"{root}/out"),
    )
    return json.loads(said)


@pytest.mark.timeout(600)
def test_lake_input_and_export_on_s3_equal_those_on_disk(s3_bucket: str, tmp_path: Path):
    roots = [f"s3a://{s3_bucket}/x", str(tmp_path)]
    results = []
    for root in roots:
        fill_input(Storage(f"{root}/in"))
        # What an earlier run left of that day, and of another.
        stale = "processed-data/financial_indicators/market=spot"
        Storage(f"{root}/out").write(f"{stale}/date={DAY}/old.parquet", b"old")
        Storage(f"{root}/out").write(f"{stale}/date=2025-01-14/x.parquet", b"other day")
        results.append(process(root))
    assert results[0] == results[1]
    assert results[0]["export"] > 300
    assert lake_differences(f"{roots[0]}/lake", f"{roots[1]}/lake", COMPARED) == []
    exported = []
    for root in roots:
        place = Storage(f"{root}/out")
        [file] = [f for f in place.walk(FOLDER) if f"date={DAY}" in f.path]
        assert place.exists(f"{FOLDER}/market=spot/date=2025-01-14/x.parquet")
        copy = tmp_path / f"{len(exported)}.parquet"
        copy.write_bytes(place.read(file.path))
        exported.append(duckdb.read_parquet(str(copy)).fetchall())
    assert exported[0] == exported[1]


def test_an_object_is_read_as_a_file_is(s3_bucket: str):
    data = os.urandom(10_000_000)
    Storage(f"s3a://{s3_bucket}").write("a/b.parquet", data)
    [path] = find_paths(f"s3a://{s3_bucket}/a/b.parquet", S3Settings())
    assert isinstance(path, S3Path)
    assert (path.name, path.suffix, path.size_bytes) == ("b.parquet", ".parquet", len(data))
    with path.open("rb") as file:
        file.seek(9_000_000)
        assert file.read() == data[9_000_000:]
        file.seek(5)
        assert file.read(100) == data[5:105]


def test_an_input_that_is_not_there_or_is_a_table(s3_bucket: str):
    Storage(f"s3a://{s3_bucket}").write("t/_delta_log/0.json", b"")
    for name, problem in (("absent", "does not exist"), ("t", "is a Delta table")):
        with pytest.raises(JobError, match=problem):
            find_paths(f"s3a://{s3_bucket}/{name}", S3Settings())
