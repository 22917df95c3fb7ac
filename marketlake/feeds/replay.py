"""Publish a recording at its own pace, faster, or as fast as it goes; and take it up again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

import msgspec

from marketlake.contracts.errors import MarketlakeError
from marketlake.feeds.publish import Publisher
from marketlake.feeds.recorded.records import Record, ReplayStats

CHECKPOINT_EVENTS: Final = 20_000
CHECKPOINT_S: Final = 5.0
"""Events are flushed and noted in the journal after so many, or so long, whichever is first."""

HOLE_US: Final = 3_600_000_000
"""A time without events longer than this parts two recordings: it is not waited through."""

_REPORT_S: Final = 0.1
"""Least time between two calls of the progress callback, checkpoints aside."""

_SLEEP_S: Final = 0.5
"""Longest sleep at a time; a longer wait first flushes what was published."""


class ReplayError(MarketlakeError):
    """A replay that cannot be done as asked: one line with what and the mend."""


class Source(Protocol):
    """What can be replayed: a recording, or another deterministic sequence of records."""

    def fingerprint(self) -> str:
        """Name the content: the same name promises the same records in the same order."""
        ...

    def records(self, stats: ReplayStats) -> Iterator[Record]:
        """Give the records in publishing order."""
        ...


class Journal(msgspec.Struct, forbid_unknown_fields=True):
    """How far a replay got: one small JSON file.

    Attributes
    ----------
    fingerprint : str
        The source's.
    target : str
        Where its events went.
    acknowledged : int
        Events that the target has acknowledged, from the first on.
    """

    fingerprint: str
    target: str
    acknowledged: int = 0
    finished: bool = False

    def write(self, path: Path) -> None:
        """Put the journal in place of the one before, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.partial")
        partial.write_bytes(msgspec.json.encode(self))
        partial.replace(path)


@dataclass
class ReplaySummary:
    """What a replay did.

    Attributes
    ----------
    published : int
        Events published and acknowledged by this run.
    resumed_after : int
        Events that earlier runs had published, and this one passed over.
    already_finished : bool
        An earlier run had come to the end: nothing was read or published.
    first_time_us, last_time_us : int or None
        Publishing times of the first and the last event of this run, a bar's being its close.
    stats : ReplayStats
        Account of the rows of the recording, all runs together.
    """

    published: int = 0
    resumed_after: int = 0
    already_finished: bool = False
    first_time_us: int | None = None
    last_time_us: int | None = None
    elapsed_s: float = 0.0
    stats: ReplayStats = field(default_factory=ReplayStats)


ProgressCallback = Callable[[ReplaySummary], None]
"""Called with the summary so far; from the first call on, its ``stats`` are complete."""


@dataclass
class _Pace:
    """Holds events back until they are due on the wall clock.

    ``speed`` is event seconds a wall second; None never waits.
    """

    speed: float | None
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    last_us: int | None = None
    origin_us: int = 0
    origin_s: float = 0.0

    def due_in_s(self, time_us: int) -> float:
        """Seconds until an event is due; 0 or less where it is."""
        if self.speed is None:
            return 0.0
        if self.last_us is None or time_us - self.last_us > HOLE_US:
            self.origin_us, self.origin_s = time_us, self.clock()
        self.last_us = time_us
        due_s = self.origin_s + (time_us - self.origin_us) / 1e6 / self.speed
        return due_s - self.clock()


