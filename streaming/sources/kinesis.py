"""Kinesis as a source of the stream: what is there, and how Spark is asked to read it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pyspark.sql import DataFrame

from marketlake.contracts.events import TOPICS, topic_of
from marketlake.feeds.publish import KinesisTarget
from marketlake.kinesis.client import AWS_ERRORS, KinesisAccess, KinesisError
from marketlake.lake.manifests import ManifestInput
from marketlake.settings.model import KinesisSettings, S3Settings, Settings
from streaming.sources import kinesis_connector
from streaming.sources.kinesis_data_source import FORMAT, KinesisDataSource, Options
from streaming.sources.kinesis_planner import list_streams
from streaming.sources.kinesis_plans import Plan, shard_number
from streaming.sources.kinesis_succession import successions
from streaming.sources.offset_log import logged_offset
from streaming.sources.source import Reading, SourceError, Succession
from streaming.stages.messages import BatchPlan, InputPosition, input_name
from streaming.steps import Results, run_steps, whole_lanes

_METADATA: Final = "_marketlake/stream/kinesis"
"""Folder of the lake in which readers leave where they stopped."""


@dataclass(frozen=True)
class KinesisSource:
    """Data streams of one region.

    Attributes
    ----------
    prefix : str
        Streams are ``<prefix>.trades`` and so on.
    """

    access: KinesisAccess
    prefix: str
    settings: KinesisSettings

    @classmethod
    def of(cls, target: KinesisTarget, settings: KinesisSettings) -> KinesisSource:
        """Give the source of a target.

        Raises
        ------
        SourceError
            If there are no credentials, or a setting is out of its range.
        """
        access = KinesisAccess(
            target.region, role_arn=settings.role_arn, external_id=settings.external_id
        )
        try:
            source = cls(access.settled(), target.prefix, settings)
            Options.of(
                source.options("unknown", S3Settings(), tasks=1, most_records=1, drain=False)
            )
        except KinesisError as error:
            raise SourceError(str(error)) from error
        return source

    @property
    def streams(self) -> list[str]:
        """Names of all streams that may be read."""
        return [topic_of(event_type, self.prefix) for event_type in TOPICS]

    @property
    def place(self) -> str:
        """See :class:`Source`."""
        return self.access.region

    @property
    def drains_itself(self) -> bool:
        """See :class:`Source`: Spark cannot know; the connector of AWS can."""
        return self.settings.reader == "aws"

    def light(self, settings: Settings) -> bool:  # noqa: ARG002 - rows come through the JVM
        """See :class:`Source`."""
        return False

    def look(self) -> tuple[str, dict[str, InputPosition]]:
        """Ask for the streams and their shards; those that follow on others come by and by.

        Raises
        ------
        SourceError
            If Kinesis does not answer, or refuses us.
        """
        try:
            listed = list_streams(self.access, self.streams)
            owner = self._owner(next(iter(listed))) if listed else ""
        except KinesisError as error:
            raise SourceError(str(error)) from error
        inputs = {
            input_name(stream, shard_number(shard)): InputPosition(stream, shard_number(shard))
            for stream, found in listed.items()
            for shard, one in found.shards.items()
            if not set(one.parents) & set(found.shards)
        }
        return f"kinesis {owner}, streams {self.prefix}.*", inputs

    def _owner(self, stream: str) -> str:
        """Give region and account: the streams of another account are another source."""
        try:
            summary = self.access.client().describe_stream_summary(StreamName=stream)
        except AWS_ERRORS as error:
            raise KinesisError(self.access.explain(error, stream)) from error
        _, _, _, region, account, _ = summary["StreamDescriptionSummary"]["StreamARN"].split(":", 5)
        return f"{region}, account {account}"

    def require(self, inputs: Mapping[str, InputPosition]) -> None:
        """Refuse to drain what does not exist.

        Raises
        ------
        SourceError
            If there is no input.
        """
        if not inputs:
            raise SourceError(
                f"Kinesis in {self.access.region} has none of the streams "
                f"{', '.join(self.streams)}; publish to one first, or name another region or "
                "prefix: kinesis:REGION/PREFIX"
            )

    def end_offsets(
        self,
        inputs: Mapping[str, InputPosition | ManifestInput],  # noqa: ARG002
    ) -> dict[str, int]:
        """See :class:`Source`: Kinesis does not count what it holds."""
        return {}

    def read(self, reading: Reading, *, drain: bool) -> DataFrame:
        """Read all streams that exist or come to exist."""
        spark, stream = reading.spark, reading.settings.stream
        if self.settings.reader == "aws":
            return kinesis_connector.read(
                spark, self.access, self.streams, self.settings, reading.storage.path(_METADATA)
            )
        spark.dataSource.register(KinesisDataSource)
        options = self.options(
            reading.storage.path(_METADATA),
            reading.storage.s3,
            tasks=2 * spark.sparkContext.defaultParallelism,
            most_records=stream.max_offsets_per_batch,
            drain=drain,
        )
        return spark.readStream.format(FORMAT).options(**options).load()

    def options(
        self,
        metadata_path: str,
        metadata_s3: S3Settings,
        *,
        tasks: int,
        most_records: int,
        drain: bool,
    ) -> dict[str, str]:
        """Give the options of our own source."""
        own = self.settings
        return {
            "region": self.access.region,
            "endpoint_url": self.access.endpoint_url,
            "role_arn": self.access.role_arn,
            "external_id": self.access.external_id,
            "streams": ",".join(self.streams),
            "metadata_path": metadata_path,
            "metadata_s3": metadata_s3.model_dump_json(),
            "starting_position": own.starting_position,
            "starting_sequences": json.dumps(own.starting_sequences),
            "max_records": str(most_records),
            "max_records_per_shard": str(own.max_records_per_shard),
            "max_bytes_per_shard": str(own.max_bytes_per_shard),
            "max_read_ms_per_shard": str(own.max_read_ms_per_shard),
            "poll_ms": str(own.poll_ms),
            "pause_ms": str(own.pause_ms),
            "give_up_s": str(own.give_up_s),
            "tasks": str(tasks),
            "drain": str(drain).lower(),
            "fail_on_data_loss": str(own.fail_on_data_loss).lower(),
        }

    def steps(
        self,
        reading: Reading,  # noqa: ARG002
        frame: DataFrame,
        spark_batch: int,  # noqa: ARG002
        plan: BatchPlan,
    ) -> Results:
        """See :class:`Source`."""
        if self.settings.reader == "aws":
            frame = kinesis_connector.with_offsets(frame, plan)
        return run_steps(whole_lanes(frame, plan), plan)

    def successions(self, reading: Reading, spark_batch: int) -> Sequence[Succession]:
        """See :class:`Source`: shards that were split or merged."""
        if self.settings.reader == "aws":
            return ()
        offset: dict[str, Any] = json.loads(
            logged_offset(reading.storage, reading.checkpoint, spark_batch)
        )
        return successions(Plan.of(offset))
