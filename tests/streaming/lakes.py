"""What the tests of the stream share: topics filled once, lakes filled from them, comparison."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from pyspark.sql import SparkSession

from marketlake.contracts.events import EventType, topic_of
from marketlake.contracts.tables import BRONZE_EVENTS, SILVER_QUARANTINE, STREAM_TABLES
from marketlake.feeds.kafka_publisher import KafkaPublisher
from marketlake.feeds.recorded.catalog import Recording
from marketlake.feeds.replay import ReplaySummary, replay
from marketlake.feeds.simulator.config import SimulationConfig
from marketlake.feeds.simulator.market import simulate
from marketlake.feeds.simulator.wire_corruption import fuzz_messages
from marketlake.lake.compare import lake_differences
from marketlake.lake.manifests import Manifest, Manifests
from marketlake.lake.query import open_lake
from marketlake.lake.storage import Storage
from marketlake.local.broker import EmbeddedBroker
from marketlake.settings.model import IndicatorSettings, Settings, load_settings
from streaming.pipeline import PIPELINE
from streaming.runner import StreamRunner, StreamSummary
from streaming.sources.kafka import KafkaSource
from streaming.stages.indicators import table_of
from streaming.state_compare import state_differences

Message = tuple[EventType, bytes | None, bytes]

COMPARED = [*(t for t in STREAM_TABLES if t.layer != "bronze"), table_of(IndicatorSettings())]


def faulty_market(seed: int, seconds: int) -> SimulationConfig:
    """A market with many late, duplicated and reordered messages."""
    return SimulationConfig(
        seed=seed,
        duration_s=seconds,
        trades_per_second=60,
        quotes_per_second=60,
        books_per_second=10,
        late_rate=0.02,
        duplicate_rate=0.02,
        reorder_rate=0.02,
    )


LATENESS = {"lateness_ms": 60_000, "quote_lateness_ms": 60_000}
"""With it no message of :func:`punctual_market` is too late, however partitions interleave."""


def punctual_market(seed: int, seconds: int) -> list[Message]:
    """A market with doubled and reordered messages, none too late for its partition."""
    market = SimulationConfig(
        seed=seed,
        duration_s=seconds,
        trades_per_second=12,
        quotes_per_second=8,
        books_per_second=2,
        late_rate=0.02,
        late_max_s=5.0,
        duplicate_rate=0.02,
        reorder_rate=0.02,
    )
    return list(simulate(market).messages())


def quarantine_reasons(lake: Path) -> list[tuple[str, int]]:
    """Count the quarantine by reason."""
    query = (
        "SELECT unnest(reasons) AS reason, count(*) FROM silver.quarantine GROUP BY 1 ORDER BY 1"
    )
    return open_lake(str(lake)).sql(query).fetchall()


def assert_same_market(lake: Path, other: Path) -> None:
    """Compare all but where refused messages stood."""
    tables = [table for table in COMPARED if table is not SILVER_QUARANTINE]
    assert lake_differences(str(lake), str(other), tables) == []
    assert quarantine_reasons(lake) == quarantine_reasons(other)


def manifests_of(lake: Path) -> list[Manifest]:
    """Read all manifests of a lake, in order."""
    manifests = Manifests(Storage(str(lake)), PIPELINE)
    return [manifests.read(sequence) for sequence in manifests.sequences()]


def market_messages(seed: int, seconds: int, fuzz: int = 0) -> list[Message]:
    """The messages of a faulty market, and junk in between."""
    messages: list[Message] = list(simulate(faulty_market(seed, seconds)).messages())
    types: list[EventType] = ["trade", "quote", "book", "bar"]
    step = max(1, len(messages) // (fuzz + 1))
    for i, junk in enumerate(fuzz_messages(seed, fuzz)):
        messages.insert(min(len(messages), (i + 1) * step), (types[i % 4], b"junk", junk))
    return messages


def publish(
    broker: EmbeddedBroker,
    messages: Iterable[Message],
    partitions: int = 3,
    *,
    by_key: bool = True,
) -> str:
    """Fill topics of a new prefix, and give the source that reads them."""
    prefix = f"t{uuid.uuid4().hex[:12]}"
    types: list[EventType] = ["trade", "quote", "book", "bar"]
    for event_type in types:
        broker.create_topic(topic_of(event_type, prefix), partitions)
    send(broker, prefix, messages, None if by_key else partitions)
    return f"kafka:{broker.bootstrap}/{prefix}"


def publish_recording(broker: EmbeddedBroker, recording: Recording) -> tuple[str, ReplaySummary]:
    """Publish recorded data to topics of a new prefix; give their source and what was sent."""
    prefix = f"t{uuid.uuid4().hex[:12]}"
    publisher = KafkaPublisher(broker.bootstrap, prefix)
    summary = replay(recording, publisher)
    publisher.close()
    return f"kafka:{broker.bootstrap}/{prefix}", summary


def send(
    broker: EmbeddedBroker, prefix: str, messages: Iterable[Message], around: int | None = None
) -> None:
    """Publish messages in order, by their keys or in turn to so many partitions."""
    producer = Producer(
        {"bootstrap.servers": broker.bootstrap, "enable.idempotence": True, "linger.ms": 20}
    )
    for n, (event_type, key, value) in enumerate(messages):
        place = {} if around is None else {"partition": n % around}
        producer.produce(topic_of(event_type, prefix), value, key, **place)
        producer.poll(0)
    assert producer.flush(60) == 0


def settings_with(**stream: Any) -> Settings:
    """Default settings with some of the stream's replaced."""
    return load_settings(stream=stream)


def fill(
    spark: SparkSession, source: str, lake: Path, settings: Settings | None = None
) -> StreamSummary:
    """Drain a source into a lake."""
    runner = StreamRunner(spark, KafkaSource.parse(source), str(lake), settings or settings_with())
    return runner.run(until_idle=True)


def assert_same(lake: Path, other: Path) -> None:
    """Compare two lakes row for row, bit for bit."""
    assert lake_differences(str(lake), str(other), [BRONZE_EVENTS, *COMPARED]) == []


def assert_same_state(lake: Path, other: Path) -> None:
    """Compare what the folds of two lakes hold, bit for bit."""
    assert state_differences(str(lake), str(other)) == []
