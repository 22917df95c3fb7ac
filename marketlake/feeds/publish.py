"""Where events go: the port that producers publish through, and the targets it has by URI."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Protocol

from marketlake.contracts.errors import MarketlakeError
from marketlake.contracts.events import DEFAULT_TOPIC_PREFIX, EventType

_PREFIX: Final = r"(?:/(?P<prefix>[A-Za-z0-9._-]+))?"
_KAFKA: Final = re.compile(rf"kafka:(?P<bootstrap>[^/@\s]+:\d+){_PREFIX}")
_KINESIS: Final = re.compile(rf"kinesis:(?P<region>[a-z]{{2,}}(?:-[a-z]+)+-\d+){_PREFIX}")


class PublishError(MarketlakeError):
    """Events could not be handed over: one line with the target, the cause and the mend."""


class BrokerUnavailableError(PublishError):
    """No broker answered in time."""


class DeliveryError(PublishError):
    """A message was not acknowledged; those after it may not be either."""


class UnsupportedTargetError(MarketlakeError):
    """A target that events cannot be published to; the message says which are supported."""


@dataclass(frozen=True)
class KafkaTarget:
    """A Kafka cluster and the prefix of the topics' names."""

    bootstrap: str
    """``HOST:PORT``, or several of them with commas between."""
    prefix: str = DEFAULT_TOPIC_PREFIX

    @property
    def uri(self) -> str:
        """The target as :func:`parse_target` reads it."""
        return f"kafka:{self.bootstrap}/{self.prefix}"


@dataclass(frozen=True)
class KinesisTarget:
    """The Kinesis data streams of one AWS region and the prefix of their names."""

    region: str
    prefix: str = DEFAULT_TOPIC_PREFIX

    @property
    def uri(self) -> str:
        """The target as :func:`parse_target` reads it."""
        return f"kinesis:{self.region}/{self.prefix}"


Target = KafkaTarget | KinesisTarget


def parse_target(uri: str) -> Target:
    """Read ``kafka:HOST:PORT[/PREFIX]`` or ``kinesis:REGION[/PREFIX]``.

    Credentials have no place in it: those of AWS are found as the AWS tools find them.

    Raises
    ------
    UnsupportedTargetError
        The URI has another form, or names a kind of target that is not supported.
    """
    kafka = _KAFKA.fullmatch(uri)
    if kafka:
        return KafkaTarget(kafka["bootstrap"], kafka["prefix"] or DEFAULT_TOPIC_PREFIX)
    kinesis = _KINESIS.fullmatch(uri)
    if kinesis:
        return KinesisTarget(kinesis["region"], kinesis["prefix"] or DEFAULT_TOPIC_PREFIX)
    raise UnsupportedTargetError(
        f"{uri!r} names no topics or streams of events; supported: kafka:HOST:PORT[/PREFIX] and "
        "kinesis:REGION[/PREFIX], with prefix 'market' else"
    )


class Publisher(Protocol):
    """The port: events go in, and after ``flush`` they are safe."""

    def publish(self, event_type: EventType, key: bytes, value: bytes, timestamp_us: int) -> None:
        """Hand over one encoded event; it is acknowledged only after :meth:`flush`.

        Parameters
        ----------
        key : bytes
            The instrument; events of one key keep their order.
        timestamp_us : int
            When the event happened, in microseconds since the epoch. It is no arrival time:
            a target that stamps its messages uses its own clock.

        Raises
        ------
        PublishError
            This event or an earlier one was refused.
        """
        ...

    def flush(self) -> None:
        """Wait until every event handed over is acknowledged.

        Raises
        ------
        PublishError
            An event was refused, or not acknowledged in time.
        """
        ...

    def close(self) -> None:
        """Flush, and give back what the publisher holds."""
        ...
