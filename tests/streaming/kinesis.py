"""What the tests of Kinesis share: streams filled, and the source that reads them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from pyspark.sql import SparkSession

from marketlake.feeds.kinesis_publisher import KinesisPublisher
from marketlake.settings.model import KinesisSettings, Settings, load_settings
from streaming.runner import StreamRunner, StreamSummary
from streaming.sources.kinesis import KinesisSource
from tests.kinesis_servers import access_to, create_streams
from tests.streaming.lakes import Message

QUICK = {"pause_ms": 0, "poll_ms": 20, "give_up_s": 60}
"""Servers on this machine have no limit a shard."""


class _Timed(msgspec.Struct):
    event_time_us: int


def new_streams(url: str, shards: int = 1) -> str:
    """Create the streams of a new prefix."""
    prefix = f"t{uuid.uuid4().hex[:12]}"
    create_streams(access_to(url).client(), prefix, shards)
    return prefix


def send(url: str, prefix: str, messages: Iterable[Message], *, aggregate: bool = True) -> None:
    """Publish messages, in the order of their keys."""
    publisher = KinesisPublisher(access_to(url), prefix, aggregate=aggregate)
    for event_type, key, value in messages:
        time_us = msgspec.json.decode(value, type=_Timed).event_time_us
        publisher.publish(event_type, key or b"none", value, time_us)
    publisher.close()


def kinesis_settings(stream: dict[str, Any] | None = None, **kinesis: Any) -> Settings:
    return load_settings(stream=stream or {}, kinesis=QUICK | kinesis)


def source_of(url: str, prefix: str, settings: Settings | None = None) -> KinesisSource:
    own = settings.kinesis if settings else KinesisSettings(**QUICK)
    return KinesisSource(access_to(url), prefix, own)


def fill(
    spark: SparkSession, url: str, prefix: str, lake: Path, settings: Settings | None = None
) -> StreamSummary:
    """Drain streams into a lake."""
    settings = settings or kinesis_settings()
    runner = StreamRunner(spark, source_of(url, prefix, settings), str(lake), settings)
    return runner.run(until_idle=True)
