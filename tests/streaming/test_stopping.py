"""A request to stop ends the run after its batch; it hides no failure of that batch."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from marketlake.contracts.events import Trade, encode
from marketlake.lake.errors import LakeError
from marketlake.local.broker import EmbeddedBroker
from streaming.runner import StreamError, StreamRunner
from streaming.sources.kafka import KafkaSource

from .lakes import Message, fill, publish, settings_with

pytestmark = [pytest.mark.spark, pytest.mark.broker, pytest.mark.slow]

NOON_US = 1_736_942_400_000_000
TRADES = 6
SETTINGS = settings_with(max_offsets_per_batch=2, trigger_ms=0)


@pytest.fixture(scope="module")
def source(broker: EmbeddedBroker) -> str:
    messages: list[Message] = []
    for i in range(TRADES):
        event = Trade("binance", "BTC-USDT", NOON_US + i, 100.0, 1.0)
        messages.append(("trade", b"BTC-USDT", encode(event)))
    return publish(broker, messages, partitions=1)


def stopped_in_its_first_batch(
    spark: SparkSession, source: str, lake: Path, error: Exception | None = None
) -> StreamRunner:
    """Make a run that is asked to stop while its first batch is taken, which may then fail."""
    runner = StreamRunner(spark, KafkaSource.parse(source), str(lake), SETTINGS)

    def stop(point: str) -> None:
        if point == "before manifest":
            runner.stop()
            if error is not None:
                raise error

    runner.pipeline.crash_point = stop
    return runner


@pytest.mark.parametrize("until_idle", [False, True])
def test_a_batch_that_fails_after_the_request_is_told_and_lost_by_nobody(
    spark: SparkSession, source: str, tmp_path: Path, until_idle: bool
):
    lake = tmp_path / "lake"
    error = LakeError("cannot write lake/gold: no right to")
    runner = stopped_in_its_first_batch(spark, source, lake, error)
    with pytest.raises(StreamError, match=r"^cannot write lake/gold: no right to$"):
        runner.run(until_idle=until_idle)
    assert fill(spark, source, lake, SETTINGS).silver == TRADES


def test_a_stopped_run_ends_after_its_batch_without_an_error(
    spark: SparkSession, source: str, tmp_path: Path
):
    lake = tmp_path / "lake"
    stopped = stopped_in_its_first_batch(spark, source, lake).run(until_idle=True)
    assert (stopped.batches, stopped.silver) == (1, 2)
    assert fill(spark, source, lake, SETTINGS).silver == TRADES - 2
