"""How long an event takes to a row that can be read, at a steady rate and after a burst.

``python benchmarks/latency.py --rounds 3``. The pipeline and an empty query, turn by turn over
topics of their own at the same rate. The empty one is Spark's least: it plans a micro-batch on the
topic, reads nothing, and notes that the batch is done. Latency is reckoned from the event's time,
which is when it was handed to the producer:

silver
    to the commit after which the trade can be read.
gold
    to the commit of a bar, from the first trade of its partition that lets the bar close (allowed
    lateness 0, so that no waiting for stragglers is in the figure).
empty
    to the end of the batch that the trade fell in.

After the steady stretch comes a burst at ten times the rate, then the rate again: how long the lag
takes to be what it was.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import threading
import time
from ast import literal_eval
from bisect import bisect_left
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

import duckdb
import numpy as np
from paced import PacedProducer, Sent
from pyspark.sql import SparkSession
from session import bench_session
from workload import PARTITIONS, Workload, default_work_dir

from marketlake.contracts.events import INTERVAL_US
from marketlake.contracts.tables import GOLD_BARS
from marketlake.lake.manifests import Manifest
from marketlake.lake.session import CHECKPOINTS
from marketlake.lake.storage import Storage
from marketlake.local.broker import EmbeddedBroker
from marketlake.settings.model import load_settings
from spark_jobs.sessions import local_options
from streaming.runner import StreamRunner
from streaming.sources.kafka import KafkaSource
from streaming.sources.source import Reading

_POLL_S: Final = 0.05
_TIMEOUT_S: Final = 120.0
_STREAM: Final = {
    "lateness_ms": 0,
    "trigger_ms": 0,
    "idle_ms": 3_600_000,
}


@dataclass
class Commits:
    """When which messages were in: for each batch its end and the offsets after it.

    Attributes
    ----------
    at_us : list of int
        Wall clock at the end of each batch.
    ends : list of dict
        Offset after the last message of each partition.
    files : dict of str to int
        Batch of each data file of ``gold/bars``.
    """

    at_us: list[int] = field(default_factory=list)
    ends: list[dict[int, int]] = field(default_factory=list)
    files: dict[str, int] = field(default_factory=dict)

    def taken(self) -> int:
        """Messages that are in."""
        return sum(self.ends[-1].values()) if self.ends else 0

    def latencies_ms(self, sent: Sent, since_us: int, until_us: int) -> np.ndarray:
        """Give the latency of each message published in a stretch of time."""
        found: list[np.ndarray] = []
        for partition, times in sent.event_us.items():
            event_us = np.array(times)
            ends = np.array([end.get(partition, 0) for end in self.ends])
            batch = np.searchsorted(ends, np.arange(event_us.size), side="right")
            chosen = (event_us >= since_us) & (event_us < until_us)
            found.append((np.array(self.at_us)[batch[chosen]] - event_us[chosen]) / 1e3)
        return np.concatenate(found)

    def bar_latencies_ms(self, lake: Path, sent: Sent, since_us: int, until_us: int) -> np.ndarray:
        """Give the latency of each bar that could close in a stretch of time."""
        rows = duckdb.sql(
            f"""SELECT filename, instrument, epoch_us(open_time) AS open_us
            FROM read_parquet('{lake}/{GOLD_BARS.path}/market=*/**/*.parquet', filename = true)
            WHERE "interval" = '1s'"""
        ).fetchall()
        found = []
        for name, instrument, open_us in rows:
            batch = self.files.get(Path(name).name)
            times = sent.event_us[sent.partition_of[instrument]]
            due = bisect_left(times, open_us + INTERVAL_US["1s"])
            if batch is None or due == len(times) or not since_us <= times[due] < until_us:
                continue
            found.append((self.at_us[batch] - times[due]) / 1e3)
        return np.array(found)


class Pipeline:
    """The pipeline over one topic."""

    name = "pipeline"

    def __init__(self, spark: SparkSession, bootstrap: str, workload: Workload, lake: Path) -> None:
        self.commits, self.lake = Commits(), lake
        shutil.rmtree(lake, ignore_errors=True)
        source = KafkaSource(bootstrap, workload.prefix)
        settings = load_settings(stream=_STREAM)
        self._runner = StreamRunner(spark, source, str(lake), settings, self._note)
        self._thread = threading.Thread(target=self._runner.run, kwargs={"until_idle": False})

    def _note(self, manifest: Manifest, _seconds: float) -> None:
        commits = self.commits
        commits.files |= {
            Path(f.path).name: len(commits.at_us)
            for f in manifest.files
            if f.table == GOLD_BARS.path
        }
        commits.ends.append({i.partition: i.next_offset for i in manifest.inputs.values()})
        commits.at_us.append(time.time_ns() // 1_000)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._runner.stop()
        self._thread.join()


class Empty:
    """A query that plans batches on a topic and does nothing with them."""

    name = "empty"

    def __init__(self, spark: SparkSession, bootstrap: str, workload: Workload, lake: Path) -> None:
        self.commits, self.lake = Commits(), lake
        shutil.rmtree(lake, ignore_errors=True)
        spark = spark.newSession()
        reading = Reading(spark, load_settings(stream=_STREAM), Storage(str(lake)), "checkpoint")
        self._frame = KafkaSource(bootstrap, workload.prefix).read(reading, drain=False)
        self._done = threading.Event()

    def start(self) -> None:
        # As Spark comes; the pipeline's sessions write these logs without starting processes.
        self._frame.sparkSession.conf.unset(CHECKPOINTS)
        self._query = (
            self._frame.writeStream.option("checkpointLocation", f"{self.lake}/checkpoint")
            .foreachBatch(lambda _frame, _batch: None)
            .trigger(processingTime="0 milliseconds")
            .start()
        )
        self._watch = threading.Thread(target=self._look)
        self._watch.start()

    def _look(self) -> None:
        seen = -1
        while not self._done.is_set():
            for progress in self._query.recentProgress:
                if progress.batchId <= seen or not progress.sources[0].endOffset:
                    continue
                # Progress of a trigger without data bears the number of the batch to come.
                ends = literal_eval(progress.sources[0].endOffset)
                starts = literal_eval(progress.sources[0].startOffset) or {}
                if ends == starts:
                    continue
                seen = progress.batchId
                began = np.datetime64(progress.timestamp.removesuffix("Z"), "us").astype(int)
                partitions = next(iter(ends.values()))
                self.commits.ends.append({int(p): end for p, end in partitions.items()})
                self.commits.at_us.append(int(began) + 1_000 * progress.batchDuration)
            time.sleep(_POLL_S)

    def stop(self) -> None:
        self._done.set()
        self._watch.join()
        self._query.stop()


@dataclass
class Figures:
    """One contender in one round; latencies as (p50, p95, p99), ms."""

    contender: str
    silver_ms: tuple[float, float, float]
    gold_ms: tuple[float, float, float] | None
    recovered_s: float
    worst_lag: int
    messages: int


def _percentiles(values: np.ndarray) -> tuple[float, float, float]:
    p50, p95, p99 = np.percentile(values, (50, 95, 99))
    return float(p50), float(p95), float(p99)


def turn(contender: Pipeline | Empty, producer: PacedProducer, phases: list[float]) -> Figures:
    """Run one contender over the phases: warm-up, steady, burst, steady again."""
    contender.start()
    began_us = time.time_ns() // 1_000
    producer.start()
    sent = producer.join()
    deadline = time.monotonic() + _TIMEOUT_S
    while contender.commits.taken() < sent.count:
        if time.monotonic() > deadline:
            raise SystemExit(f"{contender.name}: {contender.commits.taken()} of {sent.count} taken")
        time.sleep(_POLL_S)
    contender.stop()
    edges = [began_us + int(1e6 * sum(phases[:n])) for n in range(len(phases) + 1)]
    commits = contender.commits
    gold = None
    if isinstance(contender, Pipeline):
        gold = _percentiles(commits.bar_latencies_ms(contender.lake, sent, edges[1], edges[2]))
    steady = commits.latencies_ms(sent, edges[1], edges[2])
    worst, recovered_s = _recovery(commits, sent, edges, float(np.percentile(steady, 99)))
    return Figures(contender.name, _percentiles(steady), gold, recovered_s, worst, sent.count)


def _recovery(commits: Commits, sent: Sent, edges: list[int], usual_ms: float) -> tuple[int, float]:
    """Give the worst lag, in messages, and how long after the burst latency was usual again."""
    every = np.sort(np.concatenate([np.array(times) for times in sent.event_us.values()]))
    taken = np.array([sum(end.values()) for end in commits.ends])
    there = np.searchsorted(every, commits.at_us)
    worst = int((there - taken).max())
    step_us = 250_000
    for start in range(edges[3], edges[4], step_us):
        window = commits.latencies_ms(sent, start, start + step_us)
        if window.size and np.percentile(window, 50) <= usual_ms:
            return worst, (start - edges[3]) / 1e6
    return worst, float("nan")


def main() -> int:
    """Run the rounds; print the medians."""
    parser = argparse.ArgumentParser(description="Latency, event to readable row.")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (3)")
    parser.add_argument("--rate", type=float, default=2_000.0, help="trades a second (2000)")
    parser.add_argument("--seconds", type=float, default=40.0, help="of the steady stretch (40)")
    parser.add_argument("--work", type=Path, default=default_work_dir(), help="scratch folder")
    parser.add_argument("--json", type=Path, help="result")
    options = parser.parse_args()
    phases = [(20.0, options.rate), (options.seconds, options.rate)]
    phases += [(5.0, 10 * options.rate), (25.0, options.rate)]
    found: list[Figures] = []
    with EmbeddedBroker(options.work / "kafka") as broker:
        spark = bench_session("latency", local_options(light=True))
        for round_ in range(1, options.rounds + 1):
            for kind in (Empty, Pipeline):
                workload = Workload(1, seed=time.time_ns() // 1_000_000)
                broker.create_topic(workload.topic, PARTITIONS)
                lake = options.work / "lakes" / "latency" / kind.name
                contender = kind(spark, broker.bootstrap, workload, lake)
                producer = PacedProducer(
                    broker.bootstrap, workload.topic, workload.names, phases, workload.seed
                )
                figures = turn(contender, producer, [seconds for seconds, _ in phases])
                found.append(figures)
                print(f"round {round_} {figures}", flush=True)
        spark.stop()
    _tell(found)
    if options.json:
        options.json.write_text(json.dumps([asdict(figures) for figures in found], indent=1))
    return 0


def _tell(found: list[Figures]) -> None:
    empty = [f for f in found if f.contender == "empty"]
    ours = [f for f in found if f.contender == "pipeline"]
    print("\n| | p50, ms | p95, ms | p99, ms | p99 ÷ empty's, a round | back after a burst, s |")
    print("|---|---|---|---|---|---|")
    for label, rows, back in (
        ("empty micro-batch", [f.silver_ms for f in empty], [f.recovered_s for f in empty]),
        ("silver", [f.silver_ms for f in ours], [f.recovered_s for f in ours]),
        ("gold bar", [f.gold_ms for f in ours if f.gold_ms], []),
    ):
        p50, p95, p99 = (median(values) for values in zip(*rows, strict=True))
        ratios = " ".join(f"{r[2] / e.silver_ms[2]:.2f}" for r, e in zip(rows, empty, strict=True))
        recovered = f"{median(back):.1f}" if back else ""
        print(f"| {label} | {p50:.0f} | {p95:.0f} | {p99:.0f} | {ratios} | {recovered} |")


if __name__ == "__main__":
    sys.exit(main())
