"""Targets as URIs, and the Kafka publisher against a real broker."""

import socket
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    TIMESTAMP_CREATE_TIME,
    Consumer,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from marketlake.feeds.kafka_publisher import KafkaPublisher
from marketlake.feeds.publish import (
    BrokerUnavailableError,
    DeliveryError,
    KafkaTarget,
    KinesisTarget,
    UnsupportedTargetError,
    parse_target,
)
from marketlake.local.broker import EmbeddedBroker


@pytest.mark.parametrize(
    ("uri", "bootstrap", "prefix"),
    [
        ("kafka:localhost:9092", "localhost:9092", "market"),
        ("kafka:localhost:9092/test-1.a", "localhost:9092", "test-1.a"),
        ("kafka:one:9092,two:9093/p", "one:9092,two:9093", "p"),
    ],
)
def test_a_kafka_target_is_read(uri: str, bootstrap: str, prefix: str) -> None:
    target = parse_target(uri)
    assert target == KafkaTarget(bootstrap, prefix)
    assert parse_target(target.uri) == target


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "kafka:",
        "kafka:localhost",
        "kafka://h:1",
        "kafka:h:1/a b",
        "kafka:u:p@h:1",
        "h:1",
        "kinesis:",
        "kinesis:here",
    ],
)
def test_another_form_is_refused_with_the_right_one(uri: str) -> None:
    with pytest.raises(UnsupportedTargetError, match="supported: kafka:HOST:PORT"):
        parse_target(uri)


@pytest.mark.parametrize(
    ("uri", "region", "prefix"),
    [
        ("kinesis:eu-west-1", "eu-west-1", "market"),
        ("kinesis:us-gov-west-1/test-1.a", "us-gov-west-1", "test-1.a"),
    ],
)
def test_a_kinesis_target_is_read(uri: str, region: str, prefix: str) -> None:
    target = parse_target(uri)
    assert target == KinesisTarget(region, prefix)
    assert parse_target(target.uri) == target


def test_a_broker_that_is_down_is_told_within_the_bound() -> None:
    """Of 1 s, and not of the 10 s that it is by default."""
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(BrokerUnavailableError, match=f"no Kafka broker answers at {address}"):
            KafkaPublisher(address, connect_timeout_s=1.0)
        assert time.monotonic() - started < 9


def end_offset(consumer: Consumer, partition: TopicPartition) -> int:
    """Ask for the end of a partition; one that was made just now may have no leader yet."""
    deadline = time.monotonic() + 120
    while True:
        try:
            return consumer.get_watermark_offsets(partition, timeout=10)[1]
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def read_topic(bootstrap: str, topic: str, partitions: int) -> Iterator[tuple[int, bytes, bytes]]:
    """Give (partition, key, value) of all that stands in a topic, in each partition's order."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "test", "enable.auto.commit": False}
    )
    for partition in range(partitions):
        here = TopicPartition(topic, partition, OFFSET_BEGINNING)
        high = end_offset(consumer, TopicPartition(topic, partition))
        consumer.assign([here])
        for _ in range(high):
            message = consumer.poll(60)
            assert message is not None
            assert message.error() is None
            kind, timestamp_ms = message.timestamp()
            assert kind == TIMESTAMP_CREATE_TIME
            assert abs(timestamp_ms / 1000 - time.time()) < 600, "not the producer's wall clock"
            yield partition, message.key(), message.value()
    consumer.close()


@pytest.mark.broker
def test_what_is_published_is_read_back(broker: EmbeddedBroker) -> None:
    publisher = KafkaPublisher(broker.bootstrap, "publish-test", partitions=3)
    keys = [b"BTC-USD", b"ETH-USD", b"LINK-USDT", b"FTT-USDT"]
    for number in range(1000):
        key = keys[number % 4]
        publisher.publish("trade", key, b"%s %d" % (key, number), timestamp_us=number)
    publisher.publish("bar", b"BTC-USD", b"a bar", timestamp_us=0)
    publisher.close()

    found = list(read_topic(broker.bootstrap, "publish-test.trades", partitions=3))
    assert len(found) == 1000
    for index, key in enumerate(keys):
        mine = [(partition, value) for partition, found_key, value in found if found_key == key]
        assert [value for _, value in mine] == [
            b"%s %d" % (key, number) for number in range(index, 1000, 4)
        ]
        assert len({partition for partition, _ in mine}) == 1
    bars = list(read_topic(broker.bootstrap, "publish-test.bars", partitions=3))
    assert [(key, value) for _, key, value in bars] == [(b"BTC-USD", b"a bar")]


@pytest.mark.broker
def test_absent_topics_are_created_and_those_there_are_kept(broker: EmbeddedBroker) -> None:
    broker.create_topic("kept-test.bars", partitions=1)
    KafkaPublisher(broker.bootstrap, "kept-test", partitions=2).close()
    topics = AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=10).topics
    found = {
        name: len(topic.partitions) for name, topic in topics.items() if name.startswith("kept-")
    }
    assert found == {
        "kept-test.trades": 2,
        "kept-test.quotes": 2,
        "kept-test.books": 2,
        "kept-test.bars": 1,
    }


@pytest.mark.broker
def test_keys_are_hashed_as_java_clients_do(broker: EmbeddedBroker) -> None:
    # Kafka's own UtilsTest: murmur2("21") = -973932308, made positive 1173551340; 1173551340 % 7.
    publisher = KafkaPublisher(broker.bootstrap, "hash-test", partitions=7)
    publisher.publish("quote", b"21", b"x", timestamp_us=0)
    publisher.close()
    ((partition, _, _),) = read_topic(broker.bootstrap, "hash-test.quotes", partitions=7)
    assert partition == 1_173_551_340 % 7


@pytest.mark.broker
def test_a_message_too_large_is_refused(broker: EmbeddedBroker) -> None:
    publisher = KafkaPublisher(broker.bootstrap, "large-test")
    with pytest.raises(DeliveryError, match=r"2,000,000 bytes to large-test\.books"):
        publisher.publish("book", b"BTC-USD", bytes(2_000_000), timestamp_us=0)


@pytest.mark.broker
@pytest.mark.slow
def test_messages_that_are_not_acknowledged_are_an_error() -> None:
    with EmbeddedBroker() as own:
        publisher = KafkaPublisher(own.bootstrap, delivery_timeout_s=2.0)
        publisher.publish("trade", b"BTC-USD", b"arrives", timestamp_us=0)
        publisher.flush()
        own.kill()
        publisher.publish("trade", b"BTC-USD", b"does not arrive", timestamp_us=0)
        with pytest.raises(DeliveryError, match="was not delivered"):
            publisher.flush()
        with pytest.raises(DeliveryError, match="was not delivered"):
            publisher.publish("trade", b"BTC-USD", b"after a lost one", timestamp_us=0)
