"""Which manifests, and which states, a lake still needs.

A state is needed by the batch after it, and where a UTC day began: from there the day can be
computed again. What lies between is needed by nothing once it is old.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from marketlake.contracts.tables import STATE_FOLDS
from marketlake.lake.manifests import STREAM, Manifest, Manifests
from marketlake.lake.storage import Storage
from marketlake.settings.model import MaintainSettings

_DAY_US: Final = 86_400_000_000


@dataclass(frozen=True)
class Retained:
    """What became of the manifests and states.

    Attributes
    ----------
    boundaries : int
        Manifests at the boundaries of days.
    removed_manifests, removed_states : int
        Files removed.
    removed_bytes : int
        Size of the states removed.
    """

    manifests: int
    boundaries: int
    removed_manifests: int
    removed_states: int
    removed_bytes: int


class History:
    """The manifests of the stream, each read once at most."""

    def __init__(self, storage: Storage) -> None:
        self._manifests = Manifests(storage, STREAM)
        self._read: dict[int, Manifest] = {}
        self.sequences = self._manifests.sequences()

    def __getitem__(self, index: int) -> Manifest:
        sequence = self.sequences[index]
        if sequence not in self._read:
            self._read[sequence] = self._manifests.read(sequence)
        return self._read[sequence]

    def path(self, sequence: int) -> str:
        """Path of a manifest relative to the lake."""
        return self._manifests.path(sequence)

    def day(self, index: int) -> int:
        """Latest UTC day, as a number since the epoch, of which an input had a row."""
        return max((i.latest_us for i in self[index].inputs.values()), default=0) // _DAY_US

    def boundaries(self) -> list[int]:
        """Places of the last batches before a new UTC day came: each day began with one."""
        return self._changes(0, len(self.sequences) - 1) if self.sequences else []

    def _changes(self, first: int, last: int) -> list[int]:
        # Days only rise: where both ends have one, so has all in between.
        if last - first < 1 or self.day(first) == self.day(last):
            return []
        if last - first == 1:
            return [first]
        middle = (first + last) // 2
        return self._changes(first, middle) + self._changes(middle, last)

    def first_since(self, time_us: int) -> int:
        """Place of the first batch that began at a time or later."""
        return bisect_left(
            range(len(self.sequences)), time_us, key=lambda i: self[i].ingest_time_us
        )


def retain(storage: Storage, settings: MaintainSettings, *, dry_run: bool) -> Retained:
    """Remove manifests and states that nothing needs any more.

    The first manifest and its state stay, for where no boundary is left a day is computed from
    there, and so do the last. The table ``state/folds`` names the files of the last batch only.
    """
    now_us = time.time_ns() // 1_000
    stored = list(storage.walk(STATE_FOLDS.path))
    history = History(storage)
    if not history.sequences:
        return Retained(0, 0, 0, 0, 0)
    oldest_us = now_us - settings.boundary_days * _DAY_US
    boundaries = [i for i in history.boundaries() if history[i].ingest_time_us >= oldest_us]
    last = len(history.sequences) - 1
    kept = {0, last, *boundaries}
    recent = history.first_since(now_us - settings.manifest_days * _DAY_US)
    dropped = [i for i in range(min(recent, last)) if i not in kept]
    named = _states(history[i] for i in sorted(kept))
    oldest_s = time.time() - 3_600 * settings.undecided_hours
    gone = {
        file.path: file.size_bytes
        for file in stored
        if file.path not in named
        and not file.path.startswith(f"{STATE_FOLDS.path}/_")
        and file.modified_s < oldest_s
    }
    if not dry_run:
        # A manifest that goes first names no state that is gone.
        storage.delete(history.path(history.sequences[i]) for i in dropped)
        storage.delete(gone)
    return Retained(
        manifests=len(history.sequences) - len(dropped),
        boundaries=len(boundaries),
        removed_manifests=len(dropped),
        removed_states=len(gone),
        removed_bytes=sum(gone.values()),
    )


def in_flight(storage: Storage) -> set[str]:
    """Name the data files of the last decided batch, which a table may lack still."""
    last = Manifests(storage, STREAM).last()
    return {f"{file.table}/{file.path}" for file in last.files} if last else set()


def _states(manifests: Iterable[Manifest]) -> set[str]:
    return {
        f"{file.table}/{file.path}"
        for manifest in manifests
        for chain in manifest.state_files.values()
        for file in chain
    }
