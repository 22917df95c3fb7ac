"""``marketlake batch process``: the daily job."""

from __future__ import annotations

import json
import time
from datetime import date
from pathlib import Path
from typing import Annotated, Final

import typer

from marketlake.contracts.tables import (
    GOLD_ANOMALIES,
    GOLD_BARS,
    GOLD_MARKET_SUMMARY,
    GOLD_SPREADS,
    STATE_FOLDS,
    STREAM_TABLES,
)
from marketlake.lake.datafiles import DataFile, DataFileWriter
from marketlake.lake.delta import DeltaTables
from marketlake.lake.errors import LakeNotFoundError
from marketlake.lake.lease import lease
from marketlake.lake.storage import Storage
from marketlake.settings.model import Settings, load_settings
from spark_jobs.errors import JobError, one_line
from spark_jobs.market_summary import market_summary
from spark_jobs.sessions import job_session
from streaming.recompute import BatchHistory, recompute
from streaming.stages.gold import GOLD_INDICATORS

APPLICATION: Final = "marketlake-batch"
GOLD_OF_DAY: Final = (
    GOLD_BARS.path,
    GOLD_INDICATORS.path,
    GOLD_ANOMALIES.path,
    GOLD_SPREADS.path,
)


class DailyJob:
    """One UTC day of one lake."""

    def __init__(self, lake: str, day: date, settings: Settings) -> None:
        self.storage = Storage(lake)
        self._lake, self._day, self._settings = lake, day, settings
        if not self.storage.exists("gold/bars/_delta_log"):
            raise LakeNotFoundError(
                f"no lake at {lake}; fill one with `marketlake stream --lake {lake} …` first"
            )
        self._tables = DeltaTables(
            self.storage, (*STREAM_TABLES, GOLD_INDICATORS, GOLD_MARKET_SUMMARY, STATE_FOLDS)
        )
        self._spark = job_session(f"marketlake batch process {day}")

    def run(self, *, rewrite: bool) -> dict[str, int]:
        """Make what the day lacks; returns rows written by table."""
        written: dict[str, int] = {}
        if rewrite:
            with lease(self.storage, "stream"):
                written |= self._gold()
        with lease(self.storage, "market_summary"):
            written |= self._summary()
        return written

    def _gold(self) -> dict[str, int]:
        history = BatchHistory(self.storage)
        upto = history.after_day(self._day)
        if upto is None:
            raise JobError(f"lake {self._lake} has no batch yet; run marketlake stream first")
        inputs, merges = recompute(
            self._spark,
            self._lake,
            self._lake,
            self._settings,
            history.before_day(self._day),
            upto,
            tables=frozenset(GOLD_OF_DAY),
            label=f"day-{self._day}",
            day=self._day,
        )
        files = [file for result in (*inputs, *merges) for file in result.files]
        return {
            path: self._replace(path, [file for file in files if file.table == path])
            for path in GOLD_OF_DAY
        }

    def _summary(self) -> dict[str, int]:
        writer = DataFileWriter(self.storage, GOLD_MARKET_SUMMARY, f"day-{self._day}")
        by_market = market_summary(self._spark, self.storage, self._day)
        if not by_market:
            raise JobError(
                f"lake {self._lake} has no 1m bars on {self._day}; see the days there are: "
                f'marketlake sql --lake {self._lake} "select distinct date from gold.bars"'
            )
        for market, rows in by_market.items():
            writer.add((market, self._day.isoformat()), rows)
        path = GOLD_MARKET_SUMMARY.path
        return {path: self._replace(path, writer.close())}

    def _replace(self, path: str, files: list[DataFile]) -> int:
        """Put files in the place of the day's, in one commit."""
        before = self._tables.files_of_day(path, self._day.isoformat())
        if files or before:
            # Each run is a transaction of its own: a repeated day replaces itself.
            application = f"{APPLICATION}/{self._day}/{time.time_ns()}"
            self._tables.commit(path, application, 0, files, replaced=before)
        return sum(file.rows for file in files)


def parse_day(text: str) -> date:
    """Read ``YYYY-MM-DD``.

    Raises
    ------
    JobError
        If it is no date.
    """
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise JobError(f"--date {text!r} is no date; write it as 2024-08-08") from error


def process_command(
    *,
    lake: Annotated[str, typer.Option(help="Folder of the lake.")],
    day: Annotated[str, typer.Option("--date", help="UTC day, as 2024-08-08.")],
    rewrite: Annotated[
        bool,
        typer.Option("--rewrite", help="Compute gold of the day again from bronze, and replace."),
    ] = False,
    config: Annotated[Path | None, typer.Option(help="TOML file with settings.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print rows written as JSON.")] = (
        False
    ),
) -> None:
    """Make the market summary of a day, and its gold where asked."""
    with one_line("batch process"):
        written = DailyJob(lake, parse_day(day), load_settings(config)).run(rewrite=rewrite)
    if json_output:
        typer.echo(json.dumps(written))
    else:
        for path, rows in written.items():
            typer.echo(f"{path}: {rows:,} rows")
