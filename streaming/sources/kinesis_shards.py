"""Which shards are read next and from where: the planning of Kinesis, without any I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from marketlake.kinesis.client import KinesisError
from streaming.sources.kinesis_plans import (
    TRIM_HORIZON,
    ListedStream,
    Plan,
    ShardEnd,
    ShardName,
    ShardPosition,
    StreamPosition,
)


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
