"""Who is quiet is decided while no batch is taken: one may come between question and event."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from marketlake.contracts.control import Control
from marketlake.lake.manifests import Manifest, ManifestInput
from streaming.runner import StreamRunner
from streaming.stages.messages import InputPosition, PlacedControl

from .lakes import settings_with

IDLE_MS = 1_000
NOON_US = 1_736_942_400_000_000
MINUTE_US = 60_000_000
COUNTS = {"read": {"messages": 0}, "silver": {}, "quarantine": {"messages": 0}}


def manifest(sequence: int, **read: tuple[int, int]) -> Manifest:
    """A batch after which inputs stand at (next offset, latest event in µs after noon)."""
    inputs = {
        name: ManifestInput(name, 0, offset, NOON_US, NOON_US + after_us, True)
        for name, (offset, after_us) in read.items()
    }
    return Manifest(sequence, "messages", sequence, "test", 0, inputs, [], {}, [], COUNTS)


class Source:
    """Stands for Kafka, which is not asked."""

    bootstrap = prefix = "test"

    def look(self) -> tuple[str, dict[str, InputPosition]]:
        return "cluster", {}


class TakenBefore:
    """The pipeline's lock, which a batch takes first, just after it was seen free."""

    def __init__(self, batch: Callable[[], None]) -> None:
        self._batch = batch

    def locked(self) -> bool:
        return False

    def __enter__(self) -> None:
        self._batch()

    def __exit__(self, *_error: object) -> None: ...


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> dict[str, Control]:
    """Takes the control events in place of Spark."""
    found: dict[str, Control] = {}

    def take(_spark: object, _plan: object, controls: list[PlacedControl]) -> None:
        found.update({placed.topic: placed.event for placed in controls})

    monkeypatch.setattr("streaming.pipeline.results_of_controls", take)
    return found


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StreamRunner:
    settings = settings_with(idle_ms=IDLE_MS)
    made = StreamRunner(None, Source(), str(tmp_path / "lake"), settings)
    monkeypatch.setattr(made.pipeline, "_run", lambda _kind, _batch, step_one: step_one(None))
    return made


def after(runner: StreamRunner, batch: Manifest) -> None:
    runner.pipeline.last = batch
    runner._note(batch, 0.1)


def test_an_input_that_has_just_delivered_is_not_idle(
    runner: StreamRunner, written: dict[str, Control]
):
    after(runner, manifest(0, trades=(5, 1), bars=(3, 1)))
    runner._last_seen_s = dict.fromkeys(("trades", "bars"), time.monotonic() - 2 * IDLE_MS / 1e3)
    news = manifest(1, trades=(6, 5 * MINUTE_US), bars=(3, 1))
    runner.pipeline._lock = TakenBefore(lambda: after(runner, news))
    runner._declare_idle()
    # Its last event is 1 µs after noon, so the last minute of the quiet one ends at 12:01.
    assert written == {"bars": Control("idle", NOON_US + MINUTE_US)}


def test_nothing_is_written_where_all_have_delivered_meanwhile(
    runner: StreamRunner, written: dict[str, Control]
):
    after(runner, manifest(0, trades=(5, 1)))
    runner._last_seen_s = {"trades": time.monotonic() - 2 * IDLE_MS / 1e3}
    news = manifest(1, trades=(6, 2))
    runner.pipeline._lock = TakenBefore(lambda: after(runner, news))
    runner._declare_idle()
    assert written == {}
