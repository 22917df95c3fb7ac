"""Schemas that a new release changes: a table gets new columns, and refuses what does not fit.

Files stay as they are: readers find null where a file lacks a column.
"""

from __future__ import annotations

from deltalake import DeltaTable, Field, Schema

from marketlake.contracts.tables import Table
from marketlake.lake.errors import LakeError


def evolve(delta: DeltaTable, table: Table) -> list[str]:
    """Give a table the columns that its contract has come to have.

    Returns
    -------
    list of str
        Columns that were added, which may be null.

    Raises
    ------
    LakeError
        If the table cannot become what the contract says: a column of another type, one that
        may not be null on one side only, or other partitions.
    """
    wanted = {field.name: field for field in Schema.from_arrow(table.arrow_schema).fields}
    found = {field.name: field for field in delta.schema().fields}
    problem = _problem(delta, table, wanted, found)
    if problem:
        raise LakeError(
            f"table {delta.table_uri.rstrip('/')} {problem}: this release cannot write it; run the "
            "release that wrote it, or start on a new lake and replay the topics"
        )
    added = [field for name, field in wanted.items() if name not in found]
    if added:
        delta.alter.add_columns(added)
    return [field.name for field in added]


def _problem(
    delta: DeltaTable, table: Table, wanted: dict[str, Field], found: dict[str, Field]
) -> str | None:
    partitions = delta.metadata().partition_columns
    if partitions != list(table.partition_by):
        return f"is partitioned by {', '.join(partitions)}, not by {', '.join(table.partition_by)}"
    for name, field in wanted.items():
        if name not in found:
            if not field.nullable:
                return f"has no column {name}, which may not be null"
        elif found[name].type != field.type:
            return f"has column {name} as {_type(found[name])}, not as {_type(field)}"
        elif field.nullable and not found[name].nullable:
            return f"has column {name}, which may not be null there"
    for name, field in found.items():
        if name not in wanted and not field.nullable:
            return f"has column {name}, which this release does not know and may not be null"
    return None


def _type(field: Field) -> str:
    kind = field.type
    return str(getattr(kind, "type", kind))
