"""Parquet data files, written by workers and named in a manifest before any table has them."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from marketlake.contracts.tables import INDICATORS_PATH, Table
from marketlake.lake.storage import Storage

STATISTICS_COLUMNS: Final = ("event_time", "open_time", "offset", "source_timestamp")
"""Columns whose range goes into the Delta log, so that readers can skip files.

The tables say so in ``delta.dataSkippingStatsColumns``: delta-rs takes a statistic that is absent
for a null and skips every file.
"""
FILE_LABEL: Final = "file-"
"""Begins the names of data files whose rows came from plain files, and never were in bronze."""

_DICTIONARY_COLUMNS: Final = (
    "venue",
    "instrument",
    "side",
    "interval",
    "origin",
    "source",
    "topic",
    "partition",
    "type",
    "ingest_time",
    "base",
    "buy_venue",
    "buy_instrument",
    "sell_venue",
    "sell_instrument",
    "status",
    "price_basis",
    "opportunity_id",
    "metric",
    "detector",
    "severity",
    "kind",
)
_EPOCH: Final = date(1970, 1, 1)


class DataFile(msgspec.Struct, frozen=True):
    """One data file of one table.

    Attributes
    ----------
    path : str
        Relative to the table's folder.
    digest : str
        SHA-256 of the file, hexadecimal.
    """

    table: str
    path: str
    size_bytes: int
    rows: int
    digest: str
    partition: dict[str, str]
    statistics: str


def is_from_files(path: str) -> bool:
    """Tell by its path whether plain files gave a data file."""
    return path.rpartition("/")[2].startswith(FILE_LABEL)


def day_text(days: int) -> str:
    """Date of a day number since the epoch, as partition values spell it."""
    return (_EPOCH + timedelta(days=days)).isoformat()


class SealedFile(NamedTuple):
    """A data file that is complete, and what is to be written."""

    file: DataFile
    data: memoryview


def write_files(storage: Storage, sealed: Sequence[SealedFile]) -> list[DataFile]:
    """Write data files, on S3 several at a time; give their descriptions."""
    storage.write_all([(f"{file.table}/{file.path}", data) for file, data in sealed])
    return [file for file, _data in sealed]


class DataFileWriter:
    """Collects rows of one table and writes one file a partition.

    Parameters
    ----------
    storage : Storage
        The lake.
    table : Table
        What is written.
    label : str
        Begins the file names, so that a person can tell which batch wrote a file.
    """

    def __init__(self, storage: Storage, table: Table, label: str) -> None:
        self._storage = storage
        self._table = table
        self._label = label
        self._open: dict[tuple[str, ...], _OpenFile] = {}

    def add(self, partition: tuple[str, ...], rows: pa.Table) -> None:
        """Add rows of one partition; ``rows`` holds the columns of ``Table.file_schema``."""
        if not rows.num_rows:
            return
        file = self._open.get(partition)
        if file is None:
            file = self._open[partition] = _OpenFile(self._table)
        file.add(rows)

    def close(self) -> list[DataFile]:
        """Write all files and describe them."""
        return write_files(self._storage, self.seal())

    def seal(self) -> list[SealedFile]:
        """Complete all files; :func:`write_files` writes them, and those of other writers."""
        return [self._seal(partition, file) for partition, file in sorted(self._open.items())]

    def _seal(self, partition: tuple[str, ...], file: _OpenFile) -> SealedFile:
        data = file.finish()
        values = dict(zip(self._table.partition_by, partition, strict=True))
        folder = "/".join(f"{name}={value}" for name, value in values.items())
        path = f"{folder}/{self._label}-{uuid.uuid4().hex}.parquet"
        digest = hashlib.sha256(data).hexdigest()
        described = DataFile(
            self._table.path, path, len(data), file.rows, digest, values, file.statistics()
        )
        return SealedFile(described, data)


def _compression(path: str, schema: pa.Schema) -> str | dict[str, str]:
    """Give the codec of a table's columns.

    What is calculated has random low bits: of indicators Snappy saves a tenth of the bytes, and
    takes nearly half of the time in which their files are written.
    """
    if path != INDICATORS_PATH:
        return "snappy"
    return {f.name: "none" if f.type == pa.float64() else "snappy" for f in schema}


class _OpenFile:
    def __init__(self, table: Table) -> None:
        # Strings of few values go to Parquet as dictionaries: no text is built a row.
        schema = pa.schema(
            pa.field(f.name, pa.dictionary(pa.int32(), pa.string()), f.nullable)
            if f.name in _DICTIONARY_COLUMNS and f.type == pa.string()
            else f
            for f in table.file_schema
        )
        self._buffer = pa.BufferOutputStream()
        self._writer = pq.ParquetWriter(
            self._buffer,
            schema,
            compression=_compression(table.path, schema),
            use_dictionary=[n for n in schema.names if n in _DICTIONARY_COLUMNS],
            store_schema=False,
            write_statistics=[n for n in schema.names if n in STATISTICS_COLUMNS],
        )
        self._schema = schema
        self._ranges: dict[str, tuple[Any, Any]] = {}
        self.rows = 0

    def add(self, rows: pa.Table) -> None:
        rows = rows.select(self._schema.names).cast(self._schema)
        self._writer.write_table(rows)
        self.rows += rows.num_rows
        for name in self._schema.names:
            if name in STATISTICS_COLUMNS:
                low, high = pc.min_max(rows[name]).as_py().values()
                if low is not None:
                    known = self._ranges.get(name, (low, high))
                    self._ranges[name] = (min(low, known[0]), max(high, known[1]))

    def finish(self) -> memoryview:
        self._writer.close()
        return memoryview(self._buffer.getvalue())

    def statistics(self) -> str:
        return json.dumps(
            {
                "numRecords": self.rows,
                "minValues": {n: _plain(low) for n, (low, _) in self._ranges.items()},
                "maxValues": {n: _plain(high) for n, (_, high) in self._ranges.items()},
                "nullCount": dict.fromkeys(self._ranges, 0),
            }
        )


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return value


def verify(storage: Storage, files: Iterable[DataFile]) -> list[DataFile]:
    """Give the files that are absent or are not what their digest says."""
    return [
        file
        for file in files
        if storage.size(f"{file.table}/{file.path}") != file.size_bytes
        or hashlib.sha256(storage.read(f"{file.table}/{file.path}")).hexdigest() != file.digest
    ]
