"""Records of one shard: reads that are bounded, and reads that are repeated."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from marketlake.kinesis.aggregation import HashRange, deaggregate
from marketlake.kinesis.client import KinesisError
from streaming.sources.kinesis_cursor import Answer, ShardCursor, arrival_ms
from streaming.sources.kinesis_plans import ShardEnd, ShardName, ShardPosition, shard_number

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
_MARGIN: Final = 1.05
"""So that a batch does not end just short of its bound, and need a call for the rest."""
_held: Final[dict[str, float]] = {}
"""Rows that a record held on average when this process last read of its stream."""


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


@dataclass
class Taken:
    """Records that were read of a shard, those inside aggregated ones each by itself.

    Attributes
    ----------
    records, size_bytes : int
        Of Kinesis, as they came: an aggregated one is one.
    """

    keys: list[bytes] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    arrived_us: list[int] = field(default_factory=list)
    sequence_numbers: list[str] = field(default_factory=list)
    records: int = 0
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
        self.records += 1
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
        limit = _to_ask_for(cursor.name[0], bounds.records - len(taken))
        answer = cursor.take(limit)
        left = len(answer.records)
        for record in answer.records:
            taken.add(record, hashes)
            left -= 1
            if len(taken) >= bounds.records or taken.size_bytes >= bounds.size_bytes:
                break
        if taken.records:
            _held[cursor.name[0]] = max(1.0, len(taken) / taken.records)
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


def _to_ask_for(stream: str, rows: int) -> int:
    """Tell how many records of Kinesis hold so many rows, and a few more.

    What a call gives beyond the rows of a batch is read again by the next, out of the 2 MB/s that a
    shard gives; aggregated records hold many rows each.
    """
    if stream in _held:
        rows = min(rows, math.ceil(_MARGIN * rows / _held[stream]))
    return max(1, min(_CALL_RECORDS, rows))


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
        answer = cursor.take(_to_ask_for(cursor.name[0], end.records - len(taken)))
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
