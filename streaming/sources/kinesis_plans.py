"""What a plan of Kinesis is made of: where shards stand, how far they were read, what is listed.

Kinesis has no end offsets, so a plan says from where each shard is read; how far, the tasks find
out within their bounds and record (``kinesis_ends``). The next plan begins at those ends.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from marketlake.kinesis.aggregation import HashRange
from marketlake.kinesis.client import KinesisError

TRIM_HORIZON: Final = "TRIM_HORIZON"
_SHARD_ID: Final = re.compile(r"shardId-(\d{12})")

ShardName = tuple[str, str]
"""Stream and shard id."""


class ShardPosition(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where one shard stands when a plan begins.

    Attributes
    ----------
    start : str
        Where reading begins while nothing was read: ``TRIM_HORIZON``, ``AT_TIMESTAMP <ms>`` or
        ``AT_SEQUENCE_NUMBER <n>``.
    after : str
        Sequence number of the last record read; empty where none was.
    offset : int
        Ordinal of the next record: the first that was ever read of the shard has 0. Records inside
        an aggregated one count each.
    known_ms : int
        Up to this time, in ms since the epoch, nothing can have been missed: the arrival of the
        last record read, or when it was seen that there are no more.
    hashes : str
        First and last hash key, with a space between.
    parents : tuple of str
        Shards that this one was split off or merged from.
    visited, ended : bool
        Read at least once; closed, and read to its end.
    read, closing : bool
        Read by this plan; and it was seen that behind the last record nothing will come any more.
    """

    start: str
    hashes: str
    after: str = ""
    offset: int = 0
    known_ms: int = 0
    parents: tuple[str, ...] = ()
    visited: bool = False
    ended: bool = False
    read: bool = False
    closing: bool = False

    @property
    def hash_range(self) -> HashRange:
        """Hash keys of the shard."""
        first, _, last = self.hashes.partition(" ")
        return HashRange(int(first), int(last))


class StreamPosition(msgspec.Struct, frozen=True):
    """Where the shards of one stream stand.

    Attributes
    ----------
    created_ms : int
        When the stream was created: one of the same name that was made anew is another.
    """

    created_ms: int
    shards: dict[str, ShardPosition]


class Plan(msgspec.Struct, frozen=True):
    """What one batch reads; the offset in Spark's checkpoint.

    Attributes
    ----------
    number : int
        Rises by 1 from plan to plan; 0 for the beginning, which reads nothing.
    """

    number: int
    streams: dict[str, StreamPosition]

    @classmethod
    def of(cls, offset: Mapping[str, Any]) -> Plan:
        """Read a plan from an offset.

        Raises
        ------
        KinesisError
            If it is none.
        """
        try:
            return msgspec.convert(offset, cls)
        except msgspec.ValidationError as error:
            raise KinesisError(f"the checkpoint holds no Kinesis positions: {error}") from error

    def offset(self) -> dict[str, Any]:
        """Give the plan as an offset."""
        return dict(msgspec.to_builtins(self))

    def reads(self) -> list[tuple[ShardName, ShardPosition]]:
        """Give the shards that the plan reads, by stream and shard."""
        return [
            ((stream, shard), position)
            for stream, known in sorted(self.streams.items())
            for shard, position in sorted(known.shards.items())
            if position.read
        ]


class ShardEnd(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the first reader of a shard in a plan stopped.

    Attributes
    ----------
    after, offset, known_ms
        As of :class:`ShardPosition`, for the next plan.
    records : int
        Records read, those inside aggregated ones each.
    more : bool
        A bound stopped it, or there may be more for another reason.
    closed : bool
        There will never be more.
    """

    after: str
    offset: int
    known_ms: int
    records: int = 0
    more: bool = False
    closed: bool = False


class ListedShard(msgspec.Struct, frozen=True):
    """A shard as Kinesis lists it."""

    hashes: str
    parents: tuple[str, ...] = ()
    closed: bool = False


class ListedStream(msgspec.Struct, frozen=True):
    """A stream as Kinesis describes it.

    Attributes
    ----------
    listed_ms : int
        Kinesis's time when it said so.
    """

    created_ms: int
    retention_ms: int
    listed_ms: int
    shards: dict[str, ListedShard]


def shard_number(shard: str) -> int:
    """Give the partition that a shard is: 12 for ``shardId-000000000012``.

    Raises
    ------
    KinesisError
        If it is no id of a shard.
    """
    match = _SHARD_ID.fullmatch(shard)
    if match is None:
        raise KinesisError(f"{shard} is no shard id as Kinesis gives them: shardId-000000000000")
    return int(match[1])
