"""Wall time and CPU time of a stretch of a process and of all it started."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Final

import psutil

RESULT_SIGN: Final = "RESULT "
"""Begins the line by which a contender gives its result to `run`."""


@dataclass
class Result:
    """What one contender did with one workload.

    Attributes
    ----------
    wall_s : float
        From the start of the query to its last commit.
    cpu_s : float
        User and system time of the process tree in that stretch, the broker's not counted.
    batches : list of float
        Seconds of each batch, where the contender has batches.
    """

    contender: str
    rows: int
    wall_s: float = 0.0
    cpu_s: float = 0.0
    warm: bool = True
    batches: list[float] | None = None

    def print(self) -> None:
        """Hand the result to `run`."""
        print(RESULT_SIGN + json.dumps(asdict(self)), flush=True)


@contextmanager
def measured(result: Result) -> Iterator[None]:
    """Measure the body of a ``with`` block into a result."""
    before_s, started = tree_cpu_s(), time.monotonic()
    yield
    result.wall_s = time.monotonic() - started
    result.cpu_s = tree_cpu_s() - before_s


def tree_cpu_s(root: psutil.Process | None = None) -> float:
    """CPU time of a process, its descendants, and those of them that have ended."""
    return sum(_cpu_s(process) for process in _tree(root or psutil.Process()))


def tree_rss_bytes(root: psutil.Process) -> int:
    """Resident memory summed over a process tree: pages that are shared count several times."""
    return sum(_rss_bytes(process) for process in _tree(root))


def _tree(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def _cpu_s(process: psutil.Process) -> float:
    try:
        return sum(process.cpu_times()[:4])
    except psutil.Error:
        return 0.0


def _rss_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
