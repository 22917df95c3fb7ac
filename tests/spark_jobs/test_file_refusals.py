"""What the daily job refuses of plain files, in one line, before or in place of writing."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from tests.spark_jobs.file_days import AFTER, BARS, process, rows


@pytest.mark.spark
@pytest.mark.parametrize(
    ("day", "lines", "message"),
    [
        ("2025-01-17", BARS, "has no row of 2025-01-17: it holds 2025-01-16 to 2025-01-16"),
        ("2025-01-16", BARS.splitlines()[0], "it holds no row at all"),
        (
            "2025-01-16",
            BARS.replace(",1m,", ",7m,"),
            "none of the 3 rows of 2025-01-16 passes validation (invalid_field 3)",
        ),
    ],
)
def test_a_day_without_rows_is_refused(
    spark: SparkSession, tmp_path: Path, day: str, lines: str, message: str
):
    (tmp_path / "bars.csv").write_text(lines)
    lake = tmp_path / "lake"
    result = process("--lake", lake, "--date", day, "--input", tmp_path / "bars.csv")
    assert result.exit_code == 1
    assert message in result.stderr
    assert "nothing was written" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not rows(lake, "silver.quarantine", AFTER)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.csv", None, "does not exist; name a Parquet or CSV file, or a folder"),
        ("t.txt", b"x", "holds no file named .parquet, .csv or .csv.gz"),
        ("t.parquet", b"PAR1", "t.parquet is no Parquet file: "),
        ("t.csv", b"\xff\xfe\x00", "t.csv is no CSV file in UTF-8: "),
        ("t.csv.gz", b"venue", "t.csv.gz is no CSV file in UTF-8: "),
        ("t.csv", b"", "t.csv has columns of neither trades nor bars (no column)"),
        (
            "t.csv",
            b"venue,instrument,event_time,price",
            "t.csv lacks column quantity; trades have venue, instrument, price, quantity and event",
        ),
        (
            "t.csv.gz",
            gzip.compress(b"venue,instrument,open,high,low,close,volume", mtime=0),
            "t.csv.gz lacks column interval, event_time_us or event_time or open_time; bars have",
        ),
        ("t.csv", b"venue,price,close", "columns of trades as well as bars (venue, price, close)"),
        ("t.csv", b"venue,Price,price", "t.csv has column price twice"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(
    tmp_path: Path, name: str, content: bytes | None, message: str
):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    result = process("--lake", tmp_path / "lake", "--date", AFTER, "--input", tmp_path / name)
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "lake").exists()


def test_other_arguments_that_cannot_be_followed(tmp_path: Path):
    cases = {
        ("--date", "2025-1-6"): "is no date",
        ("--date", "2025-01-06", "--input", "gs://bucket/x"): "gs://bucket/x is no place known",
        ("--date", "2025-01-06", "--export", "gs://bucket/x"): "gs://bucket/x is no place known",
        ("--date", "2025-01-06"): "no lake at",
    }
    for options, message in cases.items():
        result = process("--lake", tmp_path / "lake", *options)
        assert result.exit_code == 1
        assert message in result.stderr
        assert result.stderr.count("\n") == 1


def test_a_delta_table_is_no_plain_folder(tmp_path: Path):
    (tmp_path / "table" / "_delta_log").mkdir(parents=True)
    result = process("--lake", tmp_path, "--date", AFTER, "--input", tmp_path / "table")
    assert result.exit_code == 1
    assert "is a Delta table" in result.stderr
