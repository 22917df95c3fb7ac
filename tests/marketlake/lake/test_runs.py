"""Runs tell that they write a lake, and end on a request that names them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from marketlake.lake.runs import (
    StopRequest,
    announced,
    last_run,
    request_stop,
    running,
    withdraw_stop,
)
from marketlake.lake.storage import Storage


@pytest.fixture(params=["disk", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "disk":
        return Storage(str(tmp_path))
    return Storage(f"s3a://{request.getfixturevalue('s3_bucket')}/lake")


class Heard:
    """Takes requests, as a stream does."""

    def __init__(self) -> None:
        self.requests: list[StopRequest] = []
        self._event = threading.Event()

    def __call__(self, request: StopRequest) -> None:
        self.requests.append(request)
        self._event.set()

    def within(self, seconds: float) -> bool:
        return self._event.wait(seconds)


@pytest.fixture
def heard() -> Heard:
    return Heard()


def test_a_run_is_seen_while_it_lasts(lake: Storage, heard: Callable[[StopRequest], None]):
    assert last_run(lake) is None
    with announced(lake, 0, heard) as run:
        assert running(lake) == run
    assert running(lake) is None
    ended = last_run(lake)
    assert ended is not None
    assert (ended.id, bool(ended.ended)) == (run.id, True)


def test_a_request_reaches_the_run_that_it_names(lake: Storage, heard: Heard):
    with announced(lake, 20, heard) as run:
        request_stop(lake, run, "an operator")
        assert heard.within(10)
    assert [(r.run, r.by) for r in heard.requests] == [(run.id, "an operator")]


def test_a_request_of_before_means_nothing_to_the_next_run(lake: Storage, heard: Heard):
    with announced(lake, 0, heard) as former:
        request_stop(lake, former, "an operator")
    with announced(lake, 20, heard) as run:
        assert run.id != former.id
        assert not heard.within(0.5)
        withdraw_stop(lake)
        assert not heard.within(0.2)


def test_a_damaged_request_does_not_end_the_watch(lake: Storage, heard: Heard):
    with announced(lake, 20, heard) as run:
        lake.write("_marketlake/stream/stop.json", b"{")
        assert not heard.within(0.3)
        request_stop(lake, run, "an operator")
        assert heard.within(10)


def test_a_killed_run_is_still_there_until_the_next(lake: Storage, heard: Heard):
    # Nothing is written by a process that was killed: its run has no end.
    killed = announced(lake, 0, heard)
    run = killed.__enter__()
    assert running(lake) == run
    with announced(lake, 0, heard) as other:
        assert running(lake) == other
