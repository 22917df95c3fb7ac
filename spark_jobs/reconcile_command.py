"""``marketlake reconcile``: take bronze again from the start, and compare every table."""

from __future__ import annotations

import json
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from marketlake.contracts.tables import SILVER_QUARANTINE, STREAM_TABLES, Table
from marketlake.lake.bronze_retention import complete_after_us
from marketlake.lake.compare import Difference, first_surplus, text_of
from marketlake.lake.datafiles import DataFile, verify
from marketlake.lake.delta import DeltaTables
from marketlake.lake.errors import LakeError, LakeNotFoundError
from marketlake.lake.manifests import Manifest, ManifestInput
from marketlake.lake.query import open_lake
from marketlake.lake.storage import Storage
from marketlake.settings import environment
from marketlake.settings.model import IndicatorSettings, Settings, load_settings
from spark_jobs.errors import one_line
from spark_jobs.file_day import GOLD_OF_DAY, SILVER_OF_FILES, days_from_files
from spark_jobs.file_pieces import SOURCE as FILE_SOURCE
from spark_jobs.options import Lake
from spark_jobs.sessions import job_session
from streaming.recompute import BatchHistory, recompute
from streaming.stages.indicators import table_of

_COMPARED: Final = tuple(t for t in STREAM_TABLES if t.layer in {"silver", "gold"})


@dataclass(frozen=True)
class FileDays:
    """UTC days that plain files gave (``batch process --input``): they never were in bronze.

    Attributes
    ----------
    silver, gold : list of str
        Days as ``YYYY-MM-DD``, in order. A day's gold may be bronze's again (``--rewrite``) where
        its silver is not.
    """

    silver: list[str]
    gold: list[str]

    @classmethod
    def of(cls, storage: Storage) -> FileDays:
        """Read from the tables which days these are; none where no lake stands."""
        if not storage.exists(f"{SILVER_OF_FILES[0]}/_delta_log"):
            return cls([], [])
        tables = DeltaTables(storage, (*_COMPARED, table_of(IndicatorSettings())))
        return cls(days_from_files(tables, SILVER_OF_FILES), days_from_files(tables, GOLD_OF_DAY))

    def rest(self, table: Table) -> str:
        """Write the SQL condition of the rows of a table that bronze has to give."""
        if table is SILVER_QUARANTINE:
            # It stands by the day of the source's timestamp, so days do not part it.
            return f"source <> '{FILE_SOURCE}'"
        days = {"silver": self.silver, "gold": self.gold}[table.layer]
        if not days or table.path not in (*SILVER_OF_FILES, *GOLD_OF_DAY):
            return "true"
        listed = ", ".join(f"DATE '{day}'" for day in days)
        return f"date NOT IN ({listed})"

    def lines(self) -> list[str]:
        """Tell of each day what is not compared."""
        layers = {
            day: " and ".join(n for n, days in vars(self).items() if day in days)
            for day in sorted({*self.silver, *self.gold})
        }
        return [
            f"{day}: {names} came from plain files, which are not in bronze: not compared"
            for day, names in layers.items()
        ]


@dataclass(frozen=True)
class Beginning:
    """From where on bronze can be computed again.

    Attributes
    ----------
    day : date or None
        First UTC day that is compared; None for all days.
    after : Manifest or None
        Batch whose state is the beginning; None for the empty state.
    """

    day: date | None
    after: Manifest | None

    @classmethod
    def of(cls, storage: Storage) -> Beginning:
        """Find it.

        Raises
        ------
        LakeError
            If messages were removed and no day has begun since.
        """
        complete_us = complete_after_us(storage)
        if complete_us is None:
            return cls(None, None)
        first = BatchHistory(storage).first_day(complete_us)
        if first is None:
            raise LakeError(
                f"nothing of lake {storage.uri} can be reconciled: messages were removed from "
                "bronze (maintain.bronze_days), and no UTC day has begun since"
            )
        return cls(*first)

    def rest(self, table: Table) -> str:
        """Write the SQL condition of the rows of a table that bronze can give."""
        if self.day is None or self.after is None:
            return "true"
        if table is not SILVER_QUARANTINE:
            return f"date >= DATE '{self.day}'"
        # It stands by the day of the source's timestamp; what came since stands behind positions.
        known = [f"(topic = '{i.topic}' AND \"partition\" = {i.partition})" for i in self._inputs()]
        behind = [
            f"(topic = '{i.topic}' AND \"partition\" = {i.partition} AND "
            f'"offset" >= {i.next_offset})'
            for i in self._inputs()
        ]
        return f"NOT ({' OR '.join(known)}) OR {' OR '.join(behind)}"

    def _inputs(self) -> list[ManifestInput]:
        return list(self.after.inputs.values()) if self.after else []

    def lines(self) -> list[str]:
        """Tell what is not compared."""
        if self.day is None:
            return []
        return [f"before {self.day}: messages were removed from bronze: not compared"]


