"""The pipeline itself: bronze, silver, gold, spreads and state, every table written."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any, Final

from measurement import Result, measured
from pyspark.sql import SparkSession
from session import bench_session
from workload import WARM_UP, Workload, add_workload_arguments, workload_of

from marketlake.lake.manifests import Manifest
from marketlake.settings.model import load_settings
from spark_jobs.sessions import local_options
from streaming.runner import StreamRunner
from streaming.sources.kafka import KafkaSource

SPINE: Final = {
    "indicators": {
        "names": (
            "sma_20", "sma_50", "ema_12", "ema_26", "rsi_14", "macd_12_26_9", "bollinger_20_2",
            "atr_14", "vwap_20", "vwap_session",
        )
    },
    "anomalies": {"detectors": ("zscore",)},
}  # fmt: skip
"""The analytics that the pipeline began with: what wider ones cost is measured against them."""


def take(
    spark: SparkSession,
    bootstrap: str,
    workload: Workload,
    lake: Path,
    reader: str,
    analytics: dict[str, Any],
) -> Result:
    """Drain one workload into a new lake; give what it cost."""
    shutil.rmtree(lake, ignore_errors=True)
    batches: list[float] = []

    def note(_manifest: Manifest, seconds: float) -> None:
        batches.append(seconds)

    stream = {"max_offsets_per_batch": workload.offsets_per_batch, "kafka_reader": reader}
    settings = load_settings(stream=stream, **analytics)
    source = KafkaSource(bootstrap, workload.prefix)
    result = Result("pipeline", workload.rows, batches=batches)
    with measured(result):
        summary = StreamRunner(spark, source, str(lake), settings, note).run(until_idle=True)
    if summary.silver != workload.rows:
        raise SystemExit(f"silver holds {summary.silver} trades, not {workload.rows}: {summary}")
    return result


def main() -> int:
    """Run the pipeline in this process: the warm-up, then the workload."""
    parser = argparse.ArgumentParser(description="The pipeline: Kafka to every table.")
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--lake", type=Path, required=True, help="scratch folder")
    parser.add_argument("--cold", action="store_true", help="no warm-up")
    parser.add_argument("--reader", choices=("workers", "spark"), default="workers")
    parser.add_argument("--spine", action="store_true", help="fewer analytics, see SPINE")
    add_workload_arguments(parser)
    options = parser.parse_args()
    spark = bench_session("pipeline", local_options(light=options.reader == "workers"))
    how = options.reader, SPINE if options.spine else {}
    if not options.cold:
        take(spark, options.bootstrap, WARM_UP, options.lake / "warm-up", *how)
    lake = options.lake / "lake"
    result = take(spark, options.bootstrap, workload_of(options), lake, *how)
    result.warm = not options.cold
    result.print()
    spark.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
