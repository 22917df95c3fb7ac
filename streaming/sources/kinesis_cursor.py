"""A cursor over the records of one shard, by GetRecords: it waits where Kinesis asks for it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from marketlake.kinesis.client import (
    AWS_ERRORS,
    KinesisAccess,
    KinesisError,
    answered_at,
    backoff_s,
    code_of,
    passes,
)
from streaming.sources.kinesis_plans import TRIM_HORIZON, ShardName, ShardPosition


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
