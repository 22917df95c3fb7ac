"""The publisher of a target."""

from __future__ import annotations

from typing import Final

from marketlake.feeds.kafka_publisher import KafkaPublisher
from marketlake.feeds.kinesis_publisher import KinesisPublisher
from marketlake.feeds.publish import KafkaTarget, Publisher, Target
from marketlake.kinesis.client import KinesisAccess

_KAFKA_PARTITIONS: Final = 4


def open_publisher(
    target: Target, partitions: int | None = None, *, aggregate: bool = False
) -> Publisher:
    """Open the publisher of a target.

    Parameters
    ----------
    partitions : int, optional
        Partitions or shards of what is created. Kafka's topics are always created where they are
        absent, with 4; shards cost money, so streams only where a number is given.
    aggregate : bool
        Of Kinesis: see :class:`KinesisPublisher`.

    Raises
    ------
    PublishError
        The target does not answer, refuses us, or lacks a stream.
    """
    if isinstance(target, KafkaTarget):
        return KafkaPublisher(target.bootstrap, target.prefix, partitions or _KAFKA_PARTITIONS)
    return KinesisPublisher(
        KinesisAccess(target.region), target.prefix, shards=partitions, aggregate=aggregate
    )
