"""Fills a topic with seeded trades, once: in time order, and so in order in every partition.

``python benchmarks/generate.py --bootstrap HOST:PORT --rows N``; `ensure` is what `run` calls.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from typing import Final

import numpy as np
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from workload import (
    CONVERSIONS,
    PARTITIONS,
    START_US,
    VENUES,
    Workload,
    add_workload_arguments,
    workload_of,
)

from marketlake.contracts.events import Trade, encode

_TIMEOUT_S: Final = 30.0
_POLL_S: Final = 0.2
_CHUNK: Final = 100_000
_RETURN: Final = 1e-4
"""Standard deviation of the log return from one trade of an instrument to its next."""


def trades(workload: Workload) -> Iterator[tuple[str, bytes]]:
    """Give each trade as its key and its bytes on the wire."""
    rng = np.random.default_rng(workload.seed)
    names = workload.names
    price = [CONVERSIONS.get(n, float(100 * np.exp(rng.normal()))) for n in names]
    for start in range(0, workload.rows, _CHUNK):
        n = min(_CHUNK, workload.rows - start)
        which = rng.integers(0, len(names), n).tolist()
        venue = rng.integers(0, len(VENUES), n).tolist()
        move = rng.normal(0, _RETURN, n).tolist()
        quantity = rng.exponential(1, n).tolist()
        for i in range(n):
            k = which[i]
            price[k] *= 1 + move[i]
            number = start + i
            trade = Trade(
                VENUES[venue[i]],
                names[k],
                START_US + number * workload.step_us,
                round(price[k], 6),
                # No trade of nothing.
                round(quantity[i] + 0.0001, 4),
                str(number),
                "buy" if move[i] > 0 else "sell",
            )
            yield names[k], encode(trade)


def count(bootstrap: str, topic: str) -> list[int]:
    """Messages in each partition of a topic."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "marketlake-bench"})
    try:
        return [_end(consumer, TopicPartition(topic, p)) for p in range(PARTITIONS)]
    finally:
        consumer.close()


def _end(consumer: Consumer, partition: TopicPartition) -> int:
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            return int(consumer.get_watermark_offsets(partition, _TIMEOUT_S)[1])
        except KafkaException:
            # A broker that has just started does not lead every partition yet.
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL_S)


def ensure(bootstrap: str, workload: Workload) -> None:
    """Fill the topic of a workload unless it is full.

    Raises
    ------
    SystemExit
        If the topic holds something else: a fill was cut short.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap})
    if workload.topic in admin.list_topics(timeout=_TIMEOUT_S).topics:
        held = sum(count(bootstrap, workload.topic))
        if held == workload.rows:
            return
        raise SystemExit(
            f"topic {workload.topic} holds {held} messages, not {workload.rows}: a fill was cut "
            "short; remove the work folder"
        )
    topic = NewTopic(workload.topic, PARTITIONS, 1)
    try:
        admin.create_topics([topic])[workload.topic].result(_TIMEOUT_S)
    except KafkaException as error:
        raise SystemExit(f"topic {workload.topic} not created: {error}") from error
    _fill(bootstrap, workload)


def _fill(bootstrap: str, workload: Workload) -> None:
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",
            "linger.ms": 50,
            "batch.num.messages": 10_000,
            "queue.buffering.max.messages": 500_000,
        }
    )
    for number, (key, value) in enumerate(trades(workload)):
        while True:
            try:
                producer.produce(workload.topic, value, key)
                break
            except BufferError:
                producer.poll(0.1)
        if number % 1_000 == 0:
            producer.poll(0)
    producer.flush()


def partition_of(bootstrap: str, workload: Workload) -> dict[str, int]:
    """Partition of each instrument of ``CONVERSIONS``, read back from the topic."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "marketlake-bench",
            "enable.auto.commit": False,
        }
    )
    consumer.assign([TopicPartition(workload.topic, p, 0) for p in range(PARTITIONS)])
    found: dict[str, int] = {}
    deadline = time.monotonic() + _TIMEOUT_S
    try:
        while len(found) < len(CONVERSIONS) and time.monotonic() < deadline:
            for message in consumer.consume(10_000, 0.5):
                key = (message.key() or b"").decode()
                if key in CONVERSIONS:
                    found[key] = message.partition()
    finally:
        consumer.close()
    return found


def main() -> int:
    """Fill one topic; say how long it took and where the conversions lie."""
    parser = argparse.ArgumentParser(description="Fill a topic with seeded trades.")
    parser.add_argument("--bootstrap", required=True, help="host:port of a Kafka broker")
    add_workload_arguments(parser)
    options = parser.parse_args()
    workload = workload_of(options)
    started = time.monotonic()
    ensure(options.bootstrap, workload)
    held = count(options.bootstrap, workload.topic)
    print(f"{workload.topic}: {held} messages a partition, {time.monotonic() - started:.1f} s")
    print(f"partitions {partition_of(options.bootstrap, workload)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
