"""The Kafka adapter of the port that events are published through."""

from __future__ import annotations

import logging
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from marketlake.contracts.events import DEFAULT_TOPIC_PREFIX, TOPICS, EventType, topic_of
from marketlake.feeds.publish import BrokerUnavailableError, DeliveryError, PublishError

_FLUSH_GRACE_S: Final = 5.0
"""What a flush waits beyond the delivery timeout, for the failures to be reported."""
_LOG: Final = logging.getLogger(__name__)


class KafkaPublisher:
    """Publishes to the four topics of a prefix, idempotently and acknowledged by all replicas.

    Messages carry the wall clock of the producer as their timestamp, never the event's time:
    the pipeline takes it as the time of arrival. Keys are hashed as Java clients do, so that an
    instrument has one partition whatever producer wrote it.

    Parameters
    ----------
    bootstrap : str
        ``HOST:PORT``, or several of them with commas between.
    prefix : str
        Topics are ``<prefix>.trades`` and so on; those absent are created.
    partitions : int
        Partitions of a topic that is created here, at least 1; a topic that exists keeps its own.
    connect_timeout_s : float
        How long the broker may take to answer before it counts as down.
    delivery_timeout_s : float
        How long a message may wait for its acknowledgement, retries included.

    Raises
    ------
    BrokerUnavailableError
        No broker answered in time.
    PublishError
        The broker refused to create a topic.
    """

    def __init__(
        self,
        bootstrap: str,
        prefix: str = DEFAULT_TOPIC_PREFIX,
        partitions: int = 4,
        *,
        connect_timeout_s: float = 10.0,
        delivery_timeout_s: float = 30.0,
    ) -> None:
        self._bootstrap = bootstrap
        self._connect_timeout_s = connect_timeout_s
        self._flush_timeout_s = delivery_timeout_s + _FLUSH_GRACE_S
        self._topics = {event_type: topic_of(event_type, prefix) for event_type in TOPICS}
        self._failure: KafkaError | None = None
        self._ensure_topics(partitions)
        self._producer = Producer(
            {
                **_client(bootstrap),
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": "lz4",
                "partitioner": "murmur2_random",
                # Batches of a few milliseconds: full ones at top speed, no delay one would see.
                "linger.ms": 5,
                "message.timeout.ms": int(delivery_timeout_s * 1_000),
                # A callback a message would cost as much as the message itself.
                "delivery.report.only.error": True,
                "on_delivery": self._delivered,
            }
        )

    def _ensure_topics(self, partitions: int) -> None:
        """Create the topics that are absent."""
        admin = AdminClient(_client(self._bootstrap))
        try:
            present = admin.list_topics(timeout=self._connect_timeout_s).topics
        except KafkaException as error:
            raise BrokerUnavailableError(
                f"no Kafka broker answers at {self._bootstrap} within {self._connect_timeout_s:g} s"
                f" ({error.args[0].str()}); start one, or correct the address"
            ) from None
        absent = [
            NewTopic(topic, partitions) for topic in self._topics.values() if topic not in present
        ]
        if not absent:
            return
        for topic, future in admin.create_topics(absent).items():
            try:
                future.result(timeout=self._connect_timeout_s)
            except TimeoutError:
                raise BrokerUnavailableError(
                    f"{self._bootstrap} did not create topic {topic} within"
                    f" {self._connect_timeout_s:g} s; see the broker's log"
                ) from None
            except KafkaException as error:
                # Another producer may have been quicker.
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise PublishError(
                        f"topic {topic} cannot be created at {self._bootstrap}:"
                        f" {error.args[0].str()}"
                    ) from None

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        """Keep the first failure; it is raised by the next call of the producer's thread."""
        if error is not None and self._failure is None:
            self._failure = error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise DeliveryError(
                f"a message was not delivered to {self._bootstrap}: {self._failure.str()};"
                " what was not acknowledged has to be published again"
            )

    def publish(
        self,
        event_type: EventType,
        key: bytes,
        value: bytes,
        timestamp_us: int,  # noqa: ARG002 - Kafka's timestamp is the producer's clock
    ) -> None:
        """See :class:`marketlake.feeds.publish.Publisher`; blocks while the queue is full."""
        topic = self._topics[event_type]
        while True:
            try:
                self._producer.produce(topic, key=key, value=value)
            except BufferError:
                # Either room comes, or messages time out and their failure is raised below.
                self._producer.poll(0.1)
                self._raise_failure()
            except KafkaException as error:
                raise DeliveryError(
                    f"{self._bootstrap} refuses a message of {len(value):,} bytes to {topic}:"
                    f" {error.args[0].str()}"
                ) from None
            else:
                break
        self._producer.poll(0)
        self._raise_failure()

    def flush(self) -> None:
        """See :class:`marketlake.feeds.publish.Publisher`."""
        waiting = self._producer.flush(self._flush_timeout_s)
        self._raise_failure()
        if waiting:
            raise DeliveryError(
                f"{waiting} messages were not acknowledged by {self._bootstrap} within"
                f" {self._flush_timeout_s:g} s"
            )

    def close(self) -> None:
        """See :class:`marketlake.feeds.publish.Publisher`."""
        self.flush()


def _client(bootstrap: str) -> dict[str, Any]:
    """Give the options of every client: quiet on stderr, since a failure that lasts is raised."""
    return {"bootstrap.servers": bootstrap, "log_level": 0, "error_cb": _log_error}


def _log_error(error: KafkaError) -> None:
    _LOG.debug("kafka: %s", error.str())
