"""The Kinesis source by itself, driven as Spark drives it, and killed as Spark may be.

Whatever the bounds, the restarts and the faults: every record comes once, with offsets from 0 on,
in the order of its key, the records of a shard after all of the shards it was made from.
"""

from __future__ import annotations

import json
import pickle
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketlake.kinesis.aggregation import aggregate
from marketlake.kinesis.client import KinesisAccess, KinesisError
from streaming.sources.kinesis_data_source import KinesisStreamReader, Options
from tests.kinesis_faults import Faults, FaultyKinesis
from tests.kinesis_servers import REGION, access_to, kinesalite_server, wait_until_active

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


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.integers(0, 2**32),
    st.integers(1, 30),
    st.integers(1, 200),
    st.sampled_from([0.0, 0.1, 0.3]),
)
def test_every_record_once_whatever_the_bounds_and_restarts(
    moto: str, tmp_path_factory, seed: int, records: int, size_bytes: int, kills: float
):
    random = Random(seed)
    stream = stream_of(moto, shards=random.choice([1, 3]))
    writer = Writer(moto, stream, random)
    writer.put(40)
    driver = driver_of(
        moto,
        stream,
        tmp_path_factory.mktemp("ends"),
        random,
        max_records_per_shard=records,
        max_bytes_per_shard=size_bytes,
        kills=kills,
    )
    for _ in range(4):
        driver.step()
        writer.put(3)
    driver.drain()
    assert_all_once_and_in_order(driver, writer)


@pytest.mark.parametrize("seed", range(4))
def test_shards_that_split_and_merge_while_they_are_read(kinesalite: str, tmp_path, seed: int):
    random = Random(seed)
    stream = stream_of(kinesalite, shards=2)
    writer = Writer(kinesalite, stream, random)
    driver = driver_of(kinesalite, stream, tmp_path, random, max_records_per_shard=7, kills=0.15)
    for _ in range(4):
        writer.put(15)
        driver.step()
        random.choice([writer.split, writer.merge, writer.split])()
    writer.put(15)
    driver.drain()
    assert_all_once_and_in_order(driver, writer)
    assert_parents_come_first(kinesalite, stream, driver)


def assert_parents_come_first(url: str, stream: str, driver: Driver) -> None:
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for number, batch in enumerate(driver.batches):
        for row in batch:
            first.setdefault(row["partition"], number)
            last[row["partition"]] = number
    shards = access_to(url).client().list_shards(StreamName=stream)["Shards"]
    relations = 0
    for shard in shards:
        child = int(shard["ShardId"][-12:])
        for name in ("ParentShardId", "AdjacentParentShardId"):
            parent = int(shard[name][-12:]) if name in shard else -1
            if child in first and parent in last:
                relations += 1
                assert last[parent] < first[child]
    assert relations > 1


@pytest.mark.parametrize("seed", [1, 2])
def test_throttling_faults_and_iterators_that_expire(moto: str, tmp_path, seed: int):
    random = Random(seed)
    stream = stream_of(moto, shards=2)
    writer = Writer(moto, stream, random)
    writer.put(40)
    faults = Faults(seed, throttled=0.06, broken=0.03, unanswered=0.03, expired_iterator=0.1)
    with FaultyKinesis(moto, faults) as faulty:
        driver = driver_of(faulty.url, stream, tmp_path, random, max_records_per_shard=9)
        driver.drain()
    assert_all_once_and_in_order(driver, writer)
    assert min(faults.count[name] for name in ("throttled", "expired_iterator")) > 0


def test_two_attempts_at_once_give_the_same_rows(moto: str, tmp_path):
    stream = stream_of(moto)
    writer = Writer(moto, stream, Random(1))
    writer.put(30)
    driver = driver_of(moto, stream, tmp_path, Random(1))
    offset = driver.reader.latestOffset()
    (partition,) = driver.reader.partitions(driver.reader.initialOffset(), offset)
    task = pickle.dumps((KinesisStreamReader, driver.reader._options, partition))
    with ThreadPoolExecutor(5) as pool:
        attempts = [pool.submit(driver._task, task) for _ in range(4)]
        pool.submit(writer.put, 30).result()
        attempts.append(pool.submit(driver._task, task))
    first, *others = [attempt.result() for attempt in attempts]
    assert first
    assert all(other == first for other in others)


