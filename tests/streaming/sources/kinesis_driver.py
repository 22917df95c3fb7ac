"""The Kinesis source driven as Spark drives it, and what writes to it; each may be killed."""

from __future__ import annotations

import json
import pickle
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa

from marketlake.kinesis.aggregation import aggregate
from streaming.sources.kinesis_data_source import KinesisStreamReader, Options
from tests.kinesis_servers import REGION, access_to, wait_until_active

KEYS = [f"K{i}" for i in range(9)]


def stream_of(url: str, shards: int = 1) -> str:
    name = f"s{uuid.uuid4().hex[:12]}"
    client = access_to(url).client()
    client.create_stream(StreamName=name, ShardCount=shards)
    wait_until_active(client, name)
    return name


@dataclass
class Writer:
    """Puts numbers under random keys, alone and aggregated; knows what it put."""

    url: str
    stream: str
    random: Random
    sent: dict[str, list[int]] = field(default_factory=dict)
    count: int = 0

    def put(self, n: int) -> None:
        client = access_to(self.url).client()
        for _ in range(n):
            key = self.random.choice(KEYS)
            several = range(self.count, self.count + self.random.choice([1, 1, 1, 2, 5]))
            self.count = several.stop
            values = [str(i).encode() for i in several]
            data = values[0] if len(values) == 1 else aggregate(key, values)
            client.put_record(StreamName=self.stream, PartitionKey=key, Data=data)
            self.sent.setdefault(key, []).extend(several)

    def split(self) -> None:
        client = access_to(self.url).client()
        shard = self.random.choice(self._open(client))
        first, last = (
            int(shard["HashKeyRange"][f"{end}HashKey"]) for end in ("Starting", "Ending")
        )
        middle = str((first + last) // 2)
        client.split_shard(
            StreamName=self.stream, ShardToSplit=shard["ShardId"], NewStartingHashKey=middle
        )
        wait_until_active(client, self.stream)

    def merge(self) -> None:
        client = access_to(self.url).client()
        shards = sorted(self._open(client), key=lambda s: int(s["HashKeyRange"]["StartingHashKey"]))
        if len(shards) < 2:
            return
        at = self.random.randrange(len(shards) - 1)
        client.merge_shards(
            StreamName=self.stream,
            ShardToMerge=shards[at]["ShardId"],
            AdjacentShardToMerge=shards[at + 1]["ShardId"],
        )
        wait_until_active(client, self.stream)

    def _open(self, client: Any) -> list[dict[str, Any]]:
        shards = client.list_shards(StreamName=self.stream)["Shards"]
        return [s for s in shards if "EndingSequenceNumber" not in s["SequenceNumberRange"]]


class _KilledError(Exception):
    """The driver died here."""


@dataclass
class Driver:
    """Does what Spark does with a source: logs an offset, runs its batch, commits it."""

    options: dict[str, str]
    random: Random
    kills: float = 0.0
    log: list[dict[str, Any]] = field(default_factory=list)
    batches: list[list[dict[str, Any]]] = field(default_factory=list)
    empty: int = 0

    def __post_init__(self) -> None:
        self.restart()

    def restart(self, **options: str) -> None:
        self.options |= options
        self.reader = KinesisStreamReader(Options.of(self.options))
        if self.log:
            assert self.reader.partitions(self.log[-1], self.log[-1]) == []

    def drain(self) -> None:
        """Run until there is nothing more."""
        self.restart(drain="true")
        while self.step():
            pass
        self.restart(drain="false")

    def step(self) -> bool:
        """Take one batch through, however often the driver dies; tell whether there was one."""
        while True:
            try:
                if len(self.log) == len(self.batches):
                    offset = json.loads(json.dumps(self.reader.latestOffset()))
                    if offset == (self.log[-1] if self.log else self._initial()):
                        return False
                    self._may_die()
                    self.log.append(offset)
                self._may_die()
                rows = self._run()
                self._may_die()
            except _KilledError:
                self.restart()
                continue
            self.batches.append(rows)
            self.empty += not rows
            self.reader.commit(self.log[-1])
            return True

    def _initial(self) -> dict[str, Any]:
        return json.loads(json.dumps(self.reader.initialOffset()))

    def _run(self) -> list[dict[str, Any]]:
        start = self.log[-2] if len(self.log) > 1 else self._initial()
        rows: list[dict[str, Any]] = []
        for partition in self.reader.partitions(start, self.log[-1]):
            task = pickle.dumps((self.reader.__class__, self.reader._options, partition))
            taken = self._task(task)
            self._may_die()
            if self.random.random() < 0.3:
                assert self._task(task) == taken
            rows += taken
        return rows

    @staticmethod
    def _task(task: bytes) -> list[dict[str, Any]]:
        kind, options, partition = pickle.loads(task)
        batches: Iterator[pa.RecordBatch] = kind(options).read(partition)
        return [row for batch in batches for row in batch.to_pylist()]

    def _may_die(self) -> None:
        if self.random.random() < self.kills:
            raise _KilledError

    def rows(self) -> list[dict[str, Any]]:
        return [row for batch in self.batches for row in batch]


def driver_of(url: str, stream: str, folder: Path, random: Random, **options: Any) -> Driver:
    given = {
        "region": REGION,
        "endpoint_url": url,
        "streams": stream,
        "metadata_path": str(folder / uuid.uuid4().hex),
        "poll_ms": "1",
        "pause_ms": "0",
        "give_up_s": "5",
        "tasks": "3",
    }
    kills = options.pop("kills", 0.0)
    return Driver(given | {name: str(v) for name, v in options.items()}, random, kills)


def assert_all_once_and_in_order(driver: Driver, writer: Writer) -> None:
    rows = driver.rows()
    offsets: dict[int, list[int]] = {}
    values: dict[str, list[int]] = {}
    for row in rows:
        offsets.setdefault(row["partition"], []).append(row["offset"])
        values.setdefault(row["key"].decode(), []).append(int(row["value"]))
    assert values == writer.sent
    assert all(found == list(range(len(found))) for found in offsets.values())


def number_of_records(driver: Driver) -> list[int]:
    return [len(batch) for batch in driver.batches]
