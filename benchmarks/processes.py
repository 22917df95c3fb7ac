"""A command watched from outside: memory and CPU time of its JVM, its driver and its workers."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import psutil

Kind = Literal["driver JVM", "driver Python", "Python workers"]
KINDS: Final[tuple[Kind, ...]] = ("driver JVM", "driver Python", "Python workers")

_SAMPLE_S: Final = 1.0
_TAIL: Final = 8


@dataclass(frozen=True)
class Sample:
    """Resident bytes by kind at a moment; pages that forked workers share count several times.

    Attributes
    ----------
    at_s : float
        Wall clock, seconds since the epoch.
    """

    at_s: float
    rss_bytes: dict[Kind, int]

    @property
    def total_bytes(self) -> int:
        """Of all kinds together."""
        return sum(self.rss_bytes.values())


@dataclass
class Watched:
    """What was seen of a command.

    Attributes
    ----------
    cpu_s : dict
        User and system time by kind, as last seen of each process: what a process uses in its last
        second is not in it.
    beside_cpu_s : float
        What a server beside it used meanwhile.
    """

    samples: list[Sample] = field(default_factory=list)
    cpu_s: dict[Kind, float] = field(default_factory=dict)
    beside_cpu_s: float = 0.0


def watch(
    command: Sequence[str],
    environment: Mapping[str, str],
    log: Path,
    beside: psutil.Process,
    limit_s: float,
) -> Watched:
    """Run a command to its end, and look at its processes each second.

    Parameters
    ----------
    log : Path
        What it says is written there.
    beside : psutil.Process
        Server that it works with, which is no child of it.

    Raises
    ------
    SystemExit
        If it fails, or takes longer than the limit; with the last lines it wrote.
    """
    found, used = Watched(), dict[tuple[int, float], tuple[Kind, float]]()
    before_s, deadline = cpu_s(beside), time.monotonic() + limit_s
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=dict(environment), stdout=output, stderr=subprocess.STDOUT
        )
        try:
            root, due = psutil.Process(process.pid), time.monotonic()
            while process.poll() is None and time.monotonic() < deadline:
                found.samples.append(_look(root, used))
                due += _SAMPLE_S
                time.sleep(max(0.0, due - time.monotonic()))
        finally:
            late = process.poll() is None
            if late:
                for child in (*root.children(recursive=True), root):
                    child.kill()
            process.wait()
    if late or process.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-_TAIL:])
        raise SystemExit(f"{command[-1]} {'took too long' if late else 'failed'}; {log}:\n{tail}")
    found.beside_cpu_s = cpu_s(beside) - before_s
    found.cpu_s = {kind: sum(s for k, s in used.values() if k == kind) for kind in KINDS}
    return found


def cpu_s(process: psutil.Process) -> float:
    """User and system time of one process, its children's not counted."""
    times = process.cpu_times()
    return float(times.user + times.system)


def _look(root: psutil.Process, used: dict[tuple[int, float], tuple[Kind, float]]) -> Sample:
    rss_bytes = dict.fromkeys(KINDS, 0)
    for process in (root, *_children(root)):
        try:
            kind = _kind(process, root)
            if kind is not None:
                rss_bytes[kind] += process.memory_info().rss
                used[process.pid, process.create_time()] = kind, cpu_s(process)
        except psutil.Error:
            # It ended between two looks.
            continue
    return Sample(time.time(), rss_bytes)


def _children(root: psutil.Process) -> list[psutil.Process]:
    try:
        return root.children(recursive=True)
    except psutil.Error:
        return []


def _kind(process: psutil.Process, root: psutil.Process) -> Kind | None:
    if process == root:
        return "driver Python"
    name = process.name()
    if name == "java":
        return "driver JVM"
    # Spark's launcher and what filters its warnings are neither.
    return "Python workers" if name.startswith("python") else None
