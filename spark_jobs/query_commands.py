"""``marketlake sql`` and ``marketlake tables``: a look at the lake without a JVM."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import duckdb
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import typer
from rich.console import Console
from rich.table import Table

from marketlake.lake.query import open_lake, table_overview
from marketlake.lake.storage import Storage
from marketlake.settings.model import load_settings
from spark_jobs.errors import JobError, one_line
from spark_jobs.options import Lake

_ROWS_SHOWN = 1_000


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def sql_command(
    query: Annotated[str, typer.Argument(help="SQL; tables are gold.bars, silver.trades, …")],
    *,
    lake: Lake,
    output: Annotated[Format, typer.Option("--format", help="How rows are printed.")] = (
        Format.TABLE
    ),
    json_output: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Run SQL over a lake with DuckDB."""
    with one_line("sql"):
        connection = open_lake(Storage(lake, load_settings().s3))
        try:
            rows = connection.sql(query)
            table = rows.to_arrow_table() if rows is not None else pa.table({})
        except duckdb.Error as error:
            raise JobError(str(error).splitlines()[0]) from error
        _print_rows(table, Format.JSON if json_output else output)


def _print_rows(table: pa.Table, output: Format) -> None:
    if output is Format.CSV:
        pa_csv.write_csv(table, sys.stdout.buffer)
    elif output is Format.JSON:
        typer.echo(json.dumps(table.to_pylist(), default=_plain))
    elif output is Format.PARQUET:
        pq.write_table(table, sys.stdout.buffer)
    else:
        shown = Table(*table.column_names)
        for row in table.slice(0, _ROWS_SHOWN).to_pylist():
            shown.add_row(*("" if v is None else str(_plain(v)) for v in row.values()))
        Console().print(shown)
        if table.num_rows > _ROWS_SHOWN:
            typer.echo(f"{_ROWS_SHOWN} of {table.num_rows:,} rows; --format csv prints all")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str | int | float | bool | list | dict) else str(value)


def tables_command(
    *,
    lake: Lake,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the tables with rows, latest event and freshness."""
    with one_line("tables"):
        now = datetime.now(UTC)
        rows = [
            {
                "table": t.name,
                "rows": t.rows,
                "files": t.files,
                "megabytes": t.size_bytes / 1e6,
                "latest_event": t.latest_event and t.latest_event.isoformat(),
                "freshness_s": None if t.latest_event is None else round(t.freshness_s(now) or 0),
                "latest_commit": t.latest_commit.isoformat(),
            }
            for t in table_overview(Storage(lake, load_settings().s3))
        ]
    if json_output:
        typer.echo(json.dumps(rows))
        return
    shown = Table("table", "rows", "files", "MB", "latest event", "age of it")
    for row in rows:
        age = row["freshness_s"]
        shown.add_row(
            str(row["table"]),
            f"{row['rows']:,}",
            f"{row['files']:,}",
            f"{row['megabytes']:,.1f}",
            str(row["latest_event"] or "none"),
            "" if age is None else f"{age:,} s",
        )
    Console().print(shown)