def test_nothing_new_makes_no_batch(moto: str, tmp_path):
    stream = stream_of(moto, shards=2)
    writer = Writer(moto, stream, Random(1))
    driver = driver_of(moto, stream, tmp_path, Random(1))
    # Each shard is looked at once, so that it is known.
    assert driver.step()
    assert not any(driver.step() for _ in range(20))
    writer.put(1)
    assert driver.step()
    assert not any(driver.step() for _ in range(20))
    assert len(driver.rows()) == writer.count
    driver.restart()
    assert not any(driver.step() for _ in range(5))


def test_a_backlog_is_read_in_even_batches(moto: str, tmp_path):
    stream = stream_of(moto)
    client = access_to(moto).client()
    for n in range(200):
        client.put_record(StreamName=stream, PartitionKey="K", Data=b"%04d" % n)
    by_records = driver_of(moto, stream, tmp_path, Random(1), max_records_per_shard=60)
    by_records.drain()
    assert number_of_records(by_records) == [60, 60, 60, 20]
    by_bytes = driver_of(moto, stream, tmp_path, Random(1), max_bytes_per_shard=4 * 50)
    by_bytes.drain()
    assert number_of_records(by_bytes)[:4] == [50, 50, 50, 50]
    over_all = driver_of(moto, stream, tmp_path, Random(1), max_records=100)
    over_all.drain()
    assert number_of_records(over_all)[:2] == [100, 100]


def test_time_bounds_a_read_too(moto: str, tmp_path):
    stream = stream_of(moto)
    writer = Writer(moto, stream, Random(1))
    writer.put(10)
    with FaultyKinesis(moto, Faults()) as faulty:

        def few(action: str, body: dict[str, Any]) -> None:
            # As a shard may: fewer records than were asked for, and the caller is behind.
            if action == "GetRecords":
                body["Limit"] = 1

        faulty.before = few
        driver = driver_of(faulty.url, stream, tmp_path, Random(1), max_read_ms_per_shard=1)
        driver.drain()
    assert len([batch for batch in driver.batches if batch]) == 10
    assert_all_once_and_in_order(driver, writer)


def test_start_positions(moto: str, tmp_path):
    stream = stream_of(moto)
    client = access_to(moto).client()
    numbers = [
        client.put_record(StreamName=stream, PartitionKey="K", Data=b"%d" % n)["SequenceNumber"]
        for n in range(5)
    ]

    def read(**options: Any) -> list[bytes]:
        driver = driver_of(moto, stream, tmp_path, Random(1), **options)
        driver.drain()
        return [row["value"] for row in driver.rows()]

    assert read() == [b"0", b"1", b"2", b"3", b"4"]
    at = json.dumps({stream: {"shardId-000000000000": numbers[3]}})
    assert read(starting_sequences=at) == [b"3", b"4"]
    assert read(starting_position="2001-01-01T00:00:00Z") == [b"0", b"1", b"2", b"3", b"4"]


def test_latest_begins_where_it_was_first_asked(moto: str, tmp_path):
    stream = stream_of(moto)
    writer = Writer(moto, stream, Random(1))
    writer.put(5)
    time.sleep(1.1)
    driver = driver_of(moto, stream, tmp_path, Random(1), starting_position="latest")
    before = writer.count
    driver.reader.initialOffset()
    time.sleep(0.01)
    writer.put(5)
    driver.restart()
    driver.drain()
    assert [int(row["value"]) for row in driver.rows()] == list(range(before, writer.count))


