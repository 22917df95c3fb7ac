"""Messages of the quarantine, mended, judged as the stream would, and sent again, each once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

from marketlake.contracts.events import TOPICS, EventType, topic_of
from marketlake.contracts.reasons import reason_names
from marketlake.feeds.publish import Publisher, Target
from marketlake.feeds.publishers import open_publisher
from marketlake.lake.lease import lease
from marketlake.lake.resubmissions import Position, Resubmissions
from marketlake.lake.storage import Storage
from marketlake.settings.model import Settings
from streaming.mending import HISTORY, Verdict, too_late, verdicts

_CHUNK: Final = 10_000


@dataclass
class Summary:
    """What became of the messages that were asked for.

    Attributes
    ----------
    left : int
        That the mender left alone, or that a file of mended ones does not have.
    unmatched : int
        Of a file of mended ones, those that stand for no message that was chosen.
    resubmitted_before : int
        That an earlier call sent.
    too_late : int
        That the lake's own source would refuse for their age.
    wrong : dict
        That would be refused again, by reason; one of several counts under each.
    """

    chosen: int = 0
    sent: int = 0
    left: int = 0
    unmatched: int = 0
    resubmitted_before: int = 0
    too_late: int = 0
    still_wrong: int = 0
    wrong: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A message of the quarantine."""

    position: Position
    reasons: list[str]
    value: bytes | None


Mend = Callable[[Row], bytes | None]
"""Gives a message mended; None to leave it."""

_Sound = tuple[Row, bytes, Verdict]


class Sending:
    """One call, over one lake.

    Parameters
    ----------
    watermarks_us : dict, optional
        How far the inputs of each topic are, where messages go back to the lake's own source.
    again : bool
        Also what an earlier call has sent.
    """

    def __init__(
        self,
        storage: Storage,
        mend: Mend,
        watermarks_us: dict[str, int] | None,
        settings: Settings,
        *,
        again: bool,
    ) -> None:
        self._storage, self._settings, self._again = storage, settings, again
        self._mend, self._watermarks_us = mend, watermarks_us
        self._sent_before = Resubmissions(storage)
        self._summary = Summary()

    def judge(self, rows: Iterator[Row], target: Target | None) -> Summary:
        """Send nothing, and tell what would be sent."""
        for _ in self._sound(rows, target):
            pass
        return self._summary

    def send(self, rows: Iterator[Row], target: Target) -> Summary:
        """Send what would be taken.

        Raises
        ------
        LakeError
            If another call is at it: it has not noted yet what this one would send once more.
        """
        with (
            lease(self._storage, "resubmitted") as check,
            closing(open_publisher(target)) as publisher,
        ):
            for sound in self._sound(rows, target):
                check()
                _publish(publisher, sound)
                # After they are safe: a call that died in between sends them twice, and the
                # second is a duplicate.
                self._sent_before.add([row.position for row, _, _ in sound])
        return self._summary

    def _sound(self, rows: Iterator[Row], target: Target | None) -> Iterator[list[_Sound]]:
        """Count what becomes of each, and give those to be sent, chunk by chunk."""
        summary = self._summary
        known = set() if self._again else self._sent_before.positions()
        topics: dict[EventType, str] = {
            event_type: topic_of(event_type, target.prefix) if target else event_type
            for event_type in TOPICS
        }
        for chunk in _chunks(rows):
            fresh = [row for row in chunk if row.position not in known]
            summary.chosen += len(chunk)
            summary.resubmitted_before += len(chunk) - len(fresh)
            mended = [(row, value) for row in fresh if (value := self._mend(row)) is not None]
            summary.left += len(fresh) - len(mended)
            sound = [one for one in self._judged(mended) if not self._late(one[2], topics)]
            yield sound
            summary.sent += len(sound)

    def _judged(self, mended: list[tuple[Row, bytes]]) -> Iterator[_Sound]:
        judged = verdicts([value for _, value in mended], self._settings)
        for (row, value), verdict in zip(mended, judged, strict=True):
            if not _refused_for_ever(row, value, verdict, self._summary):
                yield row, value, verdict

    def _late(self, verdict: Verdict, topics: dict[EventType, str]) -> bool:
        late = self._watermarks_us is not None and too_late(verdict, topics, self._watermarks_us)
        self._summary.too_late += late
        return late


def _refused_for_ever(row: Row, value: bytes, verdict: Verdict, summary: Summary) -> bool:
    """Count what would be refused again, or was refused for others it came after."""
    reasons = list(verdict.reasons)
    if not reasons and value == row.value:
        # As it was: a duplicate stays one, a row in conflict too.
        reasons = [r for r in row.reasons if r in reason_names(int(HISTORY)) and r != "too_late"]
    for reason in reasons:
        summary.wrong[reason] = summary.wrong.get(reason, 0) + 1
    summary.still_wrong += bool(reasons)
    return bool(reasons)


def _publish(publisher: Publisher, sound: list[tuple[Row, bytes, Verdict]]) -> None:
    for _, value, verdict in sound:
        assert verdict.event_type is not None
        assert verdict.instrument is not None
        publisher.publish(verdict.event_type, verdict.instrument.encode(), value, verdict.time_us)
    publisher.flush()


def _chunks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    chunk: list[Row] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
