"""Settings of what the stream reads, and how."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from marketlake.settings.section import Section


class StreamSettings(Section):
    """How the stream reads and when it considers an input complete."""

    lateness_ms: int = Field(60_000, ge=0, le=86_400_000)
    """Allowed lateness of trades and bars: bars close that long after their end."""
    quote_lateness_ms: int = Field(10_000, ge=0, le=86_400_000)
    """Allowed lateness of quotes and books."""
    ahead_of_source_ms: int = Field(10_000, ge=0)
    """How far an event's time may run ahead of the source's timestamp (clock skew)."""
    idle_ms: int = Field(120_000, ge=1_000)
    """A partition without a message for so long is idle: it no longer holds others back."""
    settle_ms: int = Field(600_000, ge=0)
    """Partitions that were found to share instruments are folded by one task, until for so long, in
    event time, each instrument came from one of them only."""
    max_offsets_per_batch: int = Field(500_000, ge=1)
    """Messages a batch over all partitions."""
    kafka_reader: Literal["workers", "spark"] = "workers"
    """Who fetches messages: the Python workers, straight from the broker, or Spark's own reader,
    which passes them through the JVM. The lake is the same."""
    driver_messages: int = Field(4_000, ge=0)
    """A batch with no more messages is folded by the driver: to give workers so little takes longer
    than to fold it. 0 for never, and always so where Spark reads for the workers. The lake is the
    same."""
    kafka_give_up_s: int = Field(60, ge=6)
    """The stream fails when Kafka has not answered for so long; elections and restarts of brokers
    take less."""
    trigger_ms: int = Field(1_000, ge=0)
    """Pause between batches of a continuous run."""
    stop_poll_ms: int = Field(5_000, ge=0)
    """How often a request in the lake to end the stream is looked for; 0 for never."""
    merge_buckets: int = Field(1, ge=1, le=1_024)
    """Tasks of step two; each takes the base assets that hash to it."""


class KinesisSettings(Section):
    """How the stream reads Kinesis. Credentials are found as the AWS tools find them."""

    reader: Literal["marketlake", "aws"] = "marketlake"
    """Who reads the shards: our own source, or the connector that AWS ships with EMR, as
    `aws-kinesis`. Both give the same columns."""
    fan_out_consumer: str = Field("", pattern=r"^[a-zA-Z0-9_.-]{0,128}$")
    """Name of a consumer of ours alone, by which AWS's connector reads with enhanced fan-out: 2 MB
    a second a shard that no other reader shares, at a price. Empty: shards are polled."""
    starting_position: str = "trim_horizon"
    """Where a new lake begins: `trim_horizon`, the oldest record there is; `latest`; or a time, as
    `2025-01-31T12:00:00Z`."""
    starting_sequences: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Record that a shard is read from on a new lake, by stream and shard, where that is not
    `starting_position`."""
    max_records_per_shard: int = Field(100_000, ge=1)
    """Most records of a shard in a batch; `stream.max_offsets_per_batch` holds for all together."""
    max_bytes_per_shard: int = Field(33_554_432, ge=1)
    """Most bytes of a shard in a batch; they are held in memory."""
    max_read_ms_per_shard: int = Field(10_000, ge=1)
    """A batch asks a shard for no more after so long."""
    poll_ms: int = Field(500, ge=1)
    """Least time between two looks at a shard that had nothing."""
    pause_ms: int = Field(200, ge=0)
    """Least time between two calls of one shard: it takes five a second from all its readers."""
    give_up_s: int = Field(60, ge=1)
    """The stream fails when Kinesis has not answered for so long, throttling included."""
    fail_on_data_loss: bool = True
    """Records that expired before they were read end the stream; else it goes on without them."""
    role_arn: str = ""
    """Role to assume, as for streams of another account; it must be their account's."""
    external_id: str = ""
    """What that role asks for beside our identity."""

    @model_validator(mode="after")
    def _fan_out(self) -> KinesisSettings:
        if self.fan_out_consumer and self.reader != "aws":
            raise ValueError('fan_out_consumer needs reader = "aws"')
        return self
