"""A Kinesis on this machine that holds the trades of a workload, and how fast it alone gives them.

The servers are those of the tests: moto, and kinesalite (npm). Both hold everything in memory, so
a stream is filled anew in each run.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import psutil
from generate import trades
from session import CORES
from workload import PARTITIONS, Workload

from marketlake.contracts.events import TOPICS, topic_of
from marketlake.feeds.kinesis_publisher import KinesisPublisher
from marketlake.kinesis.client import KinesisAccess

sys.path.append(str(Path(__file__).resolve().parent.parent))
from tests.kinesis_servers import REGION, kinesalite_server
from tests.s3_servers import NO_AWS, moto

EMULATORS: Final = {"moto": "moto.server", "kinesalite": "cli.js"}
"""The servers, each with what its command line holds."""

_CALL_RECORDS: Final = 10_000
"""As many as the stream's readers ask for, which is as many as Kinesis gives."""


@dataclass(frozen=True)
class KinesisPlace:
    """A running server.

    Attributes
    ----------
    process : psutil.Process
        Of the server.
    """

    url: str
    process: psutil.Process

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which the stream reads here, and never from the real AWS."""
        return {**NO_AWS, "AWS_ENDPOINT_URL_KINESIS": self.url, "AWS_REGION": REGION}

    @property
    def access(self) -> KinesisAccess:
        """How a client reaches it."""
        return KinesisAccess(REGION, self.url)

    def source(self, workload: Workload) -> str:
        """Name the streams of a workload, as ``--source`` takes them."""
        return f"kinesis:{REGION}/{workload.prefix}"

    def fill(self, workload: Workload, *, aggregate: bool) -> None:
        """Publish the trades of a workload, and leave their stream alone."""
        publisher = KinesisPublisher(
            self.access, workload.prefix, shards=PARTITIONS, aggregate=aggregate
        )
        for number, (key, value) in enumerate(trades(workload)):
            publisher.publish("trade", key.encode(), value, number * workload.step_us)
        publisher.close()
        # Kafka has a topic of trades alone, too.
        for event_type in TOPICS:
            if event_type != "trade":
                stream = topic_of(event_type, workload.prefix)
                self.access.client().delete_stream(StreamName=stream)

    def take(self, workload: Workload) -> Taken:
        """Read the stream of a workload by bare clients, as many at once as there are cores."""
        stream = workload.topic
        listed = self.access.client().list_shards(StreamName=stream)["Shards"]
        shards = [shard["ShardId"] for shard in listed]
        # Forks would share the connections of this process.
        with ProcessPoolExecutor(CORES, mp_context=get_context("spawn")) as pool:
            # Started and connected before the clock runs.
            for ready in [pool.submit(_connect, self.url) for _ in range(CORES)]:
                ready.result()
            before_s, started = sum(self.process.cpu_times()[:2]), time.monotonic()
            parts = [pool.submit(_take, self.url, stream, shard) for shard in shards]
            found = [part.result() for part in parts]
            wall_s = time.monotonic() - started
        return Taken(
            wall_s,
            sum(self.process.cpu_times()[:2]) - before_s,
            sum(records for records, _ in found),
            sum(size for _, size in found),
        )


@dataclass(frozen=True)
class Taken:
    """What bare clients took.

    Attributes
    ----------
    server_cpu_s : float
        What the server used meanwhile.
    records, size_bytes : int
        Of Kinesis, as they came: an aggregated one is one.
    """

    wall_s: float
    server_cpu_s: float
    records: int
    size_bytes: int


@contextmanager
def kinesis(emulator: str, folder: Path) -> Iterator[KinesisPlace]:
    """Run one of ``EMULATORS``."""
    folder.mkdir(parents=True, exist_ok=True)
    if emulator == "moto":
        with moto() as server:
            yield KinesisPlace(server.url, _process("moto"))
    else:
        with kinesalite_server(folder) as url:
            yield KinesisPlace(url, _process(emulator))


def _process(emulator: str) -> psutil.Process:
    """Find the server among the children of this process."""
    sign = EMULATORS[emulator]
    for child in psutil.Process().children():
        if any(sign in word for word in child.cmdline()):
            return child
    raise SystemExit(f"{emulator} does not run")


def _connect(url: str) -> None:
    KinesisAccess(REGION, url).client().list_streams()
    # So that the other process gets the next of these.
    time.sleep(0.5)


def _take(url: str, stream: str, shard: str) -> tuple[int, int]:
    client: Any = KinesisAccess(REGION, url).client()
    iterator = client.get_shard_iterator(
        StreamName=stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    records = size = 0
    while True:
        answer = client.get_records(ShardIterator=iterator, Limit=_CALL_RECORDS)
        records += len(answer["Records"])
        size += sum(len(record["Data"]) for record in answer["Records"])
        iterator = answer.get("NextShardIterator")
        if not answer["Records"] or not iterator:
            return records, size
