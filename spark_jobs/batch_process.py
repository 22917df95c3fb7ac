"""``marketlake batch process``: the daily job."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import cached_property
from typing import Annotated, Final

import pyarrow.compute as pc
import typer
from pyspark.sql import SparkSession

from marketlake.contracts.tables import (
    GOLD_MARKET_SUMMARY,
    SILVER_QUARANTINE,
    STATE_FOLDS,
    STREAM_TABLES,
    SUMMARY_TABLES,
)
from marketlake.lake.datafiles import DataFile, DataFileWriter, is_from_files
from marketlake.lake.delta import DeltaTables
from marketlake.lake.errors import LakeNotFoundError
from marketlake.lake.lease import Check, lease
from marketlake.lake.storage import Storage
from marketlake.settings import environment
from marketlake.settings.model import Settings, load_settings
from spark_jobs.errors import JobError, one_line
from spark_jobs.export import FOLDER, export_day
from spark_jobs.file_day import (
    GOLD_OF_DAY,
    SILVER_OF_FILES,
    FileCounts,
    fold_files,
)
from spark_jobs.file_input import FileInput, find_files
from spark_jobs.market_summary import market_summary
from spark_jobs.options import Config, Export, Input, Json, Lake, Rewrite
from spark_jobs.sessions import job_session
from streaming.recompute import BatchHistory, recompute
from streaming.stages.indicators import table_of

APPLICATION: Final = "marketlake-batch"


@dataclass(frozen=True)
class DayResult:
    """What a run did.

    Attributes
    ----------
    written : dict
        Rows written by table.
    input : FileCounts or None
        Rows read from files; None where none were named.
    exported : int or None
        Rows exported; None where no export was asked for.
    """

    written: dict[str, int]
    input: FileCounts | None
    exported: int | None


class DailyJob:
    """One UTC day of one lake.

    Parameters
    ----------
    source : FileInput, optional
        Plain files that the day is computed from; the lake is made if absent. Without, it is
        what the stream filled.

    Raises
    ------
    LakeNotFoundError
        If there is no lake, and no files to make one from.
    """

    def __init__(
        self, lake: str, day: date, settings: Settings, source: FileInput | None = None
    ) -> None:
        self.storage = Storage(lake, settings.s3)
        self._check_lease: Check = lambda: None
        self._lake, self._day, self._settings, self._source = lake, day, settings, source
        if source is None and not self.storage.exists("gold/bars/_delta_log"):
            raise LakeNotFoundError(
                f"no lake at {lake}; fill one with `marketlake stream --lake {lake} …` first, "
                "or name files by --input"
            )
        self._tables = DeltaTables(
            self.storage,
            (*STREAM_TABLES, table_of(settings.indicators), *SUMMARY_TABLES, STATE_FOLDS),
        )
        if environment.under_spark_submit():
            # A cluster takes a program that never starts its session for one that failed.
            assert self._spark

    @cached_property
    def _spark(self) -> SparkSession:
        """Started by what folds: the summary and the export do without."""
        # A session of its own: what the job sets there, no other sees.
        name = f"marketlake batch process {self._day}"
        return job_session(name, self.storage, light=self._source is not None).newSession()

    def run(self, *, rewrite: bool, export: Storage | None = None) -> DayResult:
        """Make what the day lacks.

        Parameters
        ----------
        rewrite : bool
            Replace gold of the day even where the stream wrote it.
        export : Storage, optional
            Folder for plain Parquet.
        """
        written: dict[str, int] = {}
        counts = None
        if self._source is not None:
            with lease(self.storage, "stream") as self._check_lease:
                self._tables.create_all()
                counts = self._from_files(self._source, written, rewrite=rewrite)
        elif rewrite:
            with lease(self.storage, "stream") as self._check_lease:
                written |= self._from_bronze()
        with lease(self.storage, "market_summary") as self._check_lease:
            written |= self._summary()
        exported = None
        if export is not None:
            exported = export_day(self.storage, self._day, export)
        return DayResult(written, counts, exported)

    def _from_files(
        self, source: FileInput, written: dict[str, int], *, rewrite: bool
    ) -> FileCounts:
        before = {path: self._files_of_day(path) for path in (*SILVER_OF_FILES, *GOLD_OF_DAY)}
        streamed = [
            path
            for path, files in before.items()
            if not all(is_from_files(file.path) for file in files)
        ]
        if streamed and not rewrite:
            raise JobError(
                f"{streamed[0]} of lake {self._lake} has rows of {self._day} that the stream "
                "wrote; --rewrite puts those of the files in their place"
            )
        found = fold_files(self._spark, self._lake, self._settings, source, self._day)
        # Quarantine stands by the date of the source, so the stream's rows there may be of any day.
        path = SILVER_QUARANTINE.path
        before[path] = [file for file in self._files_of_day(path) if is_from_files(file.path)]
        for path, replaced in before.items():
            files = [file for file in found.files if file.table == path]
            written[path] = self._replace(path, files, replaced)
        return found.counts

    def _from_bronze(self) -> dict[str, int]:
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
        if not files:
            raise JobError(
                f"bronze of lake {self._lake} gives no gold of {self._day}; nothing was replaced"
            )
        return {
            path: self._replace(
                path, [file for file in files if file.table == path], self._files_of_day(path)
            )
            for path in GOLD_OF_DAY
        }

    def _summary(self) -> dict[str, int]:
        tables = market_summary(self.storage, self._day)
        if not tables[GOLD_MARKET_SUMMARY.path].num_rows:
            raise JobError(
                f"lake {self._lake} has no 1m bars on {self._day}; see the days there are: "
                f'marketlake sql --lake {self._lake} "select distinct date from gold.bars"'
            )
        written = {}
        for table in SUMMARY_TABLES:
            rows = tables[table.path]
            writer = DataFileWriter(self.storage, table, f"day-{self._day}")
            for market in sorted(set(rows["market"].to_pylist())):
                part = rows.filter(pc.equal(rows["market"], market))
                writer.add((market, self._day.isoformat()), part.select(table.file_schema.names))
            files, path = writer.close(), table.path
            written[path] = self._replace(path, files, self._files_of_day(path))
        return written

    def _files_of_day(self, path: str) -> list[DataFile]:
        return self._tables.files_of_day(path, self._day.isoformat())

    def _replace(self, path: str, files: list[DataFile], replaced: Sequence[DataFile]) -> int:
        """Put files in the place of others, in one commit."""
        if files or replaced:
            self._check_lease()
            # Each run is a transaction of its own: a repeated day replaces itself.
            application = f"{APPLICATION}/{self._day}/{time.time_ns()}"
            self._tables.commit(path, application, 0, files, replaced=replaced)
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
    lake: Lake,
    day: Annotated[str, typer.Option("--date", help="UTC day, as 2024-08-08.")],
    input_uri: Input = None,
    rewrite: Rewrite = False,
    export: Export = None,
    config: Config = None,
    json_output: Json = False,
) -> None:
    """Make the market summary of a day, and its gold from files, or again from bronze."""
    with one_line("batch process"):
        parsed, settings = parse_day(day), load_settings(config)
        # What is wrong with files is told before the seconds that Spark takes.
        source = find_files(input_uri, settings.s3) if input_uri is not None else None
        target = Storage(export, settings.s3) if export is not None else None
        if target is not None:
            # A target that is no place is told before the work, too.
            target.exists(FOLDER)
        result = DailyJob(lake, parsed, settings, source).run(rewrite=rewrite, export=target)
    _print(result, json_output=json_output)


def _print(result: DayResult, *, json_output: bool) -> None:
    if json_output:
        read = {"input": asdict(result.input)} if result.input else {}
        exported = {"export": result.exported} if result.exported is not None else {}
        typer.echo(json.dumps(result.written | read | exported))
        return
    counts = result.input
    if counts is not None:
        typer.echo(
            f"read {counts.rows:,} rows of {counts.files} files: {counts.of_day:,} of the day "
            f"({counts.silver:,} in silver, {counts.quarantined:,} in quarantine), "
            f"{counts.other_days:,} of other days"
        )
        if counts.ignored_files:
            typer.echo(f"passed over {counts.ignored_files} files that are not Parquet or CSV")
    for path, rows in result.written.items():
        typer.echo(f"{path}: {rows:,} rows")
    if result.exported is not None:
        typer.echo(f"{FOLDER}: {result.exported:,} rows exported")