def reconcile(lake: str, settings: Settings) -> list[Difference]:
    """Recompute all tables from bronze and compare row for row, bit for bit.

    Days that plain files gave are left out, see :class:`FileDays`.
    """
    storage = Storage(lake, settings.s3)
    compared = (*_COMPARED, table_of(settings.indicators))
    file_days = FileDays.of(storage)
    last = BatchHistory(storage).last()
    if last is None:
        if file_days.silver:
            return []
        raise LakeNotFoundError(f"no lake at {lake}, or no batch in it yet")
    begins = Beginning.of(storage)
    found = _check_state(storage, last)
    spark = job_session("marketlake reconcile", storage)
    with _scratch(storage) as scratch:
        inputs, merges = recompute(
            spark,
            lake,
            scratch.uri,
            settings,
            begins.after,
            last,
            tables=frozenset(table.path for table in compared),
            label="again",
        )
        files = [file for result in (*inputs, *merges) for file in result.files]
        connection = open_lake(storage)
        found += _check_positions(connection, last)
        for table in compared:
            again = _recomputed(scratch, table, [f for f in files if f.table == table.path])
            rest = f"({file_days.rest(table)}) AND ({begins.rest(table)})"
            found += _compare(connection, table, again, rest)
    return found


@contextmanager
def _scratch(storage: Storage) -> Iterator[Storage]:
    """Give a place for what is computed again, which is gone afterwards."""
    if environment.under_spark_submit():
        # Workers on other machines see the lake, and not our temporary folders.
        folder = f"_marketlake/scratch/{uuid.uuid4().hex}"
        try:
            yield Storage(storage.path(folder), storage.s3)
        finally:
            storage.delete_all(folder)
    else:
        with tempfile.TemporaryDirectory(prefix="marketlake-reconcile-") as local:
            yield Storage(local)


def _check_state(storage: Storage, last: Manifest) -> list[Difference]:
    try:
        files = [file for chain in last.state_files.values() for file in chain]
        damaged: list[DataFile] = verify(storage, files)
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
    connection: duckdb.DuckDBPyConnection, table: Table, again: pa.RecordBatchReader, rest: str
) -> list[Difference]:
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    name = f"{table.layer}.{table.name}"
    lake = connection.table(name).filter(rest).project(columns)
    with duckdb.connect() as other:
        other.execute("SET TimeZone = 'UTC'")
        try:
            recomputed = other.from_arrow(again)
            sides = first_surplus(lake, recomputed.filter(rest).project(columns))
        except duckdb.Error as error:
            # What reads hands the error on to what compares, each with words of its own.
            reason = str(error).splitlines()[0].rpartition(" failed: ")[2].partition(". Detail:")[0]
            return [Difference(name, "cannot be read", reason)]
    problems = ("in the lake but not recomputed", "recomputed but not in the lake")
    return [
        Difference(name, problem, text_of(row))
        for problem, row in zip(problems, sides, strict=True)
        if row is not None
    ]


def _recomputed(scratch: Storage, table: Table, files: Sequence[DataFile]) -> pa.RecordBatchReader:
    """Read what was recomputed, with the partition columns, which stand in no file."""

    def batches() -> Iterator[pa.RecordBatch]:
        for file in files:
            rows = pq.ParquetFile(pa.BufferReader(scratch.read(f"{file.table}/{file.path}"))).read()
            for name, value in file.partition.items():
                kind = table.arrow_schema.field(name).type
                rows = rows.append_column(
                    name, pa.repeat(pa.scalar(value).cast(kind), rows.num_rows)
                )
            yield from rows.select(table.arrow_schema.names).cast(table.arrow_schema).to_batches()

    return pa.RecordBatchReader.from_batches(table.arrow_schema, batches())


def reconcile_command(
    *,
    lake: Lake,
    config: Annotated[Path | None, typer.Option(help="TOML file the lake was filled with.")] = None,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print differences, and days not compared, as JSON.")
    ] = False,
) -> None:
    """Recompute the lake from bronze; exit 1 and show the first difference of each table."""
    with one_line("reconcile"):
        settings = load_settings(config)
        storage = Storage(lake, settings.s3)
        differences = reconcile(lake, settings)
        file_days, begins = FileDays.of(storage), Beginning.of(storage)
    if json_output:
        found = [vars(difference) for difference in differences]
        typer.echo(json.dumps({"differences": found, "days_from_files": vars(file_days)}))
    else:
        lines = [f"{d.table}: {d.problem}: {d.row}" for d in differences]
        same = "identical: every table equals what bronze gives"
        if BatchHistory(storage).last() is None:
            same = "nothing to compare: bronze is empty"
        typer.echo("\n".join([*begins.lines(), *file_days.lines(), *(lines or [same])]))
    if differences:
        raise typer.Exit(1)
