"""A day's indicators as plain Snappy Parquet, for readers without Delta."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from datetime import date
from pathlib import Path
from typing import Final

import duckdb
import pyarrow.parquet as pq

from marketlake.lake.errors import LakeError
from marketlake.lake.query import open_lake
from marketlake.lake.storage import Storage

FOLDER: Final = "processed-data/financial_indicators"
INTERVAL: Final = "1m"
RSI: Final = "rsi_14"
_OBJECT: Final = "indicators.parquet"
"""A day's file of a market on S3, where nothing can be renamed."""

# One series an instrument, as in the market summary: bars built here where there are any.
_CHOSEN: Final = f"""
CREATE TEMP TABLE chosen AS
WITH ranked AS (
  SELECT i.*, volume,
    dense_rank() OVER (PARTITION BY venue, instrument ORDER BY origin) AS choice
  FROM gold.indicators AS i
  JOIN (
    SELECT venue, instrument, "interval", origin, open_time, volume
    FROM gold.bars WHERE "interval" = '{INTERVAL}' AND date = $day
  ) USING (venue, instrument, "interval", origin, open_time)
  WHERE i."interval" = '{INTERVAL}' AND i.date = $day
)
SELECT instrument AS symbol, venue, open_time, close, volume, {RSI} AS rsi,
  * EXCLUDE (venue, instrument, "interval", origin, open_time, close, volume, date, choice)
FROM ranked WHERE choice = 1
"""
_WRITE: Final = """
COPY (
  SELECT * EXCLUDE market FROM chosen WHERE market = $market ORDER BY symbol, venue, open_time
) TO $file (FORMAT parquet, COMPRESSION snappy)
"""


def export_day(lake: Storage, day: date, target: Storage) -> int:
    """Write the 1m indicators of a day, in the place of those that an earlier run wrote.

    Parameters
    ----------
    target : Storage
        Folder under which ``processed-data/financial_indicators/market=…/date=…`` is made.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    LakeError
        If the folder cannot be written.
    """
    if not target.on_s3:
        return _export(lake, day, target.local_root / FOLDER)
    with tempfile.TemporaryDirectory(prefix="marketlake-export-") as made:
        rows = _export(lake, day, Path(made) / FOLDER)
        _upload(Path(made) / FOLDER, target, day)
    return rows


def _export(lake: Storage, day: date, folder: Path) -> int:
    fresh = folder / f".{uuid.uuid4().hex}.tmp"
    try:
        fresh.mkdir(parents=True)
        with open_lake(lake) as connection:
            connection.execute(_CHOSEN, {"day": day})
            markets = connection.execute("SELECT DISTINCT market FROM chosen").fetchall()
            for (market,) in markets:
                partition = fresh / f"market={market}" / f"date={day}"
                partition.mkdir(parents=True)
                file = str(partition / f"{uuid.uuid4().hex}.parquet")
                connection.execute(_WRITE, {"market": market, "file": file})
        return _swap(folder, fresh, day)
    except duckdb.BinderException as error:
        raise LakeError(
            f"the export shows {RSI}, which gold.indicators of {lake.uri} has not: fill a lake "
            f"whose setting indicators.names holds {RSI}"
        ) from error
    except (OSError, duckdb.IOException) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise LakeError(
            f"cannot write export {folder}: {reason or error}; "
            "check that the disk has room and the folder may be written"
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _upload(folder: Path, target: Storage, day: date) -> None:
    """Put the day's files in the place of those before, each at once: their names stay the same."""
    names = set()
    for file in sorted(folder.glob(f"market=*/date={day}/*.parquet")):
        name = f"{FOLDER}/{file.parent.relative_to(folder).as_posix()}/{_OBJECT}"
        target.write(name, file.read_bytes())
        names.add(name)
    markets = target.folders(FOLDER)
    found = (file.path for m in markets for file in target.walk(f"{FOLDER}/{m}/date={day}"))
    target.delete([path for path in found if path not in names])


def _swap(folder: Path, fresh: Path, day: date) -> int:
    """Put complete partitions in the place of the day's; a reader never sees half of one."""
    date_folder = f"date={day}"
    for old in folder.glob(f"market=*/{date_folder}"):
        old.rename(fresh / f"old-{uuid.uuid4().hex}")
    rows = 0
    for partition in sorted(fresh.glob(f"market=*/{date_folder}")):
        rows += sum(pq.read_metadata(file).num_rows for file in partition.glob("*.parquet"))
        place = folder / partition.parent.name / date_folder
        place.parent.mkdir(exist_ok=True)
        partition.rename(place)
    return rows
