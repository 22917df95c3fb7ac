"""Which shards go on as which, when a plan begins.

A shard that was split or merged is read to its end before its children are begun. It goes on being
waited for until they are: between its last record and their first there must be no moment at which
the inputs that others wait for have none of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from streaming.sources.kinesis_plans import Plan, ShardPosition, shard_number
from streaming.sources.source import Succession

_Shards = Mapping[str, ShardPosition]


def successions(plan: Plan) -> list[Succession]:
    """Give what goes on as what: for each shard with parents that is read or was."""
    found = []
    for stream, known in sorted(plan.streams.items()):
        children = _children(known.shards)
        for shard, position in sorted(known.shards.items()):
            if not position.ended or shard not in children:
                continue
            begins = {
                child
                for child in _descendants(shard, children, known.shards)
                if known.shards[child].read and not known.shards[child].visited
            }
            heirs = _heirs(shard, children, known.shards)
            others = {p for child in begins for p in _ancestors(child, known.shards)}
            parents = sorted({shard, *others})
            found.append(
                Succession(
                    ended=(stream, shard_number(shard)),
                    children=tuple((stream, shard_number(child)) for child in sorted(begins)),
                    parents=tuple((stream, shard_number(parent)) for parent in parents),
                    heirs=None
                    if heirs is None
                    else tuple((stream, shard_number(h)) for h in heirs),
                )
            )
    return found


def _children(shards: _Shards) -> dict[str, list[str]]:
    children: dict[str, list[str]] = {}
    for shard, position in sorted(shards.items()):
        for parent in position.parents:
            if parent in shards:
                children.setdefault(parent, []).append(shard)
    return children


def _descendants(shard: str, children: Mapping[str, list[str]], shards: _Shards) -> Iterator[str]:
    """Give the children, and of those that had no record, theirs."""
    for child in children.get(shard, ()):
        yield child
        if shards[child].ended and not shards[child].offset:
            yield from _descendants(child, children, shards)


def _ancestors(shard: str, shards: _Shards) -> Iterator[str]:
    for parent in shards[shard].parents:
        if parent in shards:
            yield parent
            if not shards[parent].offset:
                yield from _ancestors(parent, shards)


def _heirs(shard: str, children: Mapping[str, list[str]], shards: _Shards) -> list[str] | None:
    """Give the children, in place of those that ended without a record theirs; None where unknown.

    One that was looked at and had nothing yet may have the next record there is.
    """
    if shard not in children:
        return None
    found: set[str] = set()
    for child in children[shard]:
        position = shards[child]
        passes_on = position.ended and not position.offset
        handed = _heirs(child, children, shards) if passes_on else [child]
        if handed is None:
            return None
        found.update(handed)
    return sorted(found)
