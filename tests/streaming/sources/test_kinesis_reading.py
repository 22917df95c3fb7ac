"""The Kinesis source by itself, driven as Spark drives it, and killed as Spark may be.

Whatever the bounds, the restarts and the faults: every record comes once, with offsets from 0 on,
in the order of its key, the records of a shard after all of the shards it was made from.
"""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketlake.kinesis.aggregation import aggregate
from streaming.sources.kinesis_cursor import Answer, ShardCursor
from streaming.sources.kinesis_data_source import KinesisStreamReader
from tests.kinesis_faults import Faults, FaultyKinesis
from tests.kinesis_servers import access_to

from .kinesis_driver import (
    Driver,
    Writer,
    assert_all_once_and_in_order,
    driver_of,
    number_of_records,
    stream_of,
)


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


def test_of_aggregated_records_no_more_are_asked_for_than_a_batch_takes(
    moto: str, tmp_path, monkeypatch: pytest.MonkeyPatch
):
    stream, client = stream_of(moto), access_to(moto).client()
    for first in range(0, 3_000, 10):
        data = aggregate("K1", [str(n).encode() for n in range(first, first + 10)])
        client.put_record(StreamName=stream, PartitionKey="K1", Data=data)
    got: list[int] = []
    take = ShardCursor.take

    def counted(cursor: ShardCursor, limit: int) -> Answer:
        answer = take(cursor, limit)
        got.append(len(answer.records))
        return answer

    monkeypatch.setattr(ShardCursor, "take", counted)
    driver = driver_of(moto, stream, tmp_path, Random(1), max_records_per_shard=300)
    driver.drain()
    assert [int(row["value"]) for row in driver.rows()] == list(range(3_000))
    assert number_of_records(driver) == [300] * 10
    # What records hold is learnt from the first call, which may get all of them; some
    # batches the driver reads again.
    assert sum(got) <= 300 + 2 * 1.1 * 270


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
