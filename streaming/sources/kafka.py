"""Kafka as a source: what is there, checked before Spark is asked to read it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from pyspark.sql import DataFrame, SparkSession

from marketlake.contracts.events import TOPICS
from streaming.stages.messages import InputPosition, input_name

_ANSWER_TIMEOUT_S: Final = 15.0
_TARGET: Final = re.compile(
    r"kafka:(?P<host>\[[0-9a-fA-F:]+\]|[^:/\[\]]+):(?P<port>\d+)(?:/(?P<prefix>[A-Za-z0-9._-]+))?"
)


class SourceError(Exception):
    """The source cannot be read as asked."""


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

    @classmethod
    def parse(cls, uri: str, prefix: str) -> KafkaSource:
        """Parse ``kafka:HOST:PORT[/PREFIX]``.

        Raises
        ------
        SourceError
            If it is no such URI.
        """
        match = _TARGET.fullmatch(uri)
        if match is None:
            raise SourceError(
                f"source {uri!r} is not understood; write kafka:HOST:PORT or "
                "kafka:HOST:PORT/PREFIX, such as kafka:127.0.0.1:9092"
            )
        return cls(f"{match['host']}:{match['port']}", match["prefix"] or prefix)

    @property
    def topics(self) -> list[str]:
        """Names of all topics that may be read."""
        return [f"{self.prefix}.{name}" for name in TOPICS.values()]

    def look(self) -> tuple[str, dict[str, InputPosition]]:
        """Ask the cluster for its id and for the partitions of our topics.

        Raises
        ------
        SourceError
            If no broker answers.
        """
        admin = AdminClient(
            {
                "bootstrap.servers": self.bootstrap,
                "socket.timeout.ms": 10_000,
                "log_level": 0,
                # Without a callback librdkafka writes its own lines to the terminal.
                "error_cb": lambda _error: None,
            }
        )
        try:
            metadata = admin.list_topics(timeout=_ANSWER_TIMEOUT_S)
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
        return str(metadata.cluster_id), inputs

    def read(self, spark: SparkSession, max_offsets_per_batch: int) -> DataFrame:
        """Read all topics that exist or come to exist, from their beginning."""
        names = "|".join(TOPICS.values())
        return (
            spark.readStream.format("kafka")
            .option("kafka.bootstrap.servers", self.bootstrap)
            .option("subscribePattern", rf"{re.escape(self.prefix)}\.({names})")
            .option("startingOffsets", "earliest")
            .option("maxOffsetsPerTrigger", str(max_offsets_per_batch))
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
