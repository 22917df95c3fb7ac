"""A backlog of trades drained, and the memory of all processes after each batch.

``python benchmarks/backlog.py``. Memory is flat if the last third of the batches need no more than
the first third after the warm-up did.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Final

import psutil
from generate import ensure
from measurement import Result, measured, tree_rss_bytes
from session import bench_session
from workload import Workload, default_work_dir

from marketlake.lake.manifests import Manifest
from marketlake.local.broker import EmbeddedBroker
from marketlake.settings.model import load_settings
from spark_jobs.sessions import local_options
from streaming.runner import StreamRunner
from streaming.sources.kafka import KafkaSource

_WARM_UP_BATCHES: Final = 3
_GIB: Final = 2**30


def drain(bootstrap: str, workload: Workload, lake: Path, offsets: int) -> tuple[Result, list[int]]:
    """Drain a topic; give what it cost, and the resident bytes after each batch."""
    shutil.rmtree(lake, ignore_errors=True)
    root, resident = psutil.Process(), list[int]()
    seconds: list[float] = []

    def note(_manifest: Manifest, took_s: float) -> None:
        # The broker is no part of it.
        resident.append(tree_rss_bytes(root) - sum(map(tree_rss_bytes, _brokers(root))))
        seconds.append(took_s)

    spark = bench_session("backlog", local_options(light=True))
    settings = load_settings(stream={"max_offsets_per_batch": offsets})
    source = KafkaSource(bootstrap, workload.prefix)
    result = Result("backlog", workload.rows, batches=seconds)
    with measured(result):
        summary = StreamRunner(spark, source, str(lake), settings, note).run(until_idle=True)
    spark.stop()
    if summary.silver != workload.rows:
        raise SystemExit(f"silver holds {summary.silver} trades, not {workload.rows}: {summary}")
    return result, resident


def _brokers(root: psutil.Process) -> list[psutil.Process]:
    return [child for child in root.children() if "kafka.Kafka" in child.cmdline()]


def main() -> int:
    """Drain a backlog; print the rate and the memory."""
    parser = argparse.ArgumentParser(description="Drain a backlog; is memory flat?")
    parser.add_argument("--rows", type=int, default=5_000_000, help="trades (5000000)")
    parser.add_argument("--offsets", type=int, default=250_000, help="messages a batch (250000)")
    parser.add_argument("--work", type=Path, default=default_work_dir(), help="scratch folder")
    parser.add_argument("--json", type=Path, help="result")
    options = parser.parse_args()
    workload = Workload(options.rows)
    with EmbeddedBroker(options.work / "kafka") as broker:
        ensure(broker.bootstrap, workload)
        lake = options.work / "lakes" / "backlog"
        result, resident = drain(broker.bootstrap, workload, lake, options.offsets)
    warm = resident[_WARM_UP_BATCHES:]
    third = max(1, len(warm) // 3)
    early, late = max(warm[:third]), max(warm[-third:])
    print(f"{workload.rows:,} trades in {result.wall_s:.1f} s, {len(resident)} batches")
    print(f"{workload.rows / result.wall_s:,.0f} trades/s, CPU {result.cpu_s:.1f} s")
    print(f"resident: first third {early / _GIB:.2f} GiB, last third {late / _GIB:.2f} GiB")
    print(f"ratio {late / early:.3f}; batches {[round(b / _GIB, 2) for b in resident]}")
    if options.json:
        figures = {"wall_s": result.wall_s, "cpu_s": result.cpu_s, "resident_bytes": resident}
        options.json.write_text(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
