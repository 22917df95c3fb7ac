"""Bronze taken again through the same two steps: for the daily job, and to prove the lake."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from pyspark.sql import DataFrame, SparkSession

from marketlake.contracts.control import ORDER
from marketlake.contracts.tables import BRONZE_EVENTS
from marketlake.lake.bronze_retention import complete_after_us
from marketlake.lake.errors import LakeError
from marketlake.lake.manifests import Manifest, Manifests
from marketlake.lake.storage import Storage
from marketlake.settings.model import Settings
from streaming.pipeline import PIPELINE
from streaming.positions import positions_of, state_chains
from streaming.stages.messages import BatchPlan, InputPosition, LaneResult, MergeResult
from streaming.stages.tasks import INPUT_COLUMNS
from streaming.steps import run_steps

_SETTLED = timedelta(days=1)
"""How far all inputs must have passed a day before it counts as settled: an anomaly that began in
it may end later."""


def day_start_us(day: date) -> int:
    """Start of a UTC day in microseconds since the epoch."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000


class BatchHistory:
    """The batches of a lake, searched without reading them all."""

    def __init__(self, storage: Storage) -> None:
        self._manifests = Manifests(storage, PIPELINE)
        self.sequences = self._manifests.sequences()

    def before_day(self, day: date) -> Manifest | None:
        """Last batch after which no input had a row of this day or later; None from the start."""
        start_us = day_start_us(day)
        index = self._first(lambda m: any(i.latest_us >= start_us for i in m.inputs.values()))
        return self._manifests.read(self.sequences[index - 1]) if index else None

    def after_day(self, day: date) -> Manifest | None:
        """First batch after which the day is settled, or else the last; None in an empty lake."""
        end_us = day_start_us(day + timedelta(days=1) + _SETTLED)
        if not self.sequences:
            return None
        index = self._first(
            lambda m: (
                all(i.watermark_us >= end_us for i in m.inputs.values() if i.active)
                and any(i.watermark_us >= end_us for i in m.inputs.values())
            )
        )
        return self._manifests.read(self.sequences[min(index, len(self.sequences) - 1)])

    def first_day(self, complete_us: int) -> tuple[date, Manifest] | None:
        """First UTC day that can be computed from messages of batches after a time.

        Returns
        -------
        tuple or None
            The day, and the batch that it begins after; None where no day began since.
        """
        start = bisect_left(
            self.sequences, complete_us, key=lambda s: self._manifests.read(s).ingest_time_us
        )
        if start == len(self.sequences):
            return None
        latest_us = max(
            i.latest_us for i in self._manifests.read(self.sequences[start]).inputs.values()
        )
        day = datetime.fromtimestamp(latest_us / 1e6, UTC).date() + timedelta(days=1)
        before = self.before_day(day)
        assert before is not None
        last = self._manifests.read(self.sequences[-1])
        return None if before.sequence == last.sequence else (day, before)

    def first(self) -> Manifest | None:
        """Read the first batch."""
        return self._manifests.read(self.sequences[0]) if self.sequences else None

    def last(self) -> Manifest | None:
        """Read the last batch."""
        return self._manifests.read(self.sequences[-1]) if self.sequences else None

    def _first(self, holds: Callable[[Manifest], bool]) -> int:
        # Positions and watermarks only rise, so a condition on them holds from some batch on.
        return bisect_left(
            self.sequences, True, key=lambda sequence: holds(self._manifests.read(sequence))
        )


def bronze_rows(
    spark: SparkSession, storage: Storage, after: Manifest | None, upto: Manifest
) -> DataFrame:
    """Rows of bronze that batches after one and up to another wrote, lanes whole and in order.

    Where several partitions were folded together, the rows of their topic come as the batches had
    them: that is where its lanes changed.
    """
    rows = spark.read.format("delta").load(storage.path(BRONZE_EVENTS.path))
    first_us = after.ingest_time_us + 1 if after else 0
    rows = rows.where(
        f"ingest_time >= timestamp_micros({first_us}L) "
        f"AND ingest_time <= timestamp_micros({upto.ingest_time_us}L)"
    )
    rank = " ".join(f"WHEN '{source}' THEN {order}" for source, order in ORDER.items())
    inputs = max(1, len(upto.inputs))
    alone = upto.lane_changes == (after.lane_changes if after else 0) and not any(
        i.lane for i in upto.inputs.values()
    )
    together, order = (["topic", "partition"], []) if alone else (["topic"], ["ingest_time"])
    return (
        rows.selectExpr("*", f"CASE source {rank} ELSE {len(ORDER)} END AS rank")
        .repartition(inputs, *together)
        .sortWithinPartitions("topic", *order, "partition", "offset", "rank")
        .select(*INPUT_COLUMNS)
    )


def recompute(
    spark: SparkSession,
    lake: str,
    output: str,
    settings: Settings,
    after: Manifest | None,
    upto: Manifest,
    *,
    tables: frozenset[str],
    label: str,
    day: date | None = None,
) -> tuple[list[LaneResult], list[MergeResult]]:
    """Run the two steps over bronze, from the state that a batch left.

    Raises
    ------
    LakeError
        If bronze no longer has all messages since that batch.

    Parameters
    ----------
    output : str
        Lake into which files are written; no table has them yet.
    after : Manifest or None
        Batch whose state is the beginning; None for the empty state.
    tables : frozenset of str
        Tables whose files are written.
    day : date, optional
        Write gold rows of this UTC day only.
    """
    storage = Storage(lake, settings.s3)
    complete_us = complete_after_us(storage)
    if complete_us is not None and (after is None or after.ingest_time_us < complete_us):
        raise LakeError(
            f"bronze of lake {lake} no longer has all messages that this needs: they were removed "
            "by maintain.bronze_days"
        )
    genesis = BatchHistory(storage).first()
    assert genesis is not None
    if after is None:
        inputs = {n: InputPosition(i.topic, i.partition) for n, i in genesis.inputs.items()}
    else:
        inputs = positions_of(after)
    plan = BatchPlan(
        lake=output,
        sequence=upto.sequence,
        label=label,
        settings=settings,
        ingest_time_us=time.time_ns() // 1_000,
        inputs=inputs,
        state_files=state_chains(after),
        state_lake=lake,
        live=False,
        tables=tables,
        date=day.isoformat() if day else None,
    )
    return run_steps(bronze_rows(spark, storage, after, upto), plan)
