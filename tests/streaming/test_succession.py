"""Which inputs are joined and no longer waited for when shards are split and merged."""

from __future__ import annotations

from streaming.sources.kinesis_plans import Plan, ShardPosition, StreamPosition
from streaming.sources.kinesis_succession import successions
from streaming.stages.messages import InputPosition
from streaming.succession import endings, joins

SHARDS = [f"shardId-{n:012d}" for n in range(6)]


def shard(
    *parents: int, records: int = 0, ended: bool = False, visited: bool = False, read: bool = False
) -> ShardPosition:
    return ShardPosition(
        "TRIM_HORIZON",
        "0 1",
        offset=records,
        parents=tuple(SHARDS[parent] for parent in parents),
        visited=visited or ended,
        ended=ended,
        read=read,
    )


def plan(*shards: ShardPosition) -> Plan:
    return Plan(7, {"t": StreamPosition(1, dict(zip(SHARDS, shards, strict=False)))})


def inputs(*names: int, lanes: dict[int, str] | None = None) -> dict[str, InputPosition]:
    lane = lanes or {}
    return {f"t-{n}": InputPosition("t", n, 5, 40, 100, lane=lane.get(n, "")) for n in names}


def joined(plan: Plan, known: dict[str, InputPosition]) -> dict[str, str]:
    return {place.name: event.lane for place, event in joins(known, successions(plan))}


def ended(plan: Plan, known: dict[str, InputPosition]) -> list[tuple[str, str, int]]:
    found = endings(known, successions(plan))
    return [(place.name, event.kind, event.watermark_us) for place, event in found]


def test_a_split_joins_the_halves_with_the_whole_before_they_begin():
    begins = plan(shard(records=5, ended=True), shard(0, read=True), shard(0, read=True))
    assert joined(begins, inputs(0)) == {"t-0": "t-0", "t-1": "t-0", "t-2": "t-0"}
    asleep = {place.name for place, event in joins(inputs(0), successions(begins)) if event.asleep}
    assert asleep == {"t-1", "t-2"}
    assert ended(begins, inputs(0)) == []


def test_the_whole_is_waited_for_until_both_halves_have_begun():
    whole = shard(records=5, ended=True)
    both = plan(whole, shard(0, records=3, visited=True, read=True), shard(0, visited=True))
    # The second half was looked at, and had nothing: what it has next may be older than all others.
    known = inputs(0, 1) | {"t-2": InputPosition("t", 2)}
    assert ended(both, known) == []
    assert ended(both, inputs(0, 1)) == []
    assert ended(both, inputs(0, 1, 2)) == [("t-0", "idle", 40)]
    assert joined(both, inputs(0, 1, 2)) == {}


def test_a_merge_joins_both_lanes_whole():
    merged = plan(
        shard(records=5, ended=True), shard(records=5, ended=True), shard(0, 1, read=True), shard()
    )
    known = inputs(0, 1, 3, lanes={1: "t-1", 3: "t-1"})
    assert joined(merged, known) == {"t-0": "t-0", "t-1": "t-0", "t-2": "t-0", "t-3": "t-0"}


def test_a_shard_without_a_record_hands_on_what_came_before_it():
    empty = shard(0, ended=True)
    begins = plan(shard(records=5, ended=True), empty, shard(1, read=True))
    assert joined(begins, inputs(0)) == {"t-0": "t-0", "t-2": "t-0"}
    assert ended(begins, inputs(0)) == []
    begun = plan(shard(records=5, ended=True), empty, shard(1, visited=True, read=True))
    assert ended(begun, inputs(0)) == []
    assert ended(begun, inputs(0, 2)) == [("t-0", "idle", 40)]


def test_a_merge_waits_for_the_other_parent_and_joins_nothing_before():
    waiting = plan(shard(records=5, ended=True), shard(records=2, visited=True), shard(0, 1))
    assert joined(waiting, inputs(0, 1)) == {}
    assert ended(waiting, inputs(0, 1)) == []


def test_a_shard_whose_children_are_not_known_is_waited_for():
    assert ended(plan(shard(records=5, ended=True)), inputs(0)) == []


def test_nothing_is_said_twice():
    begun = plan(shard(records=5, ended=True), shard(0, records=1, visited=True, read=True))
    quiet = {
        name: InputPosition("t", i.partition, 5, 40, 100, active=name != "t-0")
        for name, i in inputs(0, 1).items()
    }
    assert ended(begun, quiet) == []
