"""Streams that kill themselves where a test wants it, as processes of their own."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.processes import Process


def crash(source: str, lake: Path | str, offsets: int, point: str, count: int) -> None:
    """Run a stream that sends itself SIGKILL when it passes a point for the so-many-th time."""
    process = Process("tests.streaming.crash_driver:main", *(source, lake, offsets, point, count))
    try:
        assert process.wait(timeout=300) == -signal.SIGKILL, process.err[-2_000:]
    finally:
        process.bury()
