"""The Kinesis adapter of the port that events are published through."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any, Final

from marketlake.contracts.events import DEFAULT_TOPIC_PREFIX, TOPICS, EventType, topic_of
from marketlake.feeds.kinesis_rounds import RECORD_BYTES, Record, RoundQueue, WaitingEvent
from marketlake.feeds.publish import DeliveryError, PublishError
from marketlake.kinesis.client import (
    AWS_ERRORS,
    KinesisAccess,
    KinesisError,
    backoff_s,
    code_of,
    passes,
)

_CREATION_PATIENCE_S: Final = 120.0


class _Sender(threading.Thread):
    """Sends the events of one stream, one call after the other."""

    def __init__(
        self, access: KinesisAccess, stream: str, patience_s: float, *, several: bool
    ) -> None:
        super().__init__(name=f"publish {stream}", daemon=True)
        self._access, self.stream = access, stream
        self._client = access.client()
        self._patience_s, self._several = patience_s, several
        self._queue = RoundQueue()
        self._changed = threading.Condition()
        self._closed = False
        self.failure: PublishError | None = None
        self.start()

    def add(self, event: WaitingEvent) -> None:
        """Queue an event; waits while the queue is full."""
        with self._changed:
            while self.failure is None and self._queue.full:
                self._changed.wait()
            self._queue.add(event)
            self._changed.notify_all()

    def drained(self) -> None:
        """Wait until everything is acknowledged, or something failed for good."""
        with self._changed:
            while self._queue.events and self.failure is None:
                self._changed.wait()

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self.join()

    def run(self) -> None:
        """Send until closed."""
        try:
            self._send_all()
        except PublishError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - raised in the producer's thread
            failure = PublishError(f"stream {self.stream}: {error}")
        else:
            return
        with self._changed:
            self.failure = failure
            self._changed.notify_all()

    def _send_all(self) -> None:
        failures, progress_s = 0, time.monotonic()
        while records := self._next():
            if not failures:
                progress_s = time.monotonic()
            accepted, why = self._call(records)
            with self._changed:
                for record in accepted:
                    self._queue.done(record)
                self._changed.notify_all()
            failures = 0 if accepted else failures + 1
            if len(accepted) == len(records):
                continue
            if time.monotonic() - progress_s > self._patience_s:
                raise DeliveryError(
                    f"stream {self.stream} took no event for {self._patience_s:g} s ({why}); "
                    "what was not acknowledged has to be published again"
                )
            time.sleep(backoff_s(failures))

    def _next(self) -> list[Record]:
        """Wait for events; none once closed."""
        with self._changed:
            while not self._queue.events:
                if self._closed:
                    return []
                self._changed.wait()
            return self._queue.take(several=self._several)

    def _call(self, records: list[Record]) -> tuple[list[Record], str]:
        """Send once; give the records that were taken, and why others were not."""
        entries = [{"Data": r.data, "PartitionKey": r.key} for r in records]
        try:
            answer = self._client.put_records(StreamName=self.stream, Records=entries)
        except AWS_ERRORS as error:
            if passes(error):
                # It may have been taken all the same: then it comes twice, still in order.
                return [], self._access.explain(error, self.stream)
            raise DeliveryError(self._access.explain(error, self.stream)) from None
        results = list(zip(records, answer["Records"], strict=True))
        whys = [f"{r['ErrorCode']}: {r.get('ErrorMessage')}" for _, r in results if _refused(r)]
        return [record for record, r in results if not _refused(r)], "".join(whys[:1])


def _refused(result: dict[str, Any]) -> bool:
    return bool(result.get("ErrorCode"))


class KinesisPublisher:
    """Publishes to the four streams of a prefix.

    The order of a key's events is kept: PutRecords may take a later record and refuse an earlier
    one of the same call, so a call holds at most one record a key, and the next of that key is sent
    when it was acknowledged. Events of different keys stay within a second of each other, by their
    own times. What is refused is sent again, with pauses that grow and vary. A call
    without an answer may have been taken: its events then come twice, in order, and the pipeline
    counts the second as a duplicate.

    Parameters
    ----------
    access : KinesisAccess
        Region, endpoint and role.
    prefix : str
        Streams are ``<prefix>.trades`` and so on.
    shards : int, optional
        Create streams that are absent, with so many shards each; None where they must exist.
    aggregate : bool
        Put events of one instrument that wait together into one record, as the Kinesis Producer
        Library does: many times faster where instruments are few, and readers have to know it.
    delivery_timeout_s : float
        How long a stream may take nothing before publishing is given up.

    Raises
    ------
    PublishError
        Kinesis does not answer or refuses us, or a stream is absent.
    """

    def __init__(
        self,
        access: KinesisAccess,
        prefix: str = DEFAULT_TOPIC_PREFIX,
        *,
        shards: int | None = None,
        aggregate: bool = False,
        delivery_timeout_s: float = 30.0,
    ) -> None:
        self._access = access
        streams = {event_type: topic_of(event_type, prefix) for event_type in TOPICS}
        try:
            client = access.client()
            absent = [s for s in streams.values() if not self._exists(client, s)]
            if absent and shards is None:
                raise PublishError(
                    f"Kinesis in {access.region} has no stream {', '.join(absent)}; correct region "
                    "or prefix (kinesis:REGION/PREFIX), create them, or name a number of "
                    "--partitions to have them created"
                )
            for stream in absent:
                self._create(client, stream, shards or 1)
        except KinesisError as error:
            raise PublishError(str(error)) from None
        self._senders = {
            event_type: _Sender(access, stream, delivery_timeout_s, several=aggregate)
            for event_type, stream in streams.items()
        }

    def _exists(self, client: Any, stream: str) -> bool:
        try:
            client.describe_stream_summary(StreamName=stream)
        except AWS_ERRORS as error:
            if code_of(error) == "ResourceNotFoundException":
                return False
            raise PublishError(self._access.explain(error, stream)) from None
        return True

    def _create(self, client: Any, stream: str, shards: int) -> None:
        try:
            with contextlib.suppress(client.exceptions.ResourceInUseException):
                client.create_stream(StreamName=stream, ShardCount=shards)
            patient_until_s = time.monotonic() + _CREATION_PATIENCE_S
            while _status(client, stream) == "CREATING":
                if time.monotonic() > patient_until_s:
                    raise PublishError(
                        f"stream {stream} in {self._access.region} is not ready "
                        f"{_CREATION_PATIENCE_S:g} s after it was created; see the AWS console"
                    )
                time.sleep(0.2)
        except AWS_ERRORS as error:
            raise PublishError(self._access.explain(error, stream)) from None

    def publish(self, event_type: EventType, key: bytes, value: bytes, timestamp_us: int) -> None:
        """See :class:`marketlake.feeds.publish.Publisher`; blocks while much is queued."""
        sender = self._senders[event_type]
        if len(key) + len(value) > RECORD_BYTES:
            raise DeliveryError(
                f"an event of {len(value):,} bytes is too large for stream {sender.stream}: "
                f"Kinesis takes {RECORD_BYTES:,}"
            )
        sender.add(WaitingEvent(key.decode(), value, timestamp_us))
        if sender.failure is not None:
            raise sender.failure

    def flush(self) -> None:
        """See :class:`marketlake.feeds.publish.Publisher`."""
        for sender in self._senders.values():
            sender.drained()
        for sender in self._senders.values():
            if sender.failure is not None:
                raise sender.failure

    def close(self) -> None:
        """See :class:`marketlake.feeds.publish.Publisher`."""
        try:
            self.flush()
        finally:
            for sender in self._senders.values():
                sender.close()


def _status(client: Any, stream: str) -> str:
    summary = client.describe_stream_summary(StreamName=stream)
    return str(summary["StreamDescriptionSummary"]["StreamStatus"])