def test_drain_reads_what_was_there_while_producers_go_on(moto: str, tmp_path):
    stream = stream_of(moto)
    writer = Writer(moto, stream, Random(1))
    writer.put(50)
    there = writer.count
    driver = driver_of(moto, stream, tmp_path, Random(1), max_records_per_shard=9)
    driver.restart(drain="true")
    steps = 0
    while driver.step():
        steps += 1
        writer.put(1)
        time.sleep(0.05)
        assert steps < 500
    assert len(driver.rows()) >= there


def test_expired_records_are_an_error_unless_told_otherwise(tmp_path: Path):
    day_ms = 86_400_000
    with kinesalite_server(tmp_path) as url:
        clock = tmp_path / "clock"
        clock.write_text(str(-2 * day_ms))
        stream = stream_of(url)
        writer = Writer(url, stream, Random(1))
        writer.put(10)
        driver = driver_of(url, stream, tmp_path, Random(1), max_records_per_shard=4)
        assert driver.step()
        read = len(driver.rows())
        clock.write_text("0")
        kept = Writer(url, stream, Random(2), count=1_000)
        kept.put(5)
        # The planner knows when it read; what a restart knows is in the recorded end.
        for end in Path(driver.options["metadata_path"], "ends").iterdir():
            text = json.loads(end.read_text())
            text["known_ms"] -= 2 * day_ms
            end.write_text(json.dumps(text))
        beginning = driver.log[-1]["streams"][stream]["shards"]["shardId-000000000000"]
        beginning["known_ms"] -= 2 * day_ms
        driver.restart()
        with pytest.raises(KinesisError, match=r"may have expired \(they are kept for 24 h\)"):
            driver.step()
        driver.restart(fail_on_data_loss="false")
        # An expired record is an empty answer of kinesalite, which does not say how far it is.
        for _ in range(40):
            driver.step()
        rows = driver.rows()
        assert [int(row["value"]) for row in rows[read:]] == list(range(1_000, kept.count))
        assert [row["offset"] for row in rows] == list(range(len(rows)))


def test_a_stream_made_anew_is_told(moto: str, tmp_path):
    stream = stream_of(moto)
    Writer(moto, stream, Random(1)).put(3)
    driver = driver_of(moto, stream, tmp_path, Random(1))
    driver.step()
    client = access_to(moto).client()
    client.delete_stream(StreamName=stream)
    client.create_stream(StreamName=stream, ShardCount=1)
    driver.restart()
    with pytest.raises(KinesisError, match="was deleted and created anew"):
        driver.step()


def test_absent_streams_are_told(moto: str, tmp_path):
    with pytest.raises(KinesisError, match="Kinesis in us-east-1 has none of the streams nowhere"):
        driver_of(moto, "nowhere", tmp_path, Random(1)).step()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"regoin": "x"}, "has no option regoin"),
        ({"streams": ""}, "needs the option streams"),
        ({"starting_position": "noon"}, "starting_position is trim_horizon, latest, or a time"),
        ({"starting_sequences": "[]"}, "starting_sequences is JSON such as"),
        ({"max_records_per_shard": "0"}, "is a whole number of at least 1"),
        ({"drain": "yes"}, "drain is true or false"),
        ({"metadata_s3": '{"encryption": "rot13"}'}, "metadata_s3: encryption: input should be"),
    ],
)
def test_wrong_options_are_told(options: dict[str, str], message: str):
    good = {"region": REGION, "streams": "s", "metadata_path": "/tmp"}
    with pytest.raises(KinesisError, match=message):
        Options.of(good | options)


def test_a_role_is_assumed(moto: str, monkeypatch: pytest.MonkeyPatch):
    stream = stream_of(moto)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    role = "arn:aws:iam::123456789012:role/reader"
    client = KinesisAccess(REGION, moto, role, "their-id").client()
    found = client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
    assert found["StreamName"] == stream
    # moto gives whoever assumes a role keys of its own.
    assert client._request_signer._credentials.access_key.startswith("ASIA")
