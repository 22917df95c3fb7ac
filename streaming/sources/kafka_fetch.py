"""Messages of a range of offsets, straight from the broker that leads the partition.

Spark plans what a batch holds; its workers fetch it themselves. A message then never passes
through the JVM, where reading it and handing it to Python cost more than all that follows
(``docs/adr/0007-workers-read-kafka.md``). Connections, protocol, TLS and authentication are
kafka-python's; records are read in columns by ``record_batches``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from random import uniform
from typing import Any, Final

import pyarrow as pa
from kafka.errors import KafkaError, OffsetOutOfRangeError, for_code
from kafka.net import KafkaConnectionManager, NetworkSelector
from kafka.protocol.consumer import FetchRequest, IsolationLevel
from kafka.structs import TopicPartition

from streaming.sources.record_batches import (
    RecordBatch,
    RecordBatchError,
    committed,
    messages_of,
    record_batches,
)

_BACKOFF_S: Final = (0.1, 1.0)
_WAIT_MS: Final = 500
_REQUEST_TIMEOUT_MS: Final = 10_000
_FETCH_BYTES: Final = (256 << 10, 16 << 20)
"""Least and most that is asked for at once; one batch larger than that still comes."""
_CHUNK_ROWS: Final = 125_000
_CHUNK_BYTES: Final = 64 << 20
_LARGEST_ANSWER_BYTES: Final = 2**31 - 1
_GUESSED_MESSAGE_BYTES: Final = 64.0

logging.getLogger("kafka").addHandler(logging.NullHandler())


class FetchError(Exception):
    """Messages that a batch was planned with cannot be read."""


@dataclass(frozen=True)
class OffsetRange:
    """Messages of one partition: offsets ``start`` to ``end``, the latter excluded."""

    topic: str
    partition: int
    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition} from offset {self.start} to {self.end}"


class KafkaFetcher:
    """Reads ranges from one cluster; keeps its connections.

    Parameters
    ----------
    bootstrap : str
        ``host:port``.
    patience_s : float
        Time without any progress after which reading is given up.
    """

    def __init__(self, bootstrap: str, patience_s: float) -> None:
        self._bootstrap, self._patience_s = bootstrap, patience_s
        self._message_bytes: dict[TopicPartition, float] = {}
        self._connections: Any = None

    def read(self, span: OffsetRange) -> Iterator[pa.Table]:
        """Read a range in chunks, in order of the offsets.

        Yields
        ------
        pyarrow.Table
            ``offset``, ``key``, ``value``, ``source_timestamp``; not empty.

        Raises
        ------
        FetchError
            If messages are gone or damaged, may not be read, or no broker answers.
        """
        pending: list[RecordBatch] = []
        rows = size_bytes = 0
        for batch in self._batches(span):
            pending.append(batch)
            rows, size_bytes = rows + batch.count, size_bytes + len(batch.payload)
            if rows >= _CHUNK_ROWS or size_bytes >= _CHUNK_BYTES:
                yield from _chunk(pending, span)
                pending, rows, size_bytes = [], 0, 0
        yield from _chunk(pending, span)

    def close(self) -> None:
        """Close all connections."""
        if self._connections is not None:
            self._connections.close()
            self._connections = None

    def _batches(self, span: OffsetRange) -> Iterator[RecordBatch]:
        place = TopicPartition(span.topic, span.partition)
        position, patient_until_s = span.start, time.monotonic() + self._patience_s
        while position < span.end:
            batches: list[RecordBatch] = []
            failure: object = "it has no more of them"
            try:
                batches, after = self._fetch(place, position, span.end)
            except OffsetOutOfRangeError as error:
                raise FetchError(
                    f"{span}: messages not read yet are gone from Kafka (retention, or a topic "
                    "made anew); start on a new --lake, or restore the topic"
                ) from error
            except RecordBatchError as error:
                raise FetchError(f"{span}: {error}") from error
            except (KafkaError, OSError) as error:
                if isinstance(error, KafkaError) and not error.retriable:
                    raise FetchError(f"{span} cannot be read: {error}") from error
                failure = error
                self.close()
                after = position
            if after > position:
                yield from batches
                position, patient_until_s = after, time.monotonic() + self._patience_s
            elif time.monotonic() > patient_until_s:
                raise FetchError(
                    f"the Kafka broker at {self._bootstrap} no longer gives {span} ({failure}); "
                    "start again when it does: nothing was lost"
                )
            else:
                time.sleep(uniform(*_BACKOFF_S))

    def _fetch(
        self, place: TopicPartition, position: int, end: int
    ) -> tuple[list[RecordBatch], int]:
        """Ask once; give the batches before ``end``, and the position behind them."""
        answer = self._ask(place, position, self._wanted_bytes(place, end - position))
        code = answer.error_code
        if code:
            raise for_code(code)
        batches, after = [], position
        for batch in record_batches(answer.records or b""):
            if batch.first_offset >= end:
                after = end
                break
            batches.append(batch)
            after = max(after, batch.next_offset)
        if batches:
            size = sum(len(b.payload) for b in batches)
            self._message_bytes[place] = size / (after - position)
        aborted = [(a.first_offset, a.producer_id) for a in answer.aborted_transactions or ()]
        return committed(batches, aborted), after

    def _wanted_bytes(self, place: TopicPartition, messages: int) -> int:
        # A little more than the range: what comes too much is thrown away.
        wanted = 1.2 * messages * self._message_bytes.get(place, _GUESSED_MESSAGE_BYTES)
        least, most = _FETCH_BYTES
        return int(min(max(wanted, least), most))

    def _ask(self, place: TopicPartition, position: int, max_bytes: int) -> Any:
        connections = self._connected(place.topic)
        leader = connections.cluster.leader_for_partition(place)
        if leader is None or leader < 0:
            connections.run(connections.cluster.refresh_metadata)
            leader = connections.cluster.leader_for_partition(place)
        partition = FetchRequest.FetchTopic.FetchPartition(
            partition=place.partition,
            current_leader_epoch=-1,
            fetch_offset=position,
            last_fetched_epoch=-1,
            partition_max_bytes=max_bytes,
        )
        request = FetchRequest(
            max_wait_ms=_WAIT_MS,
            min_bytes=1,
            max_bytes=max_bytes,
            isolation_level=IsolationLevel.READ_COMMITTED,
            session_id=0,
            session_epoch=-1,
            topics=[FetchRequest.FetchTopic(topic=place.topic, partitions=[partition])],
            forgotten_topics_data=[],
            rack_id="",
            min_version=4,
            max_version=12,
        )
        return connections.run(connections.send, request, leader).responses[0].partitions[0]

    def _connected(self, topic: str) -> Any:
        if self._connections is None:
            self._connections = KafkaConnectionManager(
                NetworkSelector(),
                bootstrap_servers=self._bootstrap,
                request_timeout_ms=_REQUEST_TIMEOUT_MS,
                receive_message_max_bytes=_LARGEST_ANSWER_BYTES,
            )
            self._connections.bootstrap(_REQUEST_TIMEOUT_MS)
        cluster = self._connections.cluster
        if topic not in cluster.topics():
            cluster.add_topic(topic)
            self._connections.run(cluster.refresh_metadata)
        return self._connections


@cache
def fetcher(bootstrap: str, patience_s: float) -> KafkaFetcher:
    """The one fetcher of this process for a cluster."""
    return KafkaFetcher(bootstrap, patience_s)


def _chunk(batches: list[RecordBatch], span: OffsetRange) -> Iterator[pa.Table]:
    try:
        messages = messages_of(batches, span.start, span.end)
    except RecordBatchError as error:
        raise FetchError(f"{span}: {error}") from error
    if messages is not None:
        yield messages
