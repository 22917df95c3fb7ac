"""Ranges of offsets from a real broker: against librdkafka, and when things go wrong."""

import threading
import time
import uuid
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from marketlake.lake.errors import LakeError
from marketlake.lake.storage import Storage
from marketlake.local.broker import EmbeddedBroker
from streaming.sources.kafka_fetch import FetchError, KafkaFetcher, OffsetRange
from streaming.sources.kafka_offsets import planned_ranges
from streaming.steps import share_out

needs_broker = pytest.mark.broker


def topic_with(broker: EmbeddedBroker, values: list[bytes], **producer: object) -> str:
    topic = f"fetch-{uuid.uuid4().hex[:8]}"
    broker.create_topic(topic, 1)
    writer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 20, **producer})
    for i, value in enumerate(values):
        writer.produce(topic, value, key=b"k%d" % (i % 3), partition=0)
        writer.poll(0)
    assert writer.flush(30) == 0
    return topic


def fetched(broker: EmbeddedBroker, topic: str, start: int, end: int, patience_s: float = 5.0):
    fetcher = KafkaFetcher(broker.bootstrap, patience_s)
    try:
        rows = []
        for table in fetcher.read(OffsetRange(topic, 0, start, end)):
            times_ms = table["source_timestamp"].cast("int64").to_pylist()
            columns = (table[name].to_pylist() for name in ("offset", "key", "value"))
            rows += list(zip(*columns, (t // 1_000 for t in times_ms), strict=True))
        return rows
    finally:
        fetcher.close()


def consumed(broker: EmbeddedBroker, topic: str, start: int, end: int):
    """The same range by librdkafka."""
    options = {"bootstrap.servers": broker.bootstrap, "group.id": "t", "enable.partition.eof": True}
    consumer = Consumer(options)
    consumer.assign([TopicPartition(topic, 0, start)])
    rows = []
    while True:
        message = consumer.poll(20)
        assert message is not None
        if message.error() or message.offset() >= end:
            break
        row = (message.offset(), message.key(), message.value(), message.timestamp()[1])
        rows.append(row)
    consumer.close()
    return rows


@needs_broker
@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_a_range_is_what_librdkafka_reads(broker, codec):
    values = [b"%d" % i * 40 for i in range(5_000)]
    topic = topic_with(broker, values, **{"compression.type": codec, "batch.size": 20_000})
    rows = fetched(broker, topic, 1_234, 4_321)
    assert [r[0] for r in rows] == list(range(1_234, 4_321))
    assert rows == consumed(broker, topic, 1_234, 4_321)


@needs_broker
def test_a_range_larger_than_one_answer_comes_whole(broker):
    values = [bytes([i % 251]) * 100_000 for i in range(300)]
    topic = topic_with(broker, values)
    assert [r[2] for r in fetched(broker, topic, 0, 300)] == values


@needs_broker
def test_a_message_larger_than_what_is_asked_for_comes(broker):
    topic = topic_with(broker, [b"x" * (4 << 20), b"y"], **{"message.max.bytes": 8 << 20})
    assert [len(r[2]) for r in fetched(broker, topic, 0, 2)] == [4 << 20, 1]


@needs_broker
def test_a_deleted_message_is_none_and_an_absent_key_too(broker):
    topic = topic_with(broker, [])
    writer = Producer({"bootstrap.servers": broker.bootstrap})
    writer.produce(topic, None, key=b"k", partition=0)
    writer.produce(topic, b"v", partition=0)
    assert writer.flush(30) == 0
    assert [r[1:3] for r in fetched(broker, topic, 0, 2)] == [(b"k", None), (None, b"v")]


@needs_broker
def test_aborted_transactions_are_not_read(broker):
    topic = topic_with(broker, [b"plain"])
    options = {"bootstrap.servers": broker.bootstrap, "transactional.id": topic}
    writer = Producer(options)
    writer.init_transactions(30)
    for value, keep in ((b"one", True), (b"two", False), (b"three", True)):
        writer.begin_transaction()
        writer.produce(topic, value, partition=0)
        writer.flush(30)
        if keep:
            writer.commit_transaction(30)
        else:
            writer.abort_transaction(30)
    # Each transaction ends with a marker, which has an offset too: 7 in all.
    rows = fetched(broker, topic, 0, 7)
    assert [(r[0], r[2]) for r in rows] == [(0, b"plain"), (1, b"one"), (5, b"three")]
    assert rows == consumed(broker, topic, 0, 7)


@needs_broker
def test_messages_that_retention_took_are_told(broker):
    topic = topic_with(broker, [b"a", b"b", b"c"])
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    for future in admin.delete_records([TopicPartition(topic, 0, 2)]).values():
        future.result(30)
    with pytest.raises(FetchError, match=r"from offset 0 to 3: messages .* are gone from Kafka"):
        fetched(broker, topic, 0, 3)
    assert [r[2] for r in fetched(broker, topic, 2, 3)] == [b"c"]


@needs_broker
def test_an_absent_topic_is_told_after_some_patience(broker):
    with pytest.raises(FetchError, match=r"no longer gives nowhere-0"):
        fetched(broker, "nowhere", 0, 1, patience_s=1.0)


@pytest.mark.slow
@needs_broker
def test_a_broker_that_comes_back_is_read_on(tmp_path: Path):
    with EmbeddedBroker(tmp_path / "kafka") as own:
        values = [b"%d" % i * 2_000 for i in range(20_000)]
        topic = topic_with(own, values)
        fetcher = KafkaFetcher(own.bootstrap, 60)
        chunks = fetcher.read(OffsetRange(topic, 0, 0, 20_000))
        rows = next(chunks)["value"].to_pylist()
        own.stop()
        later = threading.Timer(3.0, own.start)
        later.start()
        for chunk in chunks:
            rows += chunk["value"].to_pylist()
        later.join()
        assert rows == values
        own.stop()
        began_s = time.monotonic()
        with pytest.raises(FetchError, match="nothing was lost"):
            list(KafkaFetcher(own.bootstrap, 2).read(OffsetRange(topic, 0, 0, 1)))
        assert time.monotonic() - began_s < 60


def logged(lake: Path, batch: int, source_line: str) -> None:
    folder = lake / "checkpoint/offsets"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / str(batch)).write_text(f"v1\n{{}}\n{source_line}")


def test_ranges_are_those_between_two_batches(tmp_path: Path):
    (tmp_path / "checkpoint/sources/0").mkdir(parents=True)
    initial = '\0v1\n{"m.trades":{"0":3,"1":0}}'
    (tmp_path / "checkpoint/sources/0/0").write_text(initial)
    logged(tmp_path, 0, '{"m.trades":{"0":5,"1":0}}')
    logged(tmp_path, 1, '{"m.trades":{"1":4,"0":5,"10":2},"m.quotes":{"0":9}}')
    storage = Storage(str(tmp_path))
    assert planned_ranges(storage, "checkpoint", 0) == [OffsetRange("m.trades", 0, 3, 5)]
    assert planned_ranges(storage, "checkpoint", 1) == [
        OffsetRange("m.quotes", 0, 0, 9),
        OffsetRange("m.trades", 1, 0, 4),
        OffsetRange("m.trades", 10, 0, 2),
    ]
    logged(tmp_path, 2, "not json")
    with pytest.raises(LakeError, match="holds no Kafka offsets"):
        planned_ranges(storage, "checkpoint", 2)
    (tmp_path / "checkpoint/offsets/3").write_text("v9\n{}\n{}")
    with pytest.raises(LakeError, match="no offset log"):
        planned_ranges(storage, "checkpoint", 3)


def test_lanes_are_dealt_evenly_and_each_once():
    sizes = [70, 10, 30, 30, 20, 20]
    ranges = [OffsetRange("t", i, 0, size) for i, size in enumerate(sizes)]
    shares = share_out([[span] for span in ranges], 2)
    dealt = [[span for lane in share for span in lane] for share in shares]
    assert sorted(span.partition for share in dealt for span in share) == list(range(6))
    assert [sum(span.end for span in share) for share in dealt] == [90, 90]
    assert share_out([[ranges[0]]], 4) == [[[ranges[0]]]]
    assert share_out([], 4) == []


def test_a_lane_of_several_partitions_stays_together():
    spans = [OffsetRange("t", i, 0, size) for i, size in enumerate([30, 40, 50])]
    shares = share_out([[spans[1], spans[0]], [spans[2]]], 2)
    assert shares == [[[spans[0], spans[1]]], [[spans[2]]]]
