"""Days from plain files: three bars to begin with, the command, and what a lake then holds."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

from marketlake.lake.query import open_lake
from spark_jobs.batch_process import process_command

BEFORE, AFTER = date(2025, 1, 15), date(2025, 1, 16)
MIDNIGHT_US = 1_736_985_600_000_000
"""2025-01-16 00:00 UTC."""
MINUTE_US = 60_000_000
NOON_US = MIDNIGHT_US + 720 * MINUTE_US
BAR = "kraken,BTC-USD,1m,{},{},{},{},{},{},{}"
BARS = "\n".join(
    [
        "venue,instrument,interval,open_time,open,high,low,close,volume,trade_count",
        # Out of order, in three spellings of time.
        BAR.format("2025-01-16T12:02:00Z", 110, 112, 98, 99, 2.5, 4),
        BAR.format("2025-01-16 12:00:00", 100, 101, 99, 100, 1, 2),
        BAR.format(NOON_US + MINUTE_US, 100, 120, 100, 110, 0.5, 3),
    ]
)


def process(*arguments: object, job: Any = process_command) -> Any:
    app = typer.Typer()
    app.command()(job)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def processed(lake: Path, day: date, source: Path, *options: str) -> dict[str, Any]:
    arguments = ("--lake", lake, "--date", day, "--input", source, "--json", *options)
    result = process(*arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def rows(lake: Path, table: str, day: date) -> list[tuple[Any, ...]]:
    query = f"SELECT * FROM {table} WHERE date = '{day}' ORDER BY ALL"
    return open_lake(str(lake)).sql(query).fetchall()


def day_of(lake: Path, day: date, *tables: str) -> dict[str, list[tuple[Any, ...]]]:
    return {table: rows(lake, table, day) for table in tables}
