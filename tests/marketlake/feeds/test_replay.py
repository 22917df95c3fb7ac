"""Pacing, checkpoints and resuming, with a clock that only a sleep moves."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from marketlake.contracts.events import EventType, Trade
from marketlake.feeds import replay as replaying
from marketlake.feeds.publish import DeliveryError
from marketlake.feeds.recorded.records import Record, ReplayStats, record_of
from marketlake.feeds.replay import Journal, ReplayError, ReplaySummary, replay

SECOND_US = 1_000_000


@dataclass
class Times:
    """A wall clock that starts at 1,000 s and stands still but for sleeps."""

    now_s: float = 1000.0
    slept_s: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_s += seconds


@dataclass
class Trades:
    """A source of one trade at each of the given event times."""

    times_us: list[int]
    name: str = "trades"

    def fingerprint(self) -> str:
        return self.name

    def records(self, stats: ReplayStats) -> Iterator[Record]:
        stats.rows_read += len(self.times_us)
        stats.events["trade"] += len(self.times_us)
        for number, time_us in enumerate(self.times_us):
            yield record_of(Trade("kraken", "BTC-USD", time_us, 1.0, 1.0, trade_id=str(number)))


@dataclass
class Memory:
    """Keeps what is published; ``fails_at`` refuses that event, ``stops_at`` interrupts there."""

    times: Times = field(default_factory=Times)
    fails_at: int | None = None
    stops_at: int | None = None
    sent: list[tuple[EventType, bytes, int]] = field(default_factory=list)
    sent_at_s: list[float] = field(default_factory=list)
    flushed: list[int] = field(default_factory=list)

    def publish(self, event_type: EventType, key: bytes, value: bytes, timestamp_us: int) -> None:
        if len(self.sent) == self.fails_at:
            raise DeliveryError("refused")
        if len(self.sent) == self.stops_at:
            raise KeyboardInterrupt
        self.sent.append((event_type, key, timestamp_us))
        self.sent_at_s.append(self.times.now_s)

    def flush(self) -> None:
        self.flushed.append(len(self.sent))

    def close(self) -> None:
        self.flush()


def journal_at(path: Path) -> Journal:
    return msgspec.json.decode(path.read_bytes(), type=Journal)


def test_at_full_speed_everything_is_published_in_order_without_waiting() -> None:
    memory = Memory()
    summary = replay(
        Trades([1, 2, 10 * SECOND_US]),
        memory,
        clock=memory.times.clock,
        sleep=memory.times.sleep,
    )
    assert memory.sent == [
        ("trade", b"BTC-USD", 1),
        ("trade", b"BTC-USD", 2),
        ("trade", b"BTC-USD", 10 * SECOND_US),
    ]
    assert memory.times.slept_s == []
    assert memory.flushed[-1] == 3
    assert (summary.published, summary.resumed_after) == (3, 0)
    assert (summary.first_time_us, summary.last_time_us) == (1, 10 * SECOND_US)
    assert summary.stats.rows_read == 3


@pytest.mark.parametrize(
    ("speed", "offsets_s"), [(1.0, [0, 1, 1, 4]), (2.0, [0, 0.5, 0.5, 2]), (0.5, [0, 2, 2, 8])]
)
def test_events_are_published_when_they_are_due(speed: float, offsets_s: list[float]) -> None:
    memory = Memory()
    times_us = [7 * SECOND_US, 8 * SECOND_US, 8 * SECOND_US, 11 * SECOND_US]
    replay(
        Trades(times_us),
        memory,
        speed=speed,
        clock=memory.times.clock,
        sleep=memory.times.sleep,
    )
    assert memory.sent_at_s == pytest.approx([1000 + offset for offset in offsets_s])


def test_before_a_long_wait_what_was_published_is_flushed() -> None:
    memory = Memory()
    replay(
        Trades([0, 0, 60 * SECOND_US]),
        memory,
        speed=1,
        clock=memory.times.clock,
        sleep=memory.times.sleep,
    )
    assert memory.flushed[0] == 2
    assert memory.flushed[-1] == 3


def test_a_hole_between_two_recordings_is_not_waited_through() -> None:
    year_us = 365 * 86_400 * SECOND_US
    memory = Memory()
    replay(
        Trades([0, SECOND_US, year_us, year_us + SECOND_US]),
        memory,
        speed=1,
        clock=memory.times.clock,
        sleep=memory.times.sleep,
    )
    assert memory.sent_at_s == pytest.approx([1000, 1001, 1001, 1002])


@pytest.mark.parametrize("speed", [0.0, -1.0, float("inf"), float("nan")])
def test_a_speed_not_above_zero_is_refused(speed: float) -> None:
    with pytest.raises(ReplayError, match="speed is above 0"):
        replay(Trades([1]), Memory(), speed=speed)


def test_a_finished_replay_says_so_and_publishes_nothing_again(tmp_path: Path) -> None:
    journal = tmp_path / "new" / "journal.json"
    replay(Trades([1, 2]), Memory(), journal_path=journal, target="t")
    assert journal_at(journal) == Journal("trades", "t", acknowledged=2, finished=True)
    again = Memory()
    summary = replay(Trades([1, 2]), again, journal_path=journal, target="t", resume=True)
    assert summary.already_finished
    assert (summary.resumed_after, summary.published, again.sent) == (2, 0, [])


def test_without_being_asked_a_replay_starts_from_the_beginning(tmp_path: Path) -> None:
    journal = tmp_path / "journal.json"
    replay(Trades([1, 2]), Memory(), journal_path=journal)
    again = Memory(fails_at=1)
    with pytest.raises(DeliveryError):
        replay(Trades([1, 2]), again, journal_path=journal)
    assert [time_us for _, _, time_us in again.sent] == [1]
    # The journal of the finished run is gone, too: nothing of the new one is acknowledged yet.
    assert journal_at(journal) == Journal("trades", "", acknowledged=0, finished=False)


def test_after_a_failure_it_resumes_at_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "CHECKPOINT_EVENTS", 4)
    journal = tmp_path / "journal.json"
    first = Memory(fails_at=9)
    with pytest.raises(DeliveryError):
        replay(Trades(list(range(12))), first, journal_path=journal)
    assert first.flushed == [4, 8]
    assert journal_at(journal).acknowledged == 8
    second = Memory()
    summary = replay(Trades(list(range(12))), second, journal_path=journal, resume=True)
    assert [time_us for _, _, time_us in second.sent] == [8, 9, 10, 11]
    assert (summary.resumed_after, summary.published) == (8, 4)
    assert journal_at(journal) == Journal("trades", "", acknowledged=12, finished=True)


def test_after_an_interrupt_it_resumes_exactly_there(tmp_path: Path) -> None:
    journal = tmp_path / "journal.json"
    first, second = Memory(stops_at=5), Memory()
    with pytest.raises(KeyboardInterrupt):
        replay(Trades(list(range(12))), first, journal_path=journal)
    replay(Trades(list(range(12))), second, journal_path=journal, resume=True)
    both = [time_us for _, _, time_us in first.sent + second.sent]
    assert both == list(range(12))


def test_a_checkpoint_comes_after_some_time_too(tmp_path: Path) -> None:
    memory = Memory()
    times_us = [n * SECOND_US // 10 for n in range(100)]  # ten a second, for ten seconds
    replay(
        Trades(times_us),
        memory,
        speed=1,
        journal_path=tmp_path / "journal.json",
        clock=memory.times.clock,
        sleep=memory.times.sleep,
    )
    # At 5 s the 51st event has been published; the next five seconds end with the recording.
    assert memory.flushed[0] == pytest.approx(51, abs=1)
    assert memory.flushed[-1] == 100


def test_resuming_without_a_journal_there_starts_from_the_beginning(tmp_path: Path) -> None:
    memory = Memory()
    replay(Trades([1, 2]), memory, journal_path=tmp_path / "journal.json", resume=True)
    assert len(memory.sent) == 2


@pytest.mark.parametrize(("name", "target"), [("other data", "t"), ("trades", "other target")])
def test_a_journal_of_another_replay_is_refused(tmp_path: Path, name: str, target: str) -> None:
    journal = tmp_path / "journal.json"
    replay(Trades([1, 2]), Memory(), journal_path=journal, target="t")
    with pytest.raises(ReplayError, match="of other data or to another target"):
        replay(Trades([1], name), Memory(), journal_path=journal, target=target, resume=True)


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    journal = tmp_path / "journal.json"
    journal.write_text('{"acknowledged": "many"}')
    with pytest.raises(ReplayError, match="is no replay journal"):
        replay(Trades([1]), Memory(), journal_path=journal, resume=True)
    with pytest.raises(ReplayError, match="must be told its journal"):
        replay(Trades([1]), Memory(), resume=True)


def test_progress_ends_with_the_whole() -> None:
    seen: list[tuple[int, int]] = []

    def progress(summary: ReplaySummary) -> None:
        seen.append((summary.published, summary.stats.events.total()))

    replay(Trades([1, 2, 3]), Memory(), progress=progress)
    assert seen[-1] == (3, 3)
