"""Kafka as a source: what is there, checked before Spark is asked to read it."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from pyspark.sql import DataFrame

from marketlake.contracts.events import TOPICS
from marketlake.feeds.publish import KafkaTarget, UnsupportedTargetError, parse_target
from marketlake.lake.manifests import ManifestInput
from marketlake.settings.model import Settings
from streaming.sources.kafka_offsets import planned_ranges
from streaming.sources.source import Reading, SourceError, Succession
from streaming.stages.messages import BatchPlan, InputPosition, input_name
from streaming.steps import Results, results_of_ranges, run_steps, whole_lanes

_ANSWER_TIMEOUT_S: Final = 15.0
_OFFSETS_TIMEOUT_S: Final = 3.0
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class KafkaSource:
    """Topics of one Kafka cluster.

    Attributes
    ----------
    bootstrap : str
        ``host:port``.
    prefix : str
        Topics are ``<prefix>.trades`` and so on.
    """

    bootstrap: str
    prefix: str
    _unanswered: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)

    @classmethod
    def parse(cls, uri: str) -> KafkaSource:
        """Parse ``kafka:HOST:PORT[/PREFIX]``, as the publishers do.

        Raises
        ------
        SourceError
            If it is no such URI.
        """
        try:
            target = parse_target(uri)
        except UnsupportedTargetError as error:
            raise SourceError(f"--source: {error}") from error
        if not isinstance(target, KafkaTarget):
            raise SourceError(f"--source: {uri} is no Kafka cluster")
        return cls(target.bootstrap, target.prefix)

    @property
    def topics(self) -> list[str]:
        """Names of all topics that may be read."""
        return [f"{self.prefix}.{name}" for name in TOPICS.values()]

    @property
    def place(self) -> str:
        """See :class:`Source`."""
        return self.bootstrap

    @property
    def drains_itself(self) -> bool:
        """See :class:`Source`: the end offsets are fixed when the query starts."""
        return True

    def light(self, settings: Settings) -> bool:
        """See :class:`Source`."""
        return settings.stream.kafka_reader == "workers"

    @cached_property
    def _admin(self) -> AdminClient:
        # One for all questions: a client a second would cost a connection and threads each time.
        return AdminClient(
            {
                "bootstrap.servers": self.bootstrap,
                "socket.timeout.ms": 10_000,
                "log_level": 0,
                # Without a callback librdkafka writes its own lines to the terminal.
                "error_cb": lambda _error: None,
            }
        )

    def look(self) -> tuple[str, dict[str, InputPosition]]:
        """Ask the cluster for its id, which names it, and for the partitions of our topics.

        Raises
        ------
        SourceError
            If no broker answers.
        """
        try:
            metadata = self._admin.list_topics(timeout=_ANSWER_TIMEOUT_S)
        except KafkaException as error:
            reason: KafkaError = error.args[0]
            raise SourceError(
                f"no Kafka broker answers at {self.bootstrap} ({reason.str()}); "
                "start it, or mend --source"
            ) from error
        inputs = {
            input_name(topic, partition): InputPosition(topic, partition)
            for topic in self.topics
            if topic in metadata.topics
            for partition in metadata.topics[topic].partitions
        }
        return f"kafka cluster {metadata.cluster_id}, topics {self.prefix}.*", inputs

    def require(self, inputs: Mapping[str, InputPosition]) -> None:
        """Refuse to drain what does not exist.

        Raises
        ------
        SourceError
            If there is no input.
        """
        if not inputs:
            raise SourceError(
                f"none of the topics {', '.join(self.topics)} exists at {self.bootstrap}; "
                "publish to one first, or name another prefix: kafka:HOST:PORT/PREFIX"
            )

    def end_offsets(self, inputs: Mapping[str, InputPosition | ManifestInput]) -> dict[str, int]:
        """Ask for the offset after the last message of each input, by name.

        Takes milliseconds, and 3 s where the broker does not answer. Never raises, since what
        asks is only curious: an input without an answer is left out, and a failure is logged.
        """
        if not inputs:
            return {}
        names = {(i.topic, i.partition): name for name, i in inputs.items()}
        asked = {TopicPartition(*place): OffsetSpec.latest() for place in names}
        ends: dict[str, int] = {}
        failure: Exception | None = None
        try:
            answers = self._admin.list_offsets(asked, request_timeout=_OFFSETS_TIMEOUT_S)
        except (KafkaException, ValueError) as error:
            answers, failure = {}, error
        for place, answer in answers.items():
            try:
                # The request's own timeout comes first; this one holds should it not.
                end = answer.result(timeout=2 * _OFFSETS_TIMEOUT_S).offset
            except (KafkaException, TimeoutError) as error:
                failure = error
            else:
                ends[names[place.topic, place.partition]] = end
        if failure is None:
            self._unanswered.clear()
        elif not self._unanswered.is_set():
            # Asked again and again: the first failure of a row is told.
            self._unanswered.set()
            _LOG.warning(
                "end offsets unknown",
                extra={"bootstrap": self.bootstrap, "reason": str(failure)},
            )
        return ends

    def read(self, reading: Reading, *, drain: bool) -> DataFrame:  # noqa: ARG002 - by trigger
        """Read all topics that exist or come to exist, from their beginning."""
        names = "|".join(TOPICS.values())
        give_up_ms = 1_000 * reading.settings.stream.kafka_give_up_s
        return (
            reading.spark.readStream.format("kafka")
            .option("kafka.bootstrap.servers", self.bootstrap)
            .option("subscribePattern", rf"{re.escape(self.prefix)}\.({names})")
            .option("startingOffsets", "earliest")
            .option("maxOffsetsPerTrigger", str(reading.settings.stream.max_offsets_per_batch))
            # Spark asks three times for the offsets, and fetches twice. Kafka's own limits are a
            # minute a question and two a fetch.
            .option("kafka.request.timeout.ms", str(give_up_ms // 6))
            .option("kafka.default.api.timeout.ms", str(give_up_ms // 4))
            .option("kafkaConsumer.pollTimeoutMs", str(give_up_ms // 2))
            # What an open transaction wrote is not planned yet.
            .option("kafka.isolation.level", "read_committed")
            # Offsets that are gone are an error: a lake must not have silent holes.
            .option("failOnDataLoss", "true")
            .option("kafka.max.partition.fetch.bytes", str(16 << 20))
            .option("kafka.fetch.max.bytes", str(64 << 20))
            .option("kafka.receive.buffer.bytes", str(1 << 20))
            .load()
            .selectExpr(
                "'kafka' AS source",
                "topic",
                "partition",
                "offset",
                "key",
                "value",
                "timestamp AS source_timestamp",
            )
        )

    def steps(
        self, reading: Reading, frame: DataFrame, spark_batch: int, plan: BatchPlan
    ) -> Results:
        """See :class:`Source`."""
        if reading.settings.stream.kafka_reader == "spark":
            return run_steps(whole_lanes(frame, plan), plan)
        # Of the frame nothing is read: that it came says that the offsets are planned.
        ranges = planned_ranges(reading.storage, reading.checkpoint, spark_batch)
        if not ranges:
            return [], []
        return results_of_ranges(reading.spark, plan, self.bootstrap, ranges)

    def successions(
        self,
        reading: Reading,  # noqa: ARG002
        spark_batch: int,  # noqa: ARG002
    ) -> Sequence[Succession]:
        """See :class:`Source`: partitions do not end."""
        return ()
