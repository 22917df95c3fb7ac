"""Upkeep of one table: small files joined, files that no version needs removed.

Nothing here changes a row, so it may run beside the stream: that only adds files. Where another
writer removes the files that are being joined, Delta refuses the commit, and they wait for next
time.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError

from marketlake.lake.errors import LakeError
from marketlake.lake.storage import Storage
from marketlake.settings.model import MaintainSettings

_MB: Final = 1_000_000
_CLUSTER_BY: Final = ("venue", "instrument", "event_time", "open_time")
_Partition = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class TableUpkeep:
    """What was done to a table, or would be.

    Attributes
    ----------
    files_before, files_after : int
        Of the current version.
    partitions : int
        Partitions whose files were joined.
    joined_bytes : int
        Size of the files that were joined, before.
    skipped : int
        Partitions left for next time, as another writer changed them meanwhile.
    removed_files, removed_bytes : int
        Files removed from the storage, and their size.
    """

    table: str
    files_before: int
    files_after: int
    partitions: int
    joined_bytes: int
    skipped: int
    removed_files: int
    removed_bytes: int


@dataclass(frozen=True)
class _File:
    path: str
    size_bytes: int
    partition: _Partition


class Upkeep:
    """Keeps tables of a lake.

    Parameters
    ----------
    keep_apart : callable
        Tells by its path whether a data file must stay a file of its own.
    in_flight : callable
        Names, relative to the lake, files that are decided and perhaps not committed yet.
    dry_run : bool
        Look, and change nothing.
    """

    def __init__(
        self,
        storage: Storage,
        settings: MaintainSettings,
        keep_apart: Callable[[str], bool],
        in_flight: Callable[[], set[str]],
        *,
        dry_run: bool,
    ) -> None:
        self._storage = storage
        self._settings = settings
        self._keep_apart = keep_apart
        self._in_flight = in_flight
        self._dry_run = dry_run

    def keep(self, path: str, check: Callable[[], None]) -> TableUpkeep:
        """Keep one table.

        Parameters
        ----------
        path : str
            ``layer/name``.
        check : callable
            Called before each commit: raises where the lease was lost.

        Raises
        ------
        LakeError
            If the table cannot be read or written.
        """
        location = self._storage.path(path)
        try:
            delta = DeltaTable(location, storage_options=self._storage.delta_options)
            return self._keep(path, delta, check)
        except (DeltaError, OSError) as error:
            raise LakeError(
                f"cannot keep table {location}: {' '.join(str(error).split())}"
            ) from error

    def _keep(self, path: str, delta: DeltaTable, check: Callable[[], None]) -> TableUpkeep:
        before = _files(delta)
        due = self._due(before)
        joined, skipped = 0, 0
        for partition, files in due.items():
            check()
            if self._dry_run or self._join(delta, partition):
                joined += sum(file.size_bytes for file in files)
            else:
                skipped += 1
        if not self._dry_run:
            check()
            self._shorten_log(delta)
        removed = self._remove(path, delta)
        return TableUpkeep(
            table=path.replace("/", "."),
            files_before=len(before),
            files_after=len(_files(delta)),
            partitions=len(due) - skipped,
            joined_bytes=joined,
            skipped=skipped,
            removed_files=len(removed),
            removed_bytes=sum(removed.values()),
        )

    def _due(self, files: Iterable[_File]) -> dict[_Partition, list[_File]]:
        """Partitions with so many small files that they are worth to be joined."""
        whole: dict[_Partition, list[_File]] = defaultdict(list)
        for file in files:
            whole[file.partition].append(file)
        due = {}
        for partition, members in sorted(whole.items()):
            # Joined, they would no longer tell where they came from.
            if any(self._keep_apart(file.path) for file in members):
                continue
            small = [f for f in members if f.size_bytes < self._settings.target_mb * _MB // 2]
            if len(small) >= self._settings.min_files:
                due[partition] = small
        return due

    def _join(self, delta: DeltaTable, partition: _Partition) -> bool:
        filters = [(name, "=", value) for name, value in partition]
        names = {field.name for field in delta.schema().fields}
        columns = [name for name in _CLUSTER_BY if name in names]
        target = self._settings.target_mb * _MB
        try:
            if self._settings.cluster and columns:
                delta.optimize.z_order(columns, partition_filters=filters, target_size=target)
            else:
                delta.optimize.compact(partition_filters=filters, target_size=target)
        except CommitFailedError:
            delta.update_incremental()
            return False
        return True

    def _shorten_log(self, delta: DeltaTable) -> None:
        delta.update_incremental()
        days = timedelta(days=self._settings.log_days)
        wanted = f"interval {days.days} days"
        if delta.metadata().configuration.get("delta.logRetentionDuration") != wanted:
            delta.alter.set_table_properties({"delta.logRetentionDuration": wanted})
        delta.create_checkpoint()
        delta.cleanup_metadata()

    def _remove(self, table: str, delta: DeltaTable) -> dict[str, int]:
        """Remove files that left the table long ago, and those that nothing ever named."""
        # What is written or decided from here on is not among those listed.
        stored = {file.path: file for file in self._storage.walk(table)}
        in_flight = self._in_flight()
        delta.update_incremental()
        prefix = f"{table}/"
        current = {prefix + file.path for file in _files(delta)}
        removed = _removed(delta, prefix, 0)
        expired = _removed(delta, prefix, self._settings.removed_hours)
        oldest_s = time.time() - 3_600 * self._settings.undecided_hours
        gone = {
            path: file.size_bytes
            for path, file in stored.items()
            if path not in current
            and path not in in_flight
            and not path.startswith(f"{prefix}_")
            and (path in expired if path in removed else file.modified_s < oldest_s)
        }
        if not self._dry_run:
            self._storage.delete(gone)
        return gone


def _files(delta: DeltaTable) -> list[_File]:
    partition_by = delta.metadata().partition_columns
    rows = pa.table(delta.get_add_actions(flatten=True)).to_pylist()
    return [
        _File(
            row["path"],
            row["size_bytes"],
            tuple((name, str(row[f"partition.{name}"])) for name in partition_by),
        )
        for row in rows
    ]


def _removed(delta: DeltaTable, prefix: str, hours: int) -> set[str]:
    """Name the files that left the table at least so many hours ago, as long as the log has it."""
    paths = delta.vacuum(hours, dry_run=True, enforce_retention_duration=False)
    return {prefix + path for path in paths}
