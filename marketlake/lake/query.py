"""SQL over a lake with DuckDB, without a JVM: every table as ``layer.name``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from marketlake.lake.errors import LakeError, LakeNotFoundError
from marketlake.lake.storage import Storage

LAYERS: Final = ("bronze", "silver", "gold")
"""Layers that SQL and reports see, in the order data takes."""

_EVENT_COLUMNS: Final = ("event_time", "open_time", "source_timestamp", "date")
"""What tells the time of a row's event; the first that a table has counts."""


@dataclass(frozen=True)
class TableOverview:
    """One table as its Delta log describes it.

    Attributes
    ----------
    name : str
        ``layer.name``, as SQL knows it.
    version : int
        Version of the Delta table.
    rows, files, size_bytes : int
        Of the current version.
    latest_event : datetime or None
        Latest event time (bars: open time), UTC; None without rows. Read from the log's
        statistics, which some writers round up to the next millisecond.
    latest_commit : datetime
        When the current version was committed, UTC.
    """

    name: str
    version: int
    rows: int
    files: int
    size_bytes: int
    latest_event: datetime | None
    latest_commit: datetime

    def freshness_s(self, now: datetime) -> float | None:
        """Age of the latest event in seconds; None without rows. Large for a replay."""
        return None if self.latest_event is None else (now - self.latest_event).total_seconds()


def open_lake(lake: str | Storage) -> duckdb.DuckDBPyConnection:
    """Open a lake for SQL: every Delta table as a view ``layer.name``.

    Each view reads the version that was current when the lake was opened. DuckDB hands
    filters and the list of columns to the Arrow scan, so files that the log or the Parquet
    statistics rule out are not read. The session's time zone is UTC.

    Parameters
    ----------
    lake : str or Storage
        Path or URI of the lake.

    Raises
    ------
    LakeNotFoundError
        If no table stands there.
    LakeError
        If a table cannot be opened.
    """
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for layer in LAYERS:
        connection.execute(f"CREATE SCHEMA {layer}")
    for layer, name, table in _opened(lake):
        connection.register(f"_{layer}_{name}", table.to_pyarrow_dataset())
        # Names of schemas and views cannot be parameters; these come from the folders' names.
        view = f'{layer}."{name}" AS SELECT * FROM "_{layer}_{name}"'  # noqa: S608
        connection.execute(f"CREATE VIEW {view}")
    return connection


def table_overview(lake: str | Storage) -> list[TableOverview]:
    """Describe every table of a lake from its Delta log.

    Data files are read only where the log lacks statistics.

    Raises
    ------
    LakeNotFoundError
        If no table stands there.
    """
    return [_overview(f"{layer}.{name}", table) for layer, name, table in _opened(lake)]


def delta_tables(storage: Storage) -> list[tuple[str, str]]:
    """Name the tables of a lake, by layer and name.

    Raises
    ------
    LakeNotFoundError
        If no table stands there.
    """
    tables = [
        (layer, name)
        for layer in LAYERS
        for name in storage.folders(layer)
        if "_delta_log" in storage.folders(f"{layer}/{name}")
    ]
    if not tables:
        raise LakeNotFoundError(
            f"no lake at {storage.uri}: no Delta table under {', '.join(LAYERS)}; "
            f"check the path, or make one with `marketlake demo --lake {storage.uri}`"
        )
    return tables


def _opened(lake: str | Storage) -> Iterator[tuple[str, str, DeltaTable]]:
    storage = Storage(lake) if isinstance(lake, str) else lake
    for layer, name in delta_tables(storage):
        path = storage.path(f"{layer}/{name}")
        try:
            yield layer, name, DeltaTable(path, storage_options=storage.delta_options)
        except DeltaError as error:
            raise LakeError(
                f"cannot open {path}: {str(error).splitlines()[0]}; "
                "check that its _delta_log is complete"
            ) from error


def _overview(name: str, table: DeltaTable) -> TableOverview:
    # pa.table() would load pandas first, to see whether it was given a frame of it.
    actions = pa.RecordBatchReader.from_stream(table.get_add_actions(flatten=True)).read_all()
    return TableOverview(
        name=name,
        version=table.version(),
        rows=_rows(table, actions),
        files=actions.num_rows,
        size_bytes=int(pc.sum(actions["size_bytes"]).as_py() or 0),
        latest_event=_latest_event(table, actions),
        latest_commit=datetime.fromtimestamp(table.history(1)[0]["timestamp"] / 1000, UTC),
    )


def _rows(table: DeltaTable, actions: pa.Table) -> int:
    if not actions.num_rows:
        return 0
    if "num_records" in actions.column_names and not actions["num_records"].null_count:
        return int(pc.sum(actions["num_records"]).as_py())
    return int(table.to_pyarrow_dataset().count_rows())


def _latest_event(table: DeltaTable, actions: pa.Table) -> datetime | None:
    names = {field.name for field in table.schema().fields}
    column = next((name for name in _EVENT_COLUMNS if name in names), None)
    if column is None or not actions.num_rows:
        return None
    for statistic in (f"max.{column}", f"partition.{column}"):
        if statistic in actions.column_names and not actions[statistic].null_count:
            return _as_utc(pc.max(actions[statistic]).as_py())
    scanner = table.to_pyarrow_dataset().scanner(columns=[column])
    return _as_utc(pc.max(scanner.to_table()[column]).as_py())


def _as_utc(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    return None
