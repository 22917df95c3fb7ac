"""Which run of a stream writes a lake, and a request that it may end.

A cluster cannot tell a driver to end in peace: YARN signals the JVM, whose end cuts a
batch off. So the request lies in the lake, which both sides reach. It names the run that it is for,
so one that was left behind means nothing to the next.
"""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Final

import msgspec

from marketlake.contracts.errors import MarketlakeError
from marketlake.lake.storage import Storage

_RUN: Final = "_marketlake/stream/run.json"
_STOP: Final = "_marketlake/stream/stop.json"


class Run(msgspec.Struct, frozen=True):
    """A run of the stream.

    Attributes
    ----------
    began, ended : str
        UTC; ``ended`` is empty while it runs, and of one that was killed.
    """

    id: str
    host: str
    process: int
    began: str
    ended: str = ""


class StopRequest(msgspec.Struct, frozen=True):
    """A request that a run may end; ``by`` and ``at`` say whose it is, and since when."""

    run: str
    by: str
    at: str


def last_run(storage: Storage) -> Run | None:
    """Give the run that began last; None where none ever did."""
    if storage.size(_RUN) < 0:
        return None
    return msgspec.json.decode(storage.read(_RUN), type=Run)


def running(storage: Storage) -> Run | None:
    """Give the run that has not said that it ended; it may have been killed."""
    run = last_run(storage)
    return None if run is None or run.ended else run


def request_stop(storage: Storage, run: Run, by: str) -> None:
    """Ask a run to end after its present batch.

    Parameters
    ----------
    by : str
        Who asks, for the log of the stream.
    """
    storage.write(_STOP, msgspec.json.encode(StopRequest(run.id, by, _now())))


def withdraw_stop(storage: Storage) -> None:
    """Take a request back, as long as it was not seen."""
    storage.files.delete([_STOP])


@contextmanager
def announced(
    storage: Storage, poll_ms: int, on_request: Callable[[StopRequest], None]
) -> Iterator[Run]:
    """Tell, while the context lasts, that a run writes this lake, and look for requests to end it.

    To be entered by who holds the lease.

    Parameters
    ----------
    poll_ms : int
        Time between two looks; 0 for none.
    on_request : callable
        Called once, from another thread.
    """
    run = Run(uuid.uuid4().hex, socket.gethostname(), os.getpid(), _now())
    storage.write(_RUN, msgspec.json.encode(run))
    done = threading.Event()

    def look() -> None:
        while not done.wait(poll_ms / 1e3):
            # A lake that cannot be reached for a while is the batches' to tell.
            with suppress(MarketlakeError, OSError, msgspec.DecodeError):
                request = _requested(storage)
                if request is not None and request.run == run.id:
                    on_request(request)
                    return

    thread = threading.Thread(target=look, name="stop requests", daemon=True)
    if poll_ms:
        thread.start()
    try:
        yield run
    finally:
        done.set()
        # It ends by itself: what the run did, or why it failed, is what is to be told.
        with suppress(MarketlakeError, OSError):
            storage.write(_RUN, msgspec.json.encode(msgspec.structs.replace(run, ended=_now())))


def _requested(storage: Storage) -> StopRequest | None:
    if storage.size(_STOP) < 0:
        return None
    return msgspec.json.decode(storage.read(_STOP), type=StopRequest)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%fZ")
