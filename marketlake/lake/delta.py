"""Delta tables: made on first use, and given data files in commits that happen once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Final

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Transaction
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from marketlake.contracts.tables import Table
from marketlake.lake.datafiles import STATISTICS_COLUMNS, DataFile
from marketlake.lake.errors import LakeError
from marketlake.lake.evolution import evolve
from marketlake.lake.storage import Storage

_CONFIGURATION: Final = {
    # Any Delta reader can read the tables: plain Parquet files and a plain log.
    "delta.enableDeletionVectors": "false",
    "delta.checkpointInterval": "50",
}


def _configuration(table: Table) -> dict[str, str | None]:
    ranged = [name for name in table.file_schema.names if name in STATISTICS_COLUMNS]
    return {**_CONFIGURATION, "delta.dataSkippingStatsColumns": ",".join(ranged)}


def _actions(
    added: Iterable[DataFile], removed: Iterable[DataFile]
) -> list[AddAction | RemoveAction]:
    now_ms = int(time.time() * 1_000)
    return [
        *(
            AddAction(
                f.path, f.size_bytes, f.partition, now_ms, data_change=True, stats=f.statistics
            )
            for f in added
        ),
        *(
            RemoveAction(f.path, True, now_ms, size=f.size_bytes, partition_values=f.partition)
            for f in removed
        ),
    ]


class DeltaTables:
    """The tables of one lake, opened once and kept up to date.

    Parameters
    ----------
    storage : Storage
        The lake.
    tables : iterable of Table
        The tables that may be written.
    """

    def __init__(self, storage: Storage, tables: Iterable[Table]) -> None:
        self._storage = storage
        self._tables = {table.path: table for table in tables}
        self._open: dict[str, DeltaTable] = {}

    def _delta(self, path: str) -> DeltaTable:
        delta = self._open.get(path)
        if delta is None:
            delta = self._open[path] = self._open_or_create(self._tables[path])
        return delta

    def _open_or_create(self, table: Table) -> DeltaTable:
        location = self._storage.path(table.path)
        try:
            return DeltaTable(location, storage_options=self._storage.delta_options)
        except TableNotFoundError:
            pass
        except (DeltaError, OSError) as error:
            raise LakeError(
                f"cannot open table {location}: {' '.join(str(error).split())}; "
                "check that its _delta_log is complete"
            ) from error
        try:
            return DeltaTable.create(
                location,
                table.arrow_schema,
                mode="ignore",
                partition_by=list(table.partition_by),
                description=table.doc,
                configuration=_configuration(table),
                storage_options=self._storage.delta_options,
            )
        except (DeltaError, OSError) as error:
            raise LakeError(
                f"cannot create table {location}: {error}; check that the folder may be written"
            ) from error

    def create_all(self) -> None:
        """Create every table that is absent, so that readers find them all; widen the others.

        Raises
        ------
        LakeError
            If a table cannot be made, or what stands there cannot become it.
        """
        for path, table in self._tables.items():
            try:
                evolve(self._delta(path), table)
            except (DeltaError, OSError) as error:
                raise LakeError(
                    f"cannot widen table {self._storage.path(path)}: {' '.join(str(error).split())}"
                ) from error

    def files(self, path: str) -> list[DataFile]:
        """List the data files of a table: path, size, rows and partition of each."""
        delta = self._delta(path)
        delta.update_incremental()
        table = delta.get_add_actions(flatten=True)
        return [
            DataFile(
                path,
                row["path"],
                row["size_bytes"],
                row["num_records"] or 0,
                "",
                {name: str(row[f"partition.{name}"]) for name in self._tables[path].partition_by},
                "",
            )
            for row in pa.table(table).to_pylist()
        ]

    def files_of_day(self, path: str, date: str) -> list[DataFile]:
        """List the data files of one UTC day of a table partitioned by ``market`` and ``date``."""
        return [file for file in self.files(path) if file.partition["date"] == date]

    def version_of(self, path: str, application: str) -> int | None:
        """Last transaction that an application committed to a table."""
        delta = self._delta(path)
        delta.update_incremental()
        version: int | None = delta.transaction_version(application)
        return version

    def commit(
        self,
        path: str,
        application: str,
        sequence: int,
        files: Iterable[DataFile],
        *,
        replaced: Iterable[DataFile] = (),
        notes: Mapping[str, str] | None = None,
    ) -> bool:
        """Add data files to a table, unless this transaction is there already.

        Parameters
        ----------
        application, sequence
            Name the transaction; a table takes each sequence number of an application once, and
            none below the last.
        replaced
            Files that leave the table in the same commit.

        Returns
        -------
        bool
            False where the table had the transaction.
        """
        last = self.version_of(path, application)
        if last is not None and last >= sequence:
            return False
        table = self._tables[path]
        try:
            self._delta(path).create_write_transaction(
                _actions(files, replaced),
                "append",
                table.arrow_schema,
                list(table.partition_by),
                commit_properties=CommitProperties(
                    custom_metadata=dict(notes or {}),
                    app_transactions=[Transaction(application, sequence)],
                ),
                post_commithook_properties=PostCommitHookProperties(
                    create_checkpoint=True, cleanup_expired_logs=False
                ),
            )
        except (DeltaError, OSError) as error:
            if self._has(path, application, sequence):
                # It was written, and the answer lost: tried again, it met its own commit.
                return True
            raise LakeError(
                f"cannot commit batch {sequence} to {self._storage.path(path)}: "
                f"{' '.join(str(error).split())}"
            ) from error
        return True

    def _has(self, path: str, application: str, sequence: int) -> bool:
        try:
            return self.version_of(path, application) == sequence
        except (DeltaError, OSError):
            return False
