"""Records of one shard: a cursor over GetRecords, and reads that are bounded or repeated."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from marketlake.kinesis.aggregation import HashRange, deaggregate
from marketlake.kinesis.client import (
    AWS_ERRORS,
    KinesisAccess,
    KinesisError,
    answered_at,
    backoff_s,
    code_of,
    passes,
)
from streaming.sources.kinesis_shards import (
    TRIM_HORIZON,
    ShardEnd,
    ShardName,
    ShardPosition,
    shard_number,
)

ROW_SCHEMA: Final = pa.schema(
    [
        pa.field("source", pa.string()),
        pa.field("topic", pa.string()),
        pa.field("partition", pa.int32()),
        pa.field("offset", pa.int64()),
        pa.field("key", pa.binary()),
        pa.field("value", pa.binary()),
        pa.field("source_timestamp", pa.timestamp("us", tz="UTC")),
        pa.field("sequence_number", pa.string()),
    ]
)
ROW_DDL: Final = (
    "source STRING, topic STRING, partition INT, offset BIGINT, key BINARY, value BINARY, "
    "source_timestamp TIMESTAMP, sequence_number STRING"
)
SOURCE: Final = "kinesis"

_CALL_RECORDS: Final = 10_000
"""Most that GetRecords gives at once."""


@dataclass(frozen=True)
class Bounds:
    """How much of a shard one batch reads; it takes one record at least, if there is any.

    Attributes
    ----------
    read_ms : int
        No further call after so long.
    """

    records: int
    size_bytes: int
    read_ms: int


@dataclass(frozen=True)
class Patience:
    """How a shard's limits are respected.

    Attributes
    ----------
    pause_ms : int
        Least time between two calls of one shard, which takes 5 a second from all its readers.
    give_up_s : float
        Without an answer for so long, reading fails.
    """

    pause_ms: int = 200
    give_up_s: float = 60.0


@dataclass
class Answer:
    """What one call gave.

    Attributes
    ----------
    at_ms : int
        Kinesis's time.
    """

    records: list[dict[str, Any]]
    behind_ms: int
    closed: bool
    at_ms: int


class ShardCursor:
    """Reads one shard on and on; renews iterators, waits where Kinesis asks for it.

    Parameters
    ----------
    may_lose : bool
        Begin at the oldest record where the position is not known any more.
    """

    def __init__(
        self,
        access: KinesisAccess,
        name: ShardName,
        position: ShardPosition,
        patience: Patience,
        *,
        may_lose: bool = False,
    ) -> None:
        self._access, self.name, self._patience = access, name, patience
        self._start, self._after = position.start, position.after
        self._may_lose = may_lose
        self._iterator: str | None = None
        self._called_s = 0.0

    def take(self, limit: int) -> Answer:
        """Give the next records, and step behind them."""
        answer, after = self._call(limit)
        self._iterator = after
        if answer.records:
            self._after = answer.records[-1]["SequenceNumber"]
        return answer

    def peek(self) -> Answer:
        """Give the next record without stepping behind it."""
        answer, after = self._call(1)
        if not answer.records:
            # Where there is nothing, an iterator comes nearer to the end with each call.
            self._iterator = after
        return answer

    def _call(self, limit: int) -> tuple[Answer, str | None]:
        """Call until there is an answer; give it and the iterator behind it."""
        client = self._access.client()
        failures, give_up_s = 0, time.monotonic() + self._patience.give_up_s
        while True:
            self._pause()
            try:
                if self._iterator is None:
                    self._iterator = self._new_iterator(client)
                answer = client.get_records(ShardIterator=self._iterator, Limit=limit)
            except AWS_ERRORS as error:
                expired = code_of(error) == "ExpiredIteratorException"
                if not expired and not passes(error):
                    raise KinesisError(self._access.explain(error, self.name[0])) from error
                if expired:
                    self._iterator = None
                if time.monotonic() > give_up_s:
                    raise KinesisError(
                        f"{self._access.explain(error, self.name[0])}, {self.name[1]}: no answer "
                        f"for {self._patience.give_up_s:g} s; start again when there is: nothing "
                        "was lost"
                    ) from error
                time.sleep(0 if expired and not failures else backoff_s(failures))
                failures += 1
            else:
                after = answer.get("NextShardIterator")
                found = Answer(
                    answer["Records"],
                    answer.get("MillisBehindLatest") or 0,
                    after is None,
                    int(answered_at(answer).timestamp()) * 1_000,
                )
                return found, after

    def _pause(self) -> None:
        wait_s = self._called_s + self._patience.pause_ms / 1e3 - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        self._called_s = time.monotonic()

    def _new_iterator(self, client: Any) -> str:
        stream, shard = self.name
        kind, _, value = self._start.partition(" ")
        where: dict[str, Any] = {"ShardIteratorType": kind}
        if self._after:
            where = {
                "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
                "StartingSequenceNumber": self._after,
            }
        elif kind == "AT_TIMESTAMP":
            where["Timestamp"] = int(value) / 1e3
        elif value:
            where["StartingSequenceNumber"] = value
        try:
            answer = client.get_shard_iterator(StreamName=stream, ShardId=shard, **where)
        except AWS_ERRORS as error:
            if code_of(error) != "InvalidArgumentException" or kind == "AT_TIMESTAMP":
                raise
            if not self._may_lose:
                raise KinesisError(
                    f"stream {stream}, {shard}: sequence number {self._after or value} is not of "
                    "this shard; was the stream created anew? Start on a new --lake"
                ) from error
            answer = client.get_shard_iterator(
                StreamName=stream, ShardId=shard, ShardIteratorType=TRIM_HORIZON
            )
        return str(answer["ShardIterator"])


def arrival_ms(record: dict[str, Any]) -> int:
    """Give the time at which Kinesis took a record, in ms since the epoch."""
    return round(record["ApproximateArrivalTimestamp"].timestamp() * 1e3)


@dataclass
class Taken:
    """Records that were read of a shard, those inside aggregated ones each by itself."""

    keys: list[bytes] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    arrived_us: list[int] = field(default_factory=list)
    sequence_numbers: list[str] = field(default_factory=list)
    size_bytes: int = 0
    after: str = ""
    arrived_ms: int = 0

    def __len__(self) -> int:
        return len(self.keys)

    def add(self, record: dict[str, Any], hashes: HashRange) -> None:
        """Add a record of Kinesis."""
        self.after = record["SequenceNumber"]
        self.arrived_ms = arrival_ms(record)
        arrived_us = self.arrived_ms * 1_000
        for key, data in deaggregate(record["PartitionKey"], record["Data"], hashes):
            self.keys.append(key.encode())
            self.values.append(data)
            self.arrived_us.append(arrived_us)
            self.sequence_numbers.append(self.after)
        self.size_bytes += len(record["Data"])

    def rows(self, name: ShardName, first_offset: int) -> pa.RecordBatch:
        """Give the records as rows, with offsets from a first one on."""
        stream, shard = name
        n = len(self)
        columns = [
            pa.repeat(SOURCE, n),
            pa.repeat(stream, n),
            pa.repeat(pa.scalar(shard_number(shard), pa.int32()), n),
            pa.array(range(first_offset, first_offset + n), pa.int64()),
            pa.array(self.keys, pa.binary()),
            pa.array(self.values, pa.binary()),
            pa.array(self.arrived_us, pa.timestamp("us", tz="UTC")),
            pa.array(self.sequence_numbers, pa.string()),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=ROW_SCHEMA)


def read_on(cursor: ShardCursor, position: ShardPosition, bounds: Bounds) -> tuple[Taken, ShardEnd]:
    """Read from a position to a bound, or to where there is no more for now."""
    taken, hashes = Taken(), position.hash_range
    until_s = time.monotonic() + bounds.read_ms / 1e3
    while True:
        limit = max(1, min(_CALL_RECORDS, bounds.records - len(taken)))
        answer = cursor.take(limit)
        left = len(answer.records)
        for record in answer.records:
            taken.add(record, hashes)
            left -= 1
            if len(taken) >= bounds.records or taken.size_bytes >= bounds.size_bytes:
                break
        at_end = not left and (answer.closed or _at_tip(answer, limit, position))
        full = len(taken) >= bounds.records or taken.size_bytes >= bounds.size_bytes
        # With nothing read the position would stay where it is, so that a stretch of a shard
        # without records, which Kinesis crosses in several calls, would be walked again and again.
        if at_end or full or (taken.after and time.monotonic() > until_s):
            break
    end = ShardEnd(
        after=taken.after or position.after,
        offset=position.offset + len(taken),
        known_ms=answer.at_ms if at_end else taken.arrived_ms,
        records=len(taken),
        more=not at_end,
        closed=at_end and answer.closed,
    )
    return taken, end


def _at_tip(answer: Answer, limit: int, position: ShardPosition) -> bool:
    return not position.closing and answer.behind_ms == 0 and len(answer.records) < limit


def read_again(
    cursor: ShardCursor, position: ShardPosition, end: ShardEnd, *, may_lose: bool
) -> Taken:
    """Read what the first reader of the plan read.

    Raises
    ------
    KinesisError
        If some of it is gone, or other records are there.
    """
    taken, hashes = Taken(), position.hash_range
    if not end.after or end.after == position.after:
        return taken
    last = int(end.after)
    while not taken.after or int(taken.after) < last:
        answer = cursor.take(_CALL_RECORDS)
        beyond = False
        for record in answer.records:
            if int(record["SequenceNumber"]) > last:
                beyond = True
                break
            taken.add(record, hashes)
        if beyond or answer.closed or (answer.behind_ms == 0 and not answer.records):
            break
    stream, shard = cursor.name
    if len(taken) > end.records:
        raise KinesisError(
            f"stream {stream}, {shard}: {len(taken)} records are there where {end.records} were "
            "read before; the stream was changed under the lake"
        )
    if len(taken) < end.records and not may_lose:
        raise KinesisError(
            f"stream {stream}, {shard}: {end.records - len(taken)} of {end.records} records of a "
            "batch that was not finished have expired; start on a new --lake, or go on without "
            "them: kinesis.fail_on_data_loss = false"
        )
    return taken
