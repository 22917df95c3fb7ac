"""What a lake shows of the process that wrote it last, after that process died."""

from __future__ import annotations

import contextlib
import os
from enum import StrEnum

from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from marketlake.lake.manifests import Manifest, Manifests
from marketlake.lake.storage import Storage
from streaming.pipeline import APPLICATION, COMMIT_ORDER, PIPELINE


class Hit(StrEnum):
    """What a batch had come to when its process died."""

    FOLDING = "before its manifest"
    DECIDED = "between manifest and first commit"
    BETWEEN = "between two table commits"
    COMMITTED = "after its last table commit"


class LakeAtDeath:
    """What the files of a lake tell of the process that wrote it last.

    Parameters
    ----------
    before : set of str
        Files of the lake when that process started.
    """

    def __init__(self, lake: str, before: set[str]) -> None:
        self._storage = Storage(lake)
        # Folders, relative to the lake, that got a file from that process.
        self._new = {os.path.dirname(name) for name in files_of(lake) - before}  # noqa: PTH120
        self.last = Manifests(self._storage, PIPELINE).last()
        self.tables = tables_of(self.last) if self.last else []
        self.committed = sum(self._has_batch(path) for path in self.tables)

    def hit(self) -> Hit | None:
        """Tell what the process was at; None where it had not begun or was between batches."""
        decided = any(folder.endswith("/manifests") for folder in self._new)
        if self.committed < len(self.tables):
            if self.committed == 0:
                return Hit.DECIDED if decided else None
            recovering = any(folder.endswith("/_delta_log") for folder in self._new)
            return Hit.BETWEEN if decided or recovering else None
        planned, told = (self._latest(name) for name in ("offsets", "commits"))
        if planned <= told:
            return None
        if self.last is not None and planned <= self.last.spark_batch:
            return Hit.COMMITTED if decided else None
        # A batch planned by the process before may stand there: this one has begun it if it
        # has planned too, or written data.
        data = any(not f.startswith("_") and not f.endswith("/_delta_log") for f in self._new)
        begun = data or any(folder.endswith("/offsets") for folder in self._new)
        return Hit.FOLDING if begun else None

    def _latest(self, log: str) -> int:
        names = self._storage.list(f"_marketlake/{PIPELINE}/checkpoint/{log}")
        return max((int(name) for name in names if name.isdigit()), default=-1)

    def _has_batch(self, path: str) -> bool:
        assert self.last is not None
        with contextlib.suppress(TableNotFoundError):
            where, options = self._storage.path(path), self._storage.delta_options
            table = DeltaTable(where, storage_options=options)
            version: int | None = table.transaction_version(APPLICATION)
            return version == self.last.sequence
        return False


def tables_of(manifest: Manifest) -> list[str]:
    """List the tables that a batch is committed to; each batch leaves a new state."""
    written = {file.table for file in manifest.files} | {COMMIT_ORDER[-1]}
    return [path for path in COMMIT_ORDER if path in written]


def files_of(lake: str) -> set[str]:
    """List all files of a lake, relative to it, but those that are not whole yet."""
    storage = Storage(lake)
    if storage.on_s3:
        return {file.path for file in storage.walk("")}
    root = str(storage.local_root)
    # os.path: there are thousands, and a process is waiting to be killed.
    return {
        os.path.join(folder[len(root) + 1 :], name)  # noqa: PTH118
        for folder, _, names in os.walk(root)
        for name in names
        if not name.startswith(".")
    }


def commits(lake: str) -> int:
    """Count the commits of batches to all tables; version 0 of a table only makes it."""
    storage = Storage(lake)
    names = (name for path in COMMIT_ORDER for name in storage.list(f"{path}/_delta_log"))
    versions = (name[:-5] for name in names if name.endswith(".json"))
    return sum(version.isdigit() and int(version) > 0 for version in versions)
