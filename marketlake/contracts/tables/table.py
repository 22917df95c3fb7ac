"""What a table is: its columns, key and partitioning, and the forms derived from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from marketlake.contracts.types import ColumnType


@dataclass(frozen=True)
class Column:
    """A column: its name, its type, whether it may be null, and what it means."""

    name: str
    type: ColumnType
    doc: str
    nullable: bool = True


@dataclass(frozen=True)
class Table:
    """A table of the lake at ``<lake>/<layer>/<name>``.

    Attributes
    ----------
    key : tuple of str
        Columns that name a row; no two rows share their values.
    partition_by : tuple of str
        Partition columns of the Delta table, which stand in the path and not in the files.
    """

    layer: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    doc: str
    partition_by: tuple[str, ...] = ("market", "date")

    @property
    def path(self) -> str:
        """Path of the table relative to the lake, ``layer/name``."""
        return f"{self.layer}/{self.name}"

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """Arrow schema of the whole table, partition columns included."""
        return pa.schema([pa.field(c.name, c.type.arrow, c.nullable) for c in self.columns])

    @cached_property
    def file_schema(self) -> pa.Schema:
        """Arrow schema of a data file: the table's without its partition columns."""
        return pa.schema(f for f in self.arrow_schema if f.name not in self.partition_by)

    @property
    def ddl(self) -> str:
        """Column list in Spark SQL."""
        return ", ".join(
            f"`{c.name}` {c.type.ddl}" + ("" if c.nullable else " NOT NULL") for c in self.columns
        )

    def row(self, **values: Any) -> dict[str, Any]:
        """Make a row for a test that names only the columns the test is about.

        Raises
        ------
        KeyError
            If a name is no column of this table.
        """
        unknown = values.keys() - {c.name for c in self.columns}
        if unknown:
            raise KeyError(f"{self.path} has no column {sorted(unknown)}")
        return {
            c.name: values.get(c.name, None if c.nullable else c.type.example) for c in self.columns
        }


def column(name: str, type_: ColumnType, doc: str, *, null: bool = False) -> Column:
    """Make a column; unlike those of :class:`Column` it is not null unless told."""
    return Column(name, type_, doc, null)