def read_journal(path: Path) -> Journal | None:
    """Read a journal, or None where there is none.

    Raises
    ------
    ReplayError
        The file is no journal.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Journal)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise ReplayError(f"{path} is no replay journal ({error}); delete it") from None


def _journal_of(fingerprint: str, target: str, path: Path | None, *, resume: bool) -> Journal:
    """Give the journal to go on with; a new one unless asked to resume."""
    if not resume:
        return Journal(fingerprint, target)
    if path is None:
        raise ReplayError("to resume a replay it must be told its journal")
    found = read_journal(path)
    if found is None:
        return Journal(fingerprint, target)
    if (found.fingerprint, found.target) != (fingerprint, target):
        raise ReplayError(
            f"{path} is of a replay of other data or to another target ({found.target});"
            " start from the beginning, or give the journal of this one"
        )
    return found


class _Run:
    """One run: publishes when due, flushes, notes how far it got, reports."""

    def __init__(
        self,
        publisher: Publisher,
        pace: _Pace,
        journal: Journal,
        journal_path: Path | None,
        progress: ProgressCallback | None,
    ) -> None:
        self.summary = ReplaySummary(resumed_after=journal.acknowledged)
        self._publisher = publisher
        self._pace = pace
        self._journal = journal
        self._journal_path = journal_path
        self._progress = progress
        self._started_s = self._checkpoint_s = self._reported_s = pace.clock()
        self._note()

    @property
    def _handed_over(self) -> int:
        """Events handed to the publisher, from the first of the recording on, all runs together."""
        return self.summary.resumed_after + self.summary.published

    @property
    def _pending(self) -> int:
        return self._handed_over - self._journal.acknowledged

    def _note(self) -> None:
        if self._journal_path is not None:
            self._journal.write(self._journal_path)

    def checkpoint(self, *, finished: bool = False) -> None:
        """Wait until everything is acknowledged and note it; nothing is noted where that fails."""
        handed_over = self._handed_over
        self._publisher.flush()
        # An assignment, not a sum: interrupted here and called again, it counts nothing twice.
        self._journal.acknowledged = handed_over
        self._journal.finished = finished
        self._note()
        self._checkpoint_s = self._pace.clock()
        self._report()

    def _report(self) -> None:
        self._reported_s = self._pace.clock()
        self.summary.elapsed_s = self._reported_s - self._started_s
        if self._progress is not None:
            self._progress(self.summary)

    def _wait(self, time_us: int) -> None:
        while (due_s := self._pace.due_in_s(time_us)) > 0:
            if due_s > _SLEEP_S and self._pending:
                self.checkpoint()
            else:
                self._pace.sleep(min(due_s, _SLEEP_S))

    def publish(self, record: Record) -> None:
        """Publish one record when it is due."""
        self._wait(record.time_us)
        self._publisher.publish(record.event_type, record.key, record.value, record.time_us)
        # Counted after: an interrupt between the two repeats an event and loses none.
        self.summary.published += 1
        if self.summary.first_time_us is None:
            self.summary.first_time_us = record.time_us
        self.summary.last_time_us = record.time_us
        now_s = self._pace.clock()
        if self._pending >= CHECKPOINT_EVENTS or now_s - self._checkpoint_s >= CHECKPOINT_S:
            self.checkpoint()
        elif now_s - self._reported_s >= _REPORT_S:
            self._report()


def replay(
    source: Source,
    publisher: Publisher,
    *,
    speed: float | None = None,
    progress: ProgressCallback | None = None,
    journal_path: Path | None = None,
    target: str = "",
    resume: bool = False,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> ReplaySummary:
    """Publish the events of a source in their order; on return all are acknowledged.

    Killed at any point, a run that resumes publishes again at most what was not yet noted
    (``CHECKPOINT_EVENTS``); those messages are equal byte for byte, so that the pipeline knows
    them as duplicates. Interrupted from the keyboard it first notes how far it got.

    Parameters
    ----------
    speed : float, optional
        Event time over wall time, above 0: 1 is the pace of the recording. None does not wait.
    journal_path : Path, optional
        Where to note how far the replay got. Without ``resume`` what it held is replaced.
    target : str
        Names where ``publisher`` publishes to; a journal counts for one target.
    resume : bool
        Go on after the last event noted in the journal; from the beginning where there is none.
    clock, sleep : callables
        Seconds that pass, and how to wait; replaced in tests.

    Raises
    ------
    ReplayError
        The speed is not above 0, or the journal is missing, broken or of another replay.
    PublishError
        The publisher failed; the journal holds what was acknowledged until then.
    RecordedDataError
        A file of the recording cannot be read.
    """
    if speed is not None and not 0 < speed < math.inf:
        raise ReplayError(f"a replay's speed is above 0, not {speed:g}")
    journal = _journal_of(source.fingerprint(), target, journal_path, resume=resume)
    if journal.finished:
        return ReplaySummary(resumed_after=journal.acknowledged, already_finished=True)
    run = _Run(publisher, _Pace(speed, clock, sleep), journal, journal_path, progress)
    try:
        records = source.records(run.summary.stats)
        for record in islice(records, journal.acknowledged, None):
            run.publish(record)
    except KeyboardInterrupt:
        run.checkpoint()
        raise
    run.checkpoint(finished=True)
    return run.summary
