"""One UTC day computed from plain files, through the two steps of the stream."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from typing import Final

from pyspark.sql import SparkSession

from marketlake.contracts.tables import (
    INDICATORS_PATH,
    SILVER_BARS,
    SILVER_QUARANTINE,
    SILVER_TRADES,
    STREAM_TABLES,
)
from marketlake.lake.datafiles import FILE_LABEL, DataFile, is_from_files
from marketlake.lake.delta import DeltaTables
from marketlake.lake.errors import LakeError
from marketlake.settings.model import Settings
from spark_jobs.errors import JobError
from spark_jobs.file_input import FileInput
from spark_jobs.file_pieces import cut
from spark_jobs.file_steps import blocks_of, days_of, step_one_of_files
from streaming.recompute import day_start_us
from streaming.stages.messages import BatchPlan, Counts
from streaming.stages.tasks import ANSWER_DDL
from streaming.steps import results_of

GOLD_OF_DAY: Final = (*(t.path for t in STREAM_TABLES if t.layer == "gold"), INDICATORS_PATH)
"""What a day has of gold, without the summary, which is made of it."""
SILVER_OF_FILES: Final = (SILVER_TRADES.path, SILVER_BARS.path)


@dataclass(frozen=True)
class FileCounts:
    """Rows read from files: each is in silver or in quarantine.

    Attributes
    ----------
    rows : int
        Rows of all days.
    of_day : int
        Rows of the day; those without a legible time count to it.
    other_days : int
        Rows of other days: folded before or after the day's, not written.
    reasons : dict
        Quarantined rows of all days by reason.
    """

    files: int
    ignored_files: int
    rows: int
    of_day: int
    other_days: int
    silver: int
    quarantined: int
    reasons: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class FileDay:
    """What files give for a day: data files that no table has yet."""

    files: list[DataFile]
    counts: FileCounts


def days_from_files(tables: DeltaTables, paths: Iterable[str]) -> list[str]:
    """Name the UTC days, in order, of which tables hold rows that plain files gave."""
    files = (file for path in paths for file in tables.files(path))
    return sorted({file.partition["date"] for file in files if is_from_files(file.path)})


def fold_files(
    spark: SparkSession, lake: str, settings: Settings, source: FileInput, day: date
) -> FileDay:
    """Clean, validate and fold the rows of files.

    The folds begin empty. Rows of other days go through them too, so that a file which begins
    before the day warms them up, but only the day's rows are written. Bars still open after the
    last row close at the end of the day, or of the minute of that row if it is later.

    Raises
    ------
    JobError
        If the files have no row of the day, or none that passes validation.
    LakeError
        If a row is neither in silver nor in quarantine.
    """
    plan = BatchPlan(
        lake=lake,
        sequence=0,
        label=f"{FILE_LABEL}{day}",
        settings=settings,
        ingest_time_us=time.time_ns() // 1_000,
        live=False,
        tables=frozenset({*SILVER_OF_FILES, SILVER_QUARANTINE.path, *GOLD_OF_DAY}),
        date=day.isoformat(),
        ends_us=day_start_us(day + timedelta(days=1)),
    )
    pieces = [piece for file in source.files for piece in cut(file)]
    blocks = blocks_of(spark, pieces, source.inputs)
    folded = blocks.mapInArrow(partial(step_one_of_files, plan=plan, day=day), ANSWER_DDL)
    inputs, merges = results_of(folded, plan)
    files = [file for result in (*inputs, *merges) for file in result.files]
    total = Counts()
    for result in inputs:
        total.add(result.counts)
    counts = FileCounts(
        files=len(source.files),
        ignored_files=len(source.ignored),
        rows=total.read,
        of_day=total.of_date,
        other_days=total.read - total.of_date,
        silver=sum(f.rows for f in files if f.table in SILVER_OF_FILES),
        quarantined=sum(f.rows for f in files if f.table == SILVER_QUARANTINE.path),
        reasons=total.reasons,
    )
    _check(spark, source, day, total, counts)
    return FileDay(files, counts)


def _check(
    spark: SparkSession, source: FileInput, day: date, total: Counts, counts: FileCounts
) -> None:
    if not total.balanced or counts.of_day != counts.silver + counts.quarantined:
        raise LakeError(
            f"{source.uri}: {counts.of_day} rows of {day} read, but {counts.silver} in silver and "
            f"{counts.quarantined} in quarantine; nothing was committed"
        )
    if not counts.of_day:
        days = days_of(spark, [piece for file in source.files for piece in cut(file)])
        held = f"it holds {days[0]} to {days[1]}" if days else "it holds no row at all"
        raise JobError(f"--input {source.uri} has no row of {day}: {held}; nothing was written")
    if not counts.silver:
        reasons = ", ".join(f"{name} {rows}" for name, rows in sorted(total.reasons.items()))
        raise JobError(
            f"--input {source.uri}: none of the {counts.of_day} rows of {day} passes validation "
            f"({reasons}); nothing was written"
        )
