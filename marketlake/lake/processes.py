"""Which process holds something, told so that another on the same machine can see it has died."""

from __future__ import annotations

import uuid
from pathlib import Path


def this_machine() -> str:
    """Name the running system and its space of process ids: ids of another say nothing here."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    space = Path("/proc/self/ns/pid")
    try:
        return f"{boot.read_text().strip()} {space.stat().st_ino}"
    except OSError:
        return uuid.uuid4().hex


def started(process: int) -> int:
    """Tell when a process began, in the machine's own count; -1 where none is, or none tells."""
    try:
        # The name of the program, in brackets, may hold anything; of what follows it is the 20th.
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return -1


def has_died(process: int, began: int, machine: str) -> bool | None:
    """Tell whether a process has died; None where that cannot be seen from here."""
    if machine != this_machine() or began < 0:
        return None
    return started(process) != began
