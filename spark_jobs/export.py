"""A day's indicators as plain Snappy Parquet, for readers without Delta."""

from __future__ import annotations

import shutil
import uuid
from datetime import date
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from marketlake.contracts.tables import GOLD_BARS
from marketlake.lake.errors import LakeError
from marketlake.lake.storage import Storage
from streaming.stages.gold import GOLD_INDICATORS

FOLDER: Final = "processed-data/financial_indicators"
INTERVAL: Final = "1m"
RSI: Final = "rsi_14"

_BAR: Final = ("venue", "instrument", "interval", "origin", "open_time", "market", "date")
_INDICATORS: Final = tuple(
    c.name for c in GOLD_INDICATORS.columns if c.name not in {*_BAR, "close"}
)
# One series an instrument, as in the market summary: bars built here where there are any.
_EXPORT: Final = f"""
WITH ranked AS (
  SELECT *, dense_rank() OVER (PARTITION BY venue, instrument ORDER BY origin) AS choice
  FROM bars JOIN indicators USING (venue, instrument, interval, origin, open_time, market, date)
)
SELECT instrument AS symbol, venue, open_time, close, volume, {RSI} AS rsi,
  {", ".join(_INDICATORS)}, market, date
FROM ranked WHERE choice = 1
"""


def export_day(spark: SparkSession, storage: Storage, day: date, target: Path) -> int:
    """Write the 1m indicators of a day, in the place of those that an earlier run wrote.

    Parameters
    ----------
    target : Path
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
    where = f"interval = '{INTERVAL}' AND date = DATE '{day}'"
    bars = spark.read.format("delta").load(storage.path(GOLD_BARS.path)).where(where)
    bars.drop("close").createOrReplaceTempView("bars")
    indicators = spark.read.format("delta").load(storage.path(GOLD_INDICATORS.path)).where(where)
    indicators.createOrReplaceTempView("indicators")
    # The default is a 96-bit type that few readers but Spark's know.
    spark.conf.set("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    folder = target / FOLDER
    fresh = folder / f".{uuid.uuid4().hex}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (
            spark.sql(_EXPORT)
            .repartition("market")
            .sortWithinPartitions("market", "symbol", "venue", "open_time")
            .write.partitionBy("market", "date")
            .option("compression", "snappy")
            .parquet(f"file://{fresh}")
        )
        return _swap(folder, fresh, day)
    except OSError as error:
        raise LakeError(
            f"cannot write export {folder}: {error.strerror or error}; "
            "check that the disk has room and the folder may be written"
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


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
