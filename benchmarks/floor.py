"""The floors: Spark moves the same bytes from Kafka to Delta, and does nothing else.

Floor 1 leaves them undecoded; floor 2 decodes them with ``from_json``. No pipeline on Spark's own
source and sink can be faster than floor 1.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from measurement import Result, measured
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf
from pyspark.sql.streaming.query import StreamingQuery
from session import bench_session
from workload import WARM_UP, Workload, add_workload_arguments, workload_of

_SCHEMA = (
    "type string, venue string, instrument string, event_time_us long, price double, "
    "quantity double, trade_id string, side string"
)


def read(spark: SparkSession, bootstrap: str, workload: Workload) -> DataFrame:
    """Read a topic from its beginning."""
    return (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", bootstrap)
        .option("subscribe", workload.topic)
        .option("startingOffsets", "earliest")
        .option("maxOffsetsPerTrigger", str(workload.offsets_per_batch))
        .option("kafka.max.partition.fetch.bytes", str(16 << 20))
        .option("kafka.fetch.max.bytes", str(64 << 20))
        .option("kafka.receive.buffer.bytes", str(1 << 20))
        .load()
    )


def decoded(raw: DataFrame) -> DataFrame:
    """Decode with ``from_json`` and keep what is sound."""
    return (
        raw.select(sf.from_json(sf.col("value").cast("string"), _SCHEMA).alias("t"))
        .select("t.*")
        .where("price > 0 and quantity >= 0 and instrument is not null and event_time_us > 0")
    )


def start(frame: DataFrame, lake: Path, *, trigger_ms: int | None = None) -> StreamingQuery:
    """Write a stream to one Delta table: what is there now, or on and on."""
    writer = frame.writeStream.format("delta").option("checkpointLocation", f"{lake}/checkpoint")
    if trigger_ms is None:
        writer = writer.trigger(availableNow=True)
    else:
        writer = writer.trigger(processingTime=f"{trigger_ms} milliseconds")
    return writer.start(f"{lake}/raw")


def take(spark: SparkSession, bootstrap: str, workload: Workload, lake: Path, floor: int) -> Result:
    """Move one workload; give what it cost."""
    shutil.rmtree(lake, ignore_errors=True)
    raw = read(spark, bootstrap, workload)
    frame = raw.select("value") if floor == 1 else decoded(raw)
    result = Result(f"floor{floor}", workload.rows)
    with measured(result):
        query = start(frame, lake)
        query.awaitTermination()
    progress = query.recentProgress
    result.batches = [p.batchDuration / 1e3 for p in progress]
    moved = sum(p.numInputRows for p in progress)
    if moved != workload.rows:
        raise SystemExit(f"floor {floor} moved {moved} messages, not {workload.rows}")
    return result


def main() -> int:
    """Run one floor in this process: the warm-up, then the workload."""
    parser = argparse.ArgumentParser(description="Spark's floor: Kafka to Delta.")
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--lake", type=Path, required=True, help="scratch folder")
    parser.add_argument("--floor", type=int, choices=(1, 2), default=1)
    parser.add_argument("--cold", action="store_true", help="no warm-up")
    add_workload_arguments(parser)
    options = parser.parse_args()
    spark = bench_session(f"floor{options.floor}")
    if not options.cold:
        take(spark, options.bootstrap, WARM_UP, options.lake / "warm-up", options.floor)
    result = take(
        spark, options.bootstrap, workload_of(options), options.lake / "lake", options.floor
    )
    result.warm = not options.cold
    result.print()
    spark.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
