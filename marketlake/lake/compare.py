"""Two tables, or two lakes, row for row and bit for bit.

SQL holds 0.0 and -0.0 for equal, so floats are compared by their bits. Rows have no order in a
table; one that stands twice on one side must stand twice on the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from marketlake.contracts.control import LANE_SOURCES, SOURCE_PREFIX
from marketlake.contracts.tables import BRONZE_EVENTS, Table
from marketlake.lake.errors import LakeError
from marketlake.lake.storage import Storage

EVENTS_OF_ANY_CUT: Final = f"source NOT IN {LANE_SOURCES}"
"""Condition of the rows of bronze that another run, cut otherwise, must repeat.

When lanes are joined hangs on which rows stood in one batch; no result hangs on it.
"""

_SURPLUS: Final = """
    SELECT * FROM (
        SELECT * EXCLUDE (_side), sum(_side)::BIGINT AS _surplus
        FROM (SELECT *, 1 AS _side FROM l UNION ALL SELECT *, -1 FROM r)
        GROUP BY ALL HAVING _surplus <> 0
    ) QUALIFY row_number() OVER (PARTITION BY sign(_surplus)) = 1
"""


@dataclass(frozen=True)
class Difference:
    """What one side has and the other has not."""

    table: str
    problem: str
    row: str


def first_surplus(
    left: duckdb.DuckDBPyRelation, right: duckdb.DuckDBPyRelation
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Give a row that the left side has too often, and one that the right side has.

    Parameters
    ----------
    left, right
        The same columns on both sides, of two connections: both are read at once.

    Returns
    -------
    tuple
        None where a side has no such row; ``(None, None)`` where both are the same.

    Raises
    ------
    duckdb.Error
        A side cannot be read.
    """
    sides = [pa.RecordBatchReader.from_stream(side) for side in (left, right)]
    schema: pa.Schema = sides[0].schema
    with duckdb.connect() as connection:
        for name, side in zip("lr", sides, strict=True):
            connection.register(name, _bits(side, schema))
        found = pa.table(connection.sql(_SURPLUS))
    surplus = found["_surplus"].to_pylist()
    rows = _floats(found.drop_columns("_surplus"), schema).to_pylist()
    only_left = (row for row, count in zip(rows, surplus, strict=True) if count > 0)
    only_right = (row for row, count in zip(rows, surplus, strict=True) if count < 0)
    return next(only_left, None), next(only_right, None)


def lake_differences(left: str, right: str, tables: Iterable[Table]) -> list[Difference]:
    """Compare tables of two lakes, but for what the wall clock or the cut into batches decides.

    Parameters
    ----------
    left, right : str
        Paths or URIs of the lakes.

    Returns
    -------
    list of Difference
        Up to two a table: a row of each side.

    Raises
    ------
    LakeError
        A lake lacks a table.
    """
    found = []
    for table in tables:
        name = f"{table.layer}.{table.name}"
        with duckdb.connect() as one, duckdb.connect() as two:
            sides = first_surplus(_rows(one, left, table), _rows(two, right, table))
        for lake, row in zip((left, right), sides, strict=True):
            if row is not None:
                found.append(Difference(name, f"only in {lake}", text_of(row)))
    return found


def _rows(
    connection: duckdb.DuckDBPyConnection, lake: str, table: Table
) -> duckdb.DuckDBPyRelation:
    storage = Storage(lake)
    path = storage.path(table.path)
    try:
        delta = DeltaTable(path, storage_options=storage.delta_options)
        dataset = delta.to_pyarrow_dataset()
    except DeltaError as error:
        raise LakeError(f"cannot open {path}: {str(error).splitlines()[0]}") from error
    connection.execute("SET TimeZone = 'UTC'")
    rows = connection.from_arrow(dataset)
    if table is BRONZE_EVENTS:
        rows = rows.filter(EVENTS_OF_ANY_CUT)
    return rows.project(_repeatable(table))


def text_of(row: dict[str, Any]) -> str:
    """Write a row on one line."""
    return ", ".join(f"{name}={value}" for name, value in row.items())


def _repeatable(table: Table) -> str:
    """Give the columns of a table that another run, cut otherwise, must repeat."""
    if table is not BRONZE_EVENTS:
        return "*"
    # A control event carries the time at which it was written, a message that of its source.
    message = f"CASE WHEN NOT starts_with(source, '{SOURCE_PREFIX}') THEN"
    return (
        f"* EXCLUDE (ingest_time) REPLACE ({message} source_timestamp END AS source_timestamp, "
        f"{message} date END AS date)"
    )


def _bits(reader: pa.RecordBatchReader, schema: pa.Schema) -> pa.RecordBatchReader:
    """Show floats as integers of the same bits, in whatever they are nested."""
    shown = pa.schema([(field.name, _as_integers(field.type)) for field in schema])

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in reader:
            columns = [
                column.cast(field.type).view(target)
                for column, field, target in zip(batch.columns, schema, shown.types, strict=True)
            ]
            yield pa.record_batch(columns, schema=shown)

    return pa.RecordBatchReader.from_batches(shown, batches())


def _floats(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Undo what was done to the floats."""
    columns = {
        field.name: table[field.name]
        .combine_chunks()
        .cast(_as_integers(field.type))
        .view(field.type)
        for field in schema
    }
    return pa.table(columns)


def _as_integers(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_float64(kind):
        return pa.int64()
    if pa.types.is_list(kind):
        return pa.list_(_as_integers(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(f.name, _as_integers(f.type)) for f in kind])
    return kind
