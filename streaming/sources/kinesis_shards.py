"""Which shards are read next and from where: the planning of Kinesis, without any I/O.

Kinesis has no end offsets, so a plan says from where each shard is read; how far, the tasks find
out within their bounds and record (``kinesis_ends``). The next plan begins at those ends.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
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


def beginning(
    listed: Mapping[str, ListedStream],
    start: str,
    sequence_numbers: Mapping[str, Mapping[str, str]] | None = None,
) -> Plan:
    """Give the plan that all begins with.

    Parameters
    ----------
    start : str
        ``TRIM_HORIZON``, ``AT_TIMESTAMP <ms>``, or ``LATEST``: what comes from now on.
    sequence_numbers : mapping, optional
        Record that a shard is read from, included, by stream and shard.
    """
    streams = {}
    for stream, found in listed.items():
        own = (sequence_numbers or {}).get(stream, {})
        unknown = set(own) - set(found.shards)
        if unknown:
            raise KinesisError(f"stream {stream} has no shard {min(unknown)} to start from")
        shards = {}
        for shard, one in found.shards.items():
            where = f"AT_TIMESTAMP {found.listed_ms}" if start == "LATEST" else start
            if shard in own:
                where = f"AT_SEQUENCE_NUMBER {own[shard]}"
            shards[shard] = ShardPosition(
                where,
                one.hashes,
                known_ms=found.listed_ms,
                parents=one.parents,
                ended=start == "LATEST" and one.closed,
            )
        streams[stream] = StreamPosition(found.created_ms, shards)
    return Plan(0, streams)


def after(plan: Plan, ends: Mapping[ShardName, ShardEnd]) -> Plan:
    """Give where the shards stand after a plan; no shard of it is marked as read.

    A shard that has no end recorded was not read: its rows went nowhere.
    """
    streams = {}
    for stream, known in plan.streams.items():
        shards = {}
        for shard, position in known.shards.items():
            end = ends.get((stream, shard)) if position.read else None
            if end is None:
                shards[shard] = msgspec.structs.replace(position, read=False, closing=False)
            else:
                shards[shard] = msgspec.structs.replace(
                    position,
                    after=end.after,
                    offset=end.offset,
                    known_ms=max(end.known_ms, position.known_ms),
                    visited=True,
                    ended=end.closed,
                    read=False,
                    closing=False,
                )
        streams[stream] = StreamPosition(known.created_ms, shards)
    return Plan(plan.number, streams)


def with_listed(plan: Plan, listed: Mapping[str, ListedStream], *, may_lose: bool) -> Plan:
    """Take up what Kinesis lists: streams and shards that are new, and those that are gone.

    Parameters
    ----------
    may_lose : bool
        Go on where records that were not read are gone.

    Raises
    ------
    KinesisError
        If a stream was made anew, or records not read yet are gone.
    """
    streams = dict(plan.streams)
    for stream, found in listed.items():
        known = streams.get(stream)
        if known is not None and known.created_ms != found.created_ms:
            raise KinesisError(
                f"stream {stream} was deleted and created anew since it was read; start on a new "
                "--lake"
            )
        shards = {} if known is None else dict(known.shards)
        for shard, one in found.shards.items():
            if shard not in shards:
                shards[shard] = ShardPosition(
                    TRIM_HORIZON, one.hashes, known_ms=found.listed_ms, parents=one.parents
                )
        for shard, position in list(shards.items()):
            if shard not in found.shards:
                if not position.ended and not may_lose:
                    raise _lost(stream, shard, "the shard is gone")
                del shards[shard]
        for shard, position in shards.items():
            expired = position.known_ms < found.listed_ms - found.retention_ms
            if expired and not position.ended and not may_lose:
                hours = found.retention_ms // 3_600_000
                raise _lost(stream, shard, f"they are kept for {hours} h")
        streams[stream] = StreamPosition(found.created_ms, shards)
    return Plan(plan.number, streams)


def _lost(stream: str, shard: str, why: str) -> KinesisError:
    return KinesisError(
        f"stream {stream}, {shard}: records not read yet may have expired ({why}); start on a new "
        "--lake, or go on without them: kinesis.fail_on_data_loss = false"
    )


def readable(plan: Plan) -> list[ShardName]:
    """Name the shards that can be read: not ended, and their parents are.

    A parent that is not known has expired, or was left out by where reading began.
    """
    return [
        (stream, shard)
        for stream, known in sorted(plan.streams.items())
        for shard, position in sorted(known.shards.items())
        if not position.ended
        and all(p not in known.shards or known.shards[p].ended for p in position.parents)
    ]


def childless(plan: Plan) -> bool:
    """Tell whether a shard has ended whose children are not known yet."""
    for known in plan.streams.values():
        parents = {parent for position in known.shards.values() for parent in position.parents}
        if any(p.ended and p.visited and s not in parents for s, p in known.shards.items()):
            return True
    return False


def reading(
    plan: Plan,
    shards: Iterable[ShardName],
    known_ms: Mapping[ShardName, int],
    closing: Collection[ShardName] = (),
) -> Plan:
    """Give the next plan, which reads these shards.

    Parameters
    ----------
    closing : collection
        Shards behind whose last record nothing will come any more.
    known_ms : mapping
        Up to when nothing can have been missed, where more is known of a shard than its position.
    """
    chosen = set(shards)
    streams = {
        stream: StreamPosition(
            known.created_ms,
            {
                shard: msgspec.structs.replace(
                    position,
                    read=(stream, shard) in chosen,
                    closing=(stream, shard) in closing,
                    known_ms=max(position.known_ms, known_ms.get((stream, shard), 0)),
                )
                for shard, position in known.shards.items()
            },
        )
        for stream, known in plan.streams.items()
    }
    return Plan(plan.number + 1, streams)
