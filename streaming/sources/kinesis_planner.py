"""What the next batch reads of Kinesis: asks what there is, and plans by it."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Final

from marketlake.kinesis.client import AWS_ERRORS, KinesisAccess, KinesisError, answered_at, code_of
from streaming.sources.kinesis_cursor import Answer, Patience, ShardCursor, arrival_ms
from streaming.sources.kinesis_ends import KinesisEnds
from streaming.sources.kinesis_plans import (
    ListedShard,
    ListedStream,
    Plan,
    ShardName,
    ShardPosition,
)
from streaming.sources.kinesis_shards import (
    after,
    beginning,
    childless,
    readable,
    reading,
    with_listed,
)

_LIST_EVERY_S: Final = 30.0
_PROBES: Final = 16
"""Shards that are looked at at once."""
_SEEN_EVERY_S: Final = 900.0
_DRAIN_MARGIN_MS: Final = 5_000


def list_streams(access: KinesisAccess, streams: Collection[str]) -> dict[str, ListedStream]:
    """Describe those streams that exist.

    Raises
    ------
    KinesisError
        If Kinesis does not answer, or refuses us.
    """
    client, found = access.client(), {}
    for stream in sorted(streams):
        try:
            answer = client.describe_stream_summary(StreamName=stream)
            summary = answer["StreamDescriptionSummary"]
            if summary["StreamStatus"] in {"CREATING", "DELETING"}:
                continue
            shards: dict[str, ListedShard] = {}
            asked: dict[str, Any] = {"StreamName": stream}
            while asked:
                page = client.list_shards(**asked)
                shards |= {shard["ShardId"]: _listed(shard) for shard in page["Shards"]}
                asked = {"NextToken": page["NextToken"]} if page.get("NextToken") else {}
        except AWS_ERRORS as error:
            if code_of(error) == "ResourceNotFoundException":
                continue
            raise KinesisError(access.explain(error, stream)) from error
        found[stream] = ListedStream(
            created_ms=_ms(summary["StreamCreationTimestamp"]),
            retention_ms=int(summary["RetentionPeriodHours"]) * 3_600_000,
            listed_ms=_ms(answered_at(answer)),
            shards=shards,
        )
    return found


def _listed(shard: Mapping[str, Any]) -> ListedShard:
    hashes = shard["HashKeyRange"]
    parents = (shard.get("ParentShardId"), shard.get("AdjacentParentShardId"))
    return ListedShard(
        f"{hashes['StartingHashKey']} {hashes['EndingHashKey']}",
        tuple(parent for parent in parents if parent),
        closed="EndingSequenceNumber" in shard["SequenceNumberRange"],
    )


def _ms(time_of_day: datetime) -> int:
    return round(time_of_day.astimezone(UTC).timestamp() * 1e3)


class KinesisPlanner:
    """Plans one query; lives as long as it.

    Parameters
    ----------
    start : str
        As for :func:`beginning`.
    poll_ms : int
        Least time between two looks at a shard that had nothing.
    drain : bool
        Plan what was there at the first call, and then nothing more.
    may_lose : bool
        Go on where records that were not read are gone.
    """

    def __init__(
        self,
        access: KinesisAccess,
        streams: Collection[str],
        ends: KinesisEnds,
        patience: Patience,
        *,
        start: str,
        sequence_numbers: Mapping[str, Mapping[str, str]],
        poll_ms: int,
        drain: bool,
        may_lose: bool,
    ) -> None:
        self._access, self._streams, self._ends = access, streams, ends
        self._patience, self._start, self._sequence_numbers = patience, start, sequence_numbers
        self._poll_s, self._drain, self._may_lose = poll_ms / 1e3, drain, may_lose
        self._listed: dict[str, ListedStream] = {}
        self._listed_s = self._looked_s = float("-inf")
        self._now: Plan | None = None
        self._more: set[ShardName] = set()
        self._cursors: dict[ShardName, tuple[ShardPosition, ShardCursor]] = {}
        self._known_ms: dict[ShardName, int] = {}
        self._seen_s = time.monotonic()
        self._drained: set[ShardName] = set()
        self._drain_to_ms = 0

    def beginning(self) -> Plan:
        """Give what all begins with: the same for ever."""
        plan = self._ends.beginning()
        if plan is None:
            self._list()
            if not self._listed:
                raise KinesisError(
                    f"Kinesis in {self._access.region} has none of the streams "
                    f"{', '.join(self._streams)}; publish to one first, or correct region or prefix"
                )
            plan = self._ends.begin(beginning(self._listed, self._start, self._sequence_numbers))
        return plan

    def next(self, last: Plan) -> Plan:
        """Plan what comes after a plan that is done; the same plan where there is nothing.

        Raises
        ------
        KinesisError
            With one line, where it cannot go on.
        """
        now = self._take_up(last)
        while True:
            now = self._look_around(now)
            names = set(readable(now)) - self._drained
            fresh = {n for n in names if not _position(now, n).visited}
            more = (self._more & names) | fresh
            wait_s = self._looked_s + self._poll_s - time.monotonic()
            if not more and wait_s > 0:
                if not self._drain:
                    return last
                time.sleep(wait_s)
            closing = self._probe(now, names - more, more)
            names -= self._drained
            more -= self._drained
            if more:
                return reading(now, more, self._known_ms, closing)
            if not self._drain or self._all_drained(now):
                return last

    def _take_up(self, last: Plan) -> Plan:
        if self._now is None:
            self._known_ms = self._ends.seen()
        if self._now is None or self._now.number != last.number:
            ends = self._ends.ends(last)
            self._now = after(last, ends)
            self._more = {name for name, end in ends.items() if end.more}
        return self._now

    def _look_around(self, now: Plan) -> Plan:
        """List shards and streams, where that is due."""
        overdue = time.monotonic() - self._listed_s > _LIST_EVERY_S
        impatient = time.monotonic() - self._listed_s > self._poll_s and childless(now)
        if overdue or impatient:
            self._list()
        self._now = with_listed(
            reading_none(now, self._known_ms), self._listed, may_lose=self._may_lose
        )
        return self._now

    def _list(self) -> None:
        self._listed = list_streams(self._access, self._streams)
        self._listed_s = time.monotonic()
        if self._drain and not self._drain_to_ms and self._listed:
            # Arrivals are approximate, and the answer's time is cut to the second.
            latest_ms = max(stream.listed_ms for stream in self._listed.values())
            self._drain_to_ms = latest_ms + _DRAIN_MARGIN_MS

    def _probe(
        self, now: Plan, names: Collection[ShardName], more: set[ShardName]
    ) -> set[ShardName]:
        """Look which shards have more, and add them; give those that are closing."""
        probed = sorted(set(names) | (more if self._drain else set()))
        closing = set()
        self._looked_s = time.monotonic()
        cursors = [self._cursor(name, _position(now, name)) for name in probed]
        with ThreadPoolExecutor(_PROBES) as pool:
            answers = list(pool.map(ShardCursor.peek, cursors))
        for name, answer in zip(probed, answers, strict=True):
            if answer.closed and not answer.records:
                closing.add(name)
            if answer.records or answer.closed:
                more.add(name)
            elif answer.behind_ms == 0:
                self._known_ms[name] = answer.at_ms
            if self._drain and self._is_drained(name, answer):
                self._drained.add(name)
        self._keep_seen()
        return closing

    def _cursor(self, name: ShardName, position: ShardPosition) -> ShardCursor:
        known = self._cursors.get(name)
        if known is None or (known[0].after, known[0].start) != (position.after, position.start):
            cursor = ShardCursor(
                self._access, name, position, self._patience, may_lose=self._may_lose
            )
            known = self._cursors[name] = (position, cursor)
        return known[1]

    def _is_drained(self, name: ShardName, answer: Answer) -> bool:
        stream, shard = name
        listed = self._listed[stream].shards.get(shard) if stream in self._listed else None
        if answer.closed or (listed and listed.closed):
            # Read until it is recorded that it has ended: its children wait for that.
            return False
        if answer.records:
            return arrival_ms(answer.records[0]) >= self._drain_to_ms
        return answer.behind_ms == 0

    def _all_drained(self, now: Plan) -> bool:
        return all(
            position.ended or (stream, shard) in self._drained
            for stream, known in now.streams.items()
            for shard, position in known.shards.items()
        )

    def _keep_seen(self) -> None:
        if time.monotonic() - self._seen_s > _SEEN_EVERY_S:
            self.close()

    def close(self) -> None:
        """Keep what a restart has to know."""
        if self._known_ms:
            self._ends.see(self._known_ms)
        self._seen_s = time.monotonic()


def reading_none(plan: Plan, known_ms: Mapping[ShardName, int]) -> Plan:
    """Give a plan's positions with what is known beside them, and its number."""
    return Plan(plan.number, reading(plan, (), known_ms).streams)


def _position(plan: Plan, name: ShardName) -> ShardPosition:
    return plan.streams[name[0]].shards[name[1]]
