"""Streams that kill themselves where a test wants it, as processes of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

_DRIVER = Path(__file__).with_name("crash_driver.py")


def start_driver(
    source: str, lake: Path, offsets: int, point: str, count: int
) -> subprocess.Popen[bytes]:
    """Start a stream that sends itself SIGKILL when it passes a point for the so-many-th time."""
    return subprocess.Popen(
        [sys.executable, str(_DRIVER), source, str(lake), str(offsets), point, str(count)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End what a dead driver left: its JVM and workers follow it, but not at once."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
