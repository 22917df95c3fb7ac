"""Instruments that come from several partitions: partitions were added, or messages have no key."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions
from pyspark.sql import SparkSession

from marketlake.contracts.events import topic_of
from marketlake.lake.query import open_lake
from marketlake.local.broker import EmbeddedBroker
from spark_jobs.reconcile_command import reconcile
from streaming.runner import StreamRunner
from streaming.sources.kafka import KafkaSource

from .crashes import crash
from .lakes import (
    COMPARED,
    LATENESS,
    Message,
    assert_same,
    assert_same_market,
    assert_same_state,
    fill,
    manifests_of,
    publish,
    punctual_market,
    quarantine_reasons,
    send,
    settings_with,
)

pytestmark = [pytest.mark.spark, pytest.mark.broker, pytest.mark.slow]

TYPES = ("trade", "quote", "book", "bar")


@pytest.fixture(scope="module")
def messages() -> list[Message]:
    return punctual_market(seed=23, seconds=400)


@pytest.fixture(scope="module")
def in_one_partition(
    spark: SparkSession, broker: EmbeddedBroker, messages: list[Message], tmp_path_factory
) -> Path:
    lake = tmp_path_factory.mktemp("one") / "lake"
    fill(spark, publish(broker, messages, partitions=1), lake, settings_with(**LATENESS))
    assert dict(quarantine_reasons(lake)).keys() == {"duplicate"}
    return lake


def without_keys(messages: list[Message]) -> list[Message]:
    return [(kind, None, value) for kind, _, value in messages]


def controls_of(lake: Path) -> Counter[str]:
    query = "SELECT source, topic FROM bronze.events WHERE source <> 'kafka'"
    rows = open_lake(str(lake)).sql(query).fetchall()
    return Counter(source.removeprefix("marketlake/") for source, _ in rows)


def test_partitions_that_are_added_do_not_show(
    spark: SparkSession,
    broker: EmbeddedBroker,
    messages: list[Message],
    in_one_partition: Path,
    tmp_path: Path,
):
    half = len(messages) // 2
    source = publish(broker, messages[:half], partitions=2)
    prefix = KafkaSource.parse(source).prefix
    settings = settings_with(
        **LATENESS, max_offsets_per_batch=6_000, trigger_ms=0, settle_ms=60_000
    )
    runner = StreamRunner(spark, KafkaSource.parse(source), str(tmp_path / "lake"), settings)

    def grown() -> bool:
        # While the stream is at work on what is there: some of it is read after the change.
        if runner.pipeline.last is None:
            return False
        topics = [NewPartitions(topic_of(kind, prefix), 5) for kind in TYPES]
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        for created in admin.create_partitions(topics).values():
            created.result(30)
        send(broker, prefix, messages[half:])
        return True

    runner.run(until_idle=True, complete=grown)
    assert_same_market(in_one_partition, tmp_path / "lake")
    lanes = [m for m in manifests_of(tmp_path / "lake") if m.kind == "lanes"]
    assert lanes
    assert any(position.lane for position in lanes[0].inputs.values())
    # Each instrument has come from its new partition for long enough: they are alone again.
    assert controls_of(tmp_path / "lake")["part"] > 0
    assert not any(
        position.lane for position in manifests_of(tmp_path / "lake")[-1].inputs.values()
    )
    assert reconcile(str(tmp_path / "lake"), settings) == []


@pytest.mark.parametrize(("reader", "offsets"), [("workers", 9_000), ("spark", 10_000_000)])
def test_messages_without_a_key_do_not_show(
    spark: SparkSession,
    broker: EmbeddedBroker,
    messages: list[Message],
    in_one_partition: Path,
    tmp_path: Path,
    reader: str,
    offsets: int,
):
    source = publish(broker, without_keys(messages), partitions=3, by_key=False)
    settings = settings_with(**LATENESS, kafka_reader=reader, max_offsets_per_batch=offsets)
    fill(spark, source, tmp_path / "lake", settings)
    assert_same_market(in_one_partition, tmp_path / "lake")
    last = manifests_of(tmp_path / "lake")[-1]
    assert {position.lane for position in last.inputs.values()} == {
        f"{topic_of(kind, KafkaSource.parse(source).prefix)}-0" for kind in TYPES
    }
    assert reconcile(str(tmp_path / "lake"), settings) == []


def test_a_restart_knows_which_lane_an_instrument_belongs_to(
    spark: SparkSession, broker: EmbeddedBroker, messages: list[Message], tmp_path: Path
):
    source = publish(broker, messages[:4_000], partitions=2)
    settings = settings_with(lateness_ms=300_000, quote_lateness_ms=300_000)
    fill(spark, source, tmp_path / "lake", settings)
    assert controls_of(tmp_path / "lake").keys() == {"end"}
    prefix = KafkaSource.parse(source).prefix
    send(broker, prefix, without_keys(messages[4_000:8_000]), around=2)
    fill(spark, source, tmp_path / "lake", settings)
    assert controls_of(tmp_path / "lake")["join"] > 0
    assert reconcile(str(tmp_path / "lake"), settings) == []
    rows = open_lake(str(tmp_path / "lake"))
    for table in COMPARED:
        key = ", ".join(f'"{column}"' for column in table.key)
        name = f"{table.layer}.{table.name}"
        query = f"SELECT {key} FROM {name} GROUP BY ALL HAVING count(*) > 1 LIMIT 1"
        assert not rows.sql(query).fetchall(), name


def test_killed_around_the_joining_of_lanes(
    spark: SparkSession, broker: EmbeddedBroker, messages: list[Message], tmp_path: Path
):
    source = publish(broker, without_keys(messages[:12_000]), partitions=2, by_key=False)
    settings = settings_with(max_offsets_per_batch=3_000)
    fill(spark, source, tmp_path / "undisturbed", settings)
    lake = tmp_path / "lake"
    # The first batch to be decided is that which joins the lanes; the second has the messages.
    for point, count in (("manifest", 1), ("before manifest", 1), ("bronze/events", 1)):
        crash(source, lake, 3_000, point, count)
    kinds = [manifest.kind for manifest in manifests_of(lake)]
    assert kinds == ["lanes", "messages"]
    fill(spark, source, lake, settings)
    assert_same(tmp_path / "undisturbed", lake)
    assert_same_state(tmp_path / "undisturbed", lake)
