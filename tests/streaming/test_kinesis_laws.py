"""The four laws on Kinesis: what a stream gives does not depend on where its messages came from."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from marketlake.feeds.kinesis_publisher import KinesisPublisher
from marketlake.feeds.recorded.catalog import open_recording
from marketlake.feeds.replay import replay
from marketlake.lake.query import open_lake
from marketlake.local.broker import EmbeddedBroker
from spark_jobs.reconcile_command import reconcile
from streaming.runner import StreamRunner
from tests.kinesis_servers import access_to, wait_until_active

from . import kinesis, lakes
from .crashes import crash
from .kinesis import kinesis_settings, new_streams, send, source_of
from .lakes import (
    LATENESS,
    Message,
    assert_same,
    assert_same_market,
    assert_same_state,
    manifests_of,
    publish,
    punctual_market,
    settings_with,
)

pytestmark = [pytest.mark.spark, pytest.mark.slow]


@pytest.fixture(scope="module")
def messages() -> list[Message]:
    return punctual_market(seed=29, seconds=150)


@pytest.fixture(scope="module")
def by_kafka(
    spark: SparkSession, broker: EmbeddedBroker, messages: list[Message], tmp_path_factory
) -> Path:
    lake = tmp_path_factory.mktemp("kafka") / "lake"
    lakes.fill(spark, publish(broker, messages, partitions=1), lake, settings_with(**LATENESS))
    return lake


@pytest.fixture(scope="module")
def streams(moto: str, messages: list[Message]) -> str:
    prefix = new_streams(moto, shards=2)
    send(moto, prefix, messages)
    return prefix


@pytest.fixture(scope="module")
def undisturbed(spark: SparkSession, moto: str, streams: str, tmp_path_factory) -> Path:
    lake = tmp_path_factory.mktemp("kinesis") / "lake"
    kinesis.fill(spark, moto, streams, lake, kinesis_settings(LATENESS))
    return lake


def test_kinesis_and_kafka_give_the_same_market(by_kafka: Path, undisturbed: Path):
    assert_same_market(by_kafka, undisturbed)
    rows = open_lake(str(undisturbed)).sql("SELECT DISTINCT source FROM bronze.events").fetchall()
    assert {source for (source,) in rows} == {"kinesis", "marketlake/end"}


def test_the_size_of_batches_does_not_show(
    spark: SparkSession, moto: str, streams: str, undisturbed: Path, tmp_path: Path
):
    settings = kinesis_settings({**LATENESS, "max_offsets_per_batch": 2_000})
    kinesis.fill(spark, moto, streams, tmp_path / "lake", settings)
    assert len(manifests_of(tmp_path / "lake")) > 3
    assert_same(undisturbed, tmp_path / "lake")
    assert_same_state(undisturbed, tmp_path / "lake")
    assert reconcile(str(tmp_path / "lake"), settings) == []
    # A second run finds nothing to do.
    assert kinesis.fill(spark, moto, streams, tmp_path / "lake", settings).read == 0
    assert_same(undisturbed, tmp_path / "lake")


def test_killed_at_any_point_a_restart_gives_the_same(
    spark: SparkSession,
    moto: str,
    streams: str,
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    settings = kinesis_settings({**LATENESS, "max_offsets_per_batch": 2_500})
    monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS", moto)
    for section, values in (("STREAM", LATENESS), ("KINESIS", kinesis.QUICK)):
        for name, value in values.items():
            monkeypatch.setenv(f"MARKETLAKE_{section}__{name.upper()}", str(value))
    lake = tmp_path / "lake"
    for point, count in (("before manifest", 1), ("manifest", 1), ("silver/trades", 1)):
        crash(f"kinesis:us-east-1/{streams}", lake, 2_500, point, count)
    kinesis.fill(spark, moto, streams, lake, settings)
    assert_same(undisturbed, lake)
    assert_same_state(undisturbed, lake)


def test_shards_that_split_and_merge_do_not_show(
    spark: SparkSession, kinesalite: str, messages: list[Message], by_kafka: Path, tmp_path: Path
):
    prefix = new_streams(kinesalite, shards=1)
    third = len(messages) // 3
    send(kinesalite, prefix, messages[:third])
    settings = kinesis_settings(
        {**LATENESS, "max_offsets_per_batch": 2_000, "trigger_ms": 0, "settle_ms": 60_000}
    )
    source = source_of(kinesalite, prefix, settings)
    runner = StreamRunner(spark, source, str(tmp_path / "lake"), settings)
    client = access_to(kinesalite).client()
    done: list[str] = []

    def resharded() -> bool:
        # While the stream is at work on what is there: some of it is read after the change.
        if runner.pipeline.last is None:
            return False
        for stream in source.streams:
            client.split_shard(
                StreamName=stream, ShardToSplit="shardId-000000000000", NewStartingHashKey=HALF
            )
            wait_until_active(client, stream)
        send(kinesalite, prefix, messages[third : 2 * third])
        for stream in source.streams:
            client.merge_shards(
                StreamName=stream,
                ShardToMerge="shardId-000000000001",
                AdjacentShardToMerge="shardId-000000000002",
            )
            wait_until_active(client, stream)
        send(kinesalite, prefix, messages[2 * third :])
        done.append("resharded")
        return True

    runner.run(until_idle=True, complete=resharded)
    assert done
    assert_same_market(by_kafka, tmp_path / "lake")
    last = manifests_of(tmp_path / "lake")[-1]
    assert set(last.inputs) == {f"{s}-{n}" for s in source.streams for n in range(4)}
    waited_for = idle_before_the_end(tmp_path / "lake")
    assert {f"{s}-0" for s in source.streams} <= waited_for
    assert reconcile(str(tmp_path / "lake"), settings) == []


HALF = str(2**127)


def idle_before_the_end(lake: Path) -> set[str]:
    """Inputs that nobody waited for any more when the run ended."""
    before = [m for m in manifests_of(lake) if m.kind == "messages"][-1]
    return {name for name, position in before.inputs.items() if not position.active}


@pytest.mark.recorded
def test_recorded_data_by_kinesis_and_by_kafka(
    spark: SparkSession, broker: EmbeddedBroker, moto: str, recorded_data: Path, tmp_path: Path
):
    recording = open_recording(recorded_data / "link-books-2021-08-20")
    source, summary = lakes.publish_recording(broker, recording)
    lakes.fill(spark, source, tmp_path / "kafka")
    prefix = new_streams(moto)
    publisher = KinesisPublisher(access_to(moto), prefix, aggregate=True)
    assert replay(recording, publisher).published == summary.published
    publisher.close()
    kinesis.fill(spark, moto, prefix, tmp_path / "kinesis")
    assert_same_market(tmp_path / "kafka", tmp_path / "kinesis")
