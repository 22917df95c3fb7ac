"""``marketlake reconcile``: take bronze again from the start, and compare every table."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import duckdb
import typer

from marketlake.contracts.tables import STREAM_TABLES, Table
from marketlake.lake.datafiles import DataFile, verify
from marketlake.lake.errors import LakeError, LakeNotFoundError
from marketlake.lake.manifests import Manifest
from marketlake.lake.query import open_lake
from marketlake.lake.storage import Storage
from marketlake.settings.model import Settings, load_settings
from spark_jobs.errors import one_line
from spark_jobs.sessions import job_session
from streaming.recompute import BatchHistory, recompute
from streaming.stages.gold import GOLD_INDICATORS

COMPARED: Final = (
    *(t for t in STREAM_TABLES if t.layer in {"silver", "gold"}),
    GOLD_INDICATORS,
)


@dataclass(frozen=True)
class Difference:
    """What the lake has and bronze does not give, or the other way round."""

    table: str
    problem: str
    row: str


def reconcile(lake: str, settings: Settings) -> list[Difference]:
    """Recompute all tables from bronze and compare row for row, bit for bit."""
    storage = Storage(lake)
    last = BatchHistory(storage).last()
    if last is None:
        raise LakeNotFoundError(f"no lake at {lake}, or no batch in it yet")
    found = _check_state(storage, last)
    spark = job_session("marketlake reconcile")
    with tempfile.TemporaryDirectory(prefix="marketlake-reconcile-") as scratch:
        inputs, merges = recompute(
            spark,
            lake,
            scratch,
            settings,
            None,
            last,
            tables=frozenset(table.path for table in COMPARED),
            label="again",
        )
        files = [file for result in (*inputs, *merges) for file in result.files]
        connection = open_lake(lake)
        found += _check_positions(connection, last)
        for table in COMPARED:
            again = [f"{scratch}/{f.table}/{f.path}" for f in files if f.table == table.path]
            found += _compare(connection, table, again)
    return found


def _check_state(storage: Storage, last: Manifest) -> list[Difference]:
    try:
        damaged: list[DataFile] = verify(storage, last.state_files.values())
    except LakeError as error:
        return [Difference("state.folds", "a state file cannot be read", str(error))]
    return [
        Difference("state.folds", "a state file is absent or changed", file.path)
        for file in damaged
    ]


def _check_positions(connection: duckdb.DuckDBPyConnection, last: Manifest) -> list[Difference]:
    rows = connection.execute(
        'SELECT topic, "partition", max("offset") + 1, count(*), count(DISTINCT "offset") '
        "FROM bronze.events WHERE source NOT LIKE 'marketlake/%' GROUP BY ALL"
    ).fetchall()
    found = []
    for topic, partition, next_offset, count, distinct in rows:
        name = f"{topic}-{partition}"
        position = last.inputs.get(name)
        if position is None or position.next_offset != next_offset or count != distinct:
            expected = position.next_offset if position else "nothing"
            row = f"{name}: {count} rows, {distinct} offsets, up to {next_offset} not {expected}"
            found.append(Difference("bronze.events", "positions do not add up", row))
    return found


def _compare(
    connection: duckdb.DuckDBPyConnection, table: Table, again: list[str]
) -> list[Difference]:
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    lake = f"SELECT {columns} FROM {table.layer}.{table.name}"
    if again:
        kinds = ", ".join(
            f"{n}: {'DATE' if n == 'date' else 'VARCHAR'}" for n in table.partition_by
        )
        files = ", ".join(f"'{path}'" for path in again)
        bronze = (
            f"SELECT {columns} FROM read_parquet([{files}], hive_partitioning = true, "
            f"hive_types = {{{kinds}}})"
        )
    else:
        bronze = f"SELECT {columns} FROM {table.layer}.{table.name} WHERE false"
    sides = (
        ("in the lake but not recomputed", f"{lake} EXCEPT ALL {bronze}"),
        ("recomputed but not in the lake", f"{bronze} EXCEPT ALL {lake}"),
    )
    found = []
    for problem, query in sides:
        try:
            row = connection.execute(f"SELECT * FROM ({query}) LIMIT 1").fetchone()
        except duckdb.Error as error:
            name = f"{table.layer}.{table.name}"
            return [Difference(name, "cannot be read", str(error).splitlines()[0])]
        if row is not None:
            text = ", ".join(f"{c.name}={v}" for c, v in zip(table.columns, row, strict=True))
            found.append(Difference(f"{table.layer}.{table.name}", problem, text))
    return found


def reconcile_command(
    *,
    lake: Annotated[str, typer.Option(help="Folder of the lake.")],
    config: Annotated[Path | None, typer.Option(help="TOML file the lake was filled with.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print differences as JSON.")] = False,
) -> None:
    """Recompute the lake from bronze; exit 1 and show the first difference of each table."""
    with one_line("reconcile"):
        differences = reconcile(lake, load_settings(config))
    if json_output:
        typer.echo(json.dumps([vars(difference) for difference in differences]))
    elif not differences:
        typer.echo("identical: every table equals what bronze gives")
    for difference in differences if not json_output else ():
        typer.echo(f"{difference.table}: {difference.problem}: {difference.row}")
    if differences:
        raise typer.Exit(1)
