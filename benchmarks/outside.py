"""Time of a command and of all that it starts, taken from outside."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
from measurement import tree_rss_bytes

_PR_SET_CHILD_SUBREAPER: Final = 36
_SAMPLE_S: Final = 0.2
_TAIL: Final = 8


@dataclass(frozen=True)
class Outside:
    """What a command took.

    Attributes
    ----------
    wall_s : float
        From its start to its end: interpreter, imports and JVM are in it.
    cpu_s : float
        User and system time of all its processes, those that it left behind too.
    """

    wall_s: float
    cpu_s: float
    peak_rss_bytes: int


def measure(command: Sequence[str | Path], log: Path, limit_s: float) -> Outside:
    """Run a command to its end.

    A worker that its parent never waited for would be lost to the sum; as a subreaper (Linux) this
    process inherits and waits for it.

    Raises
    ------
    SystemExit
        If it fails, or takes longer than the limit; with the last lines it wrote.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    log.parent.mkdir(parents=True, exist_ok=True)
    before_s, started = _children_cpu_s(), time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command], stdout=output, stderr=subprocess.STDOUT
        )
        root, peak_bytes = psutil.Process(process.pid), 0
        while process.poll() is None and time.monotonic() < started + limit_s:
            peak_bytes = max(peak_bytes, tree_rss_bytes(root))
            threading.Event().wait(_SAMPLE_S)
    wall_s = time.monotonic() - started
    late = process.poll() is None
    _end_all()
    if late or process.wait():
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-_TAIL:])
        raise SystemExit(f"{command[0]} {'took too long' if late else 'failed'}:\n{tail}")
    return Outside(wall_s, _children_cpu_s() - before_s, peak_bytes)


def _end_all() -> None:
    """End what is left of a command, and wait for it."""
    for child in psutil.Process().children(recursive=True):
        try:
            child.wait(timeout=10)
        except psutil.TimeoutExpired:
            child.kill()
        except psutil.Error:
            continue
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
