"""What waits to be put into a stream, and what one call of PutRecords takes of it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from marketlake.kinesis.aggregation import aggregate, aggregated_bytes

_CALL_RECORDS: Final = 500
_CALL_BYTES: Final = 5 << 20
RECORD_BYTES: Final = 1 << 20
"""What every stream takes: 500 records and 5 MiB a PutRecords, 1 MiB a record, keys included
(Kinesis Data Streams Developer Guide, "Quotas and limits"). Since 2025 a stream may be set to take
10 MiB; nothing here needs that."""
_AGGREGATED_BYTES: Final = 50 << 10
"""As large as the Kinesis Producer Library makes its records by default."""
_QUEUED_EVENTS: Final = 50_000
_QUEUED_BYTES: Final = 32 << 20
_ROUND_EVENTS: Final = 2_000
_ROUND_US: Final = 1_000_000
"""Events of one round, and how far apart their times may lie: the stream finds quotes too late that
come 10 s after others."""


@dataclass
class Record:
    """One record to send: events of one key, in order."""

    key: str
    values: list[bytes]
    data: bytes

    @property
    def size_bytes(self) -> int:
        """What Kinesis counts: key and data."""
        return len(self.key.encode()) + len(self.data)


@dataclass(frozen=True)
class WaitingEvent:
    """One event of an instrument.

    Attributes
    ----------
    key : str
        The instrument.
    """

    key: str
    value: bytes
    time_us: int


@dataclass
class RoundQueue:
    """Events of one stream that are not acknowledged, in the order in which they came.

    They go in rounds: a round is sent and acknowledged before the next begins, so that instruments
    cannot run away from each other: a reader of the shard would find the slower ones too late.
    """

    waiting: deque[WaitingEvent] = field(default_factory=deque)
    round: dict[str, deque[bytes]] = field(default_factory=dict)
    events: int = 0
    size_bytes: int = 0

    @property
    def full(self) -> bool:
        """Whether who adds events has to wait."""
        return self.events >= _QUEUED_EVENTS or self.size_bytes >= _QUEUED_BYTES

    def add(self, event: WaitingEvent) -> None:
        """Take an event, behind those that wait."""
        self.waiting.append(event)
        self.events += 1
        self.size_bytes += len(event.value)

    def take(self, *, several: bool) -> list[Record]:
        """Give what one call may send: at most one record a key."""
        if not self.round:
            self._begin_round()
        records: list[Record] = []
        left = _CALL_BYTES
        for key in list(self.round)[:_CALL_RECORDS]:
            record = self._next(key, several=several)
            if record.size_bytes > left:
                break
            left -= record.size_bytes
            records.append(record)
        return records

    def _begin_round(self) -> None:
        first_us = last_us = self.waiting[0].time_us
        for _ in range(min(_ROUND_EVENTS, len(self.waiting))):
            time_us = self.waiting[0].time_us
            first_us, last_us = min(first_us, time_us), max(last_us, time_us)
            if last_us - first_us > _ROUND_US:
                break
            event = self.waiting.popleft()
            self.round.setdefault(event.key, deque()).append(event.value)

    def _next(self, key: str, *, several: bool) -> Record:
        waiting = self.round[key]
        values = [waiting[0]]
        if several:
            size = aggregated_bytes(len(values[0]))
            for value in islice(waiting, 1, None):
                size += aggregated_bytes(len(value))
                if size > _AGGREGATED_BYTES:
                    break
                values.append(value)
        return Record(key, values, values[0] if len(values) == 1 else aggregate(key, values))

    def done(self, record: Record) -> None:
        """Take out what was acknowledged; the key's next events wait behind the other keys."""
        waiting = self.round.pop(record.key)
        for value in record.values:
            waiting.popleft()
            self.events -= 1
            self.size_bytes -= len(value)
        if waiting:
            self.round[record.key] = waiting
