"""What a batch of ten rows costs: the pipeline against floor 1, turn by turn in one session.

Both queries run on, each over its own topic and behind the same history; ten trades go to one, its
batch is awaited, then ten go to the other. The time is Spark's own of the whole batch: offsets,
plan, tasks, commits, logs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import threading
import time
from ast import literal_eval
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

import floor
from confluent_kafka import Producer
from generate import trades
from pyspark.sql import SparkSession
from pyspark.sql.streaming.listener import StreamingQueryProgress
from pyspark.sql.streaming.query import StreamingQuery
from session import bench_session
from workload import PARTITIONS, Workload, default_work_dir

from marketlake.local.broker import EmbeddedBroker
from marketlake.settings.model import load_settings
from streaming.runner import StreamRunner
from streaming.sources.kafka import KafkaSource

_ROWS: Final = 10
_HISTORY_ROWS: Final = 200_000
_WARM_UPS: Final = 10
_TRIES: Final = 3
_TIMEOUT_S: Final = 300.0
_POLL_S: Final = 0.02
_TRIGGER_MS: Final = 100


class Lane:
    """One query, and the trades that feed it."""

    def __init__(self, bootstrap: str, workload: Workload, query: StreamingQuery) -> None:
        self._topic = workload.topic
        self._query = query
        self._trades = trades(workload)
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
            }
        )
        self.seconds: list[float] = []

    def publish(self, rows: int) -> list[float]:
        """Publish trades; give the seconds of each batch that took some of them."""
        # Progress without rows may bear the number of the batch that is still to come.
        progress = self._query.recentProgress
        seen = max((p.batchId for p in progress if _rows_of(p)), default=-1)
        for number in range(rows):
            key, value = next(self._trades)
            self._producer.produce(self._topic, value, key)
            if number % 1_000 == 0:
                self._producer.flush()
        self._producer.flush()
        taken: list[tuple[int, float]] = []
        deadline = time.monotonic() + _TIMEOUT_S
        while sum(count for count, _ in taken) < rows:
            if time.monotonic() > deadline or not self._query.isActive:
                raise SystemExit(f"{self._topic}: a batch did not come: {self._query.exception()}")
            time.sleep(_POLL_S)
            taken = [
                (_rows_of(p), p.batchDuration / 1e3)
                for p in self._query.recentProgress
                if p.batchId > seen and _rows_of(p)
            ]
        return [seconds for _, seconds in taken]

    def turn(self) -> None:
        """Note the seconds of a batch of ten; one that a trigger split in two does not count."""
        seconds = self.publish(_ROWS)
        if len(seconds) == 1:
            self.seconds += seconds


def _rows_of(progress: StreamingQueryProgress) -> int:
    """Messages that a batch was planned with: Spark counts only those that it read itself."""
    rows = 0
    for source in progress.sources:
        # They come as Python writes them; before the first batch the start is None.
        places = (source.startOffset, source.endOffset)
        starts, ends = (literal_eval(place) or {} for place in places)
        for topic, partitions in ends.items():
            for partition, end in partitions.items():
                rows += end - starts.get(topic, {}).get(partition, 0)
    return rows


@contextmanager
def _pipeline(
    spark: SparkSession, bootstrap: str, workload: Workload, lake: Path
) -> Iterator[StreamingQuery]:
    """Run the pipeline on a thread; give its query."""
    settings = load_settings(stream={"trigger_ms": _TRIGGER_MS})
    runner = StreamRunner(spark, KafkaSource(bootstrap, workload.prefix), str(lake), settings)
    thread = threading.Thread(target=runner.run, kwargs={"until_idle": False})
    thread.start()
    try:
        while not (found := [q for q in spark.streams.active if q.name == "marketlake"]):
            if not thread.is_alive():
                raise SystemExit("the pipeline did not start")
            time.sleep(_POLL_S)
        yield found[0]
    finally:
        runner.stop()
        thread.join()


def compare(broker: EmbeddedBroker, work: Path, batches: int) -> dict[str, list[float]]:
    """Give the seconds of each counted batch of floor 1 and of the pipeline."""
    lakes = work / "lakes" / "small-batch"
    shutil.rmtree(lakes, ignore_errors=True)
    # Topics of this run alone: both lanes begin with nothing.
    seed = int(time.time())
    own, other = (Workload(_HISTORY_ROWS * 2, seed=s) for s in (seed, seed + 1))
    for workload in (own, other):
        broker.create_topic(workload.topic, PARTITIONS)
    spark = bench_session("small-batch")
    raw = floor.read(spark, broker.bootstrap, other).select("value")
    base = floor.start(raw, lakes / "floor1", trigger_ms=_TRIGGER_MS)
    with _pipeline(spark, broker.bootstrap, own, lakes / "pipeline") as query:
        lanes = {
            "floor1": Lane(broker.bootstrap, other, base),
            "pipeline": Lane(broker.bootstrap, own, query),
        }
        for lane in lanes.values():
            lane.publish(_HISTORY_ROWS)
        wanted = batches + _WARM_UPS
        for _ in range(_TRIES * wanted):
            if all(len(lane.seconds) >= wanted for lane in lanes.values()):
                break
            for lane in lanes.values():
                lane.turn()
    base.stop()
    spark.stop()
    return {name: lane.seconds[_WARM_UPS:wanted] for name, lane in lanes.items()}


def main() -> int:
    """Compare; print both medians and their ratio."""
    parser = argparse.ArgumentParser(description="The cost of a batch of ten rows.")
    parser.add_argument("--batches", type=int, default=20, help="batches that count (20)")
    parser.add_argument("--work", type=Path, default=default_work_dir(), help="scratch folder")
    options = parser.parse_args()
    with EmbeddedBroker(options.work / "kafka") as broker:
        seconds = compare(broker, options.work, options.batches)
    medians = {name: median(values) for name, values in seconds.items()}
    ratio = medians["pipeline"] / medians["floor1"]
    print(json.dumps({"median_s": medians, "ratio": ratio, "seconds": seconds}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
