"""Both steps of a batch as one Spark job: step one a task or more, then step two by bucket."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec
from pyspark.sql import DataFrame, SparkSession

from streaming.sources.kafka_fetch import OffsetRange
from streaming.stages.messages import BatchPlan, InputResult, MergeResult, PlacedControl
from streaming.stages.tasks import (
    ANSWER_DDL,
    INPUT_COLUMNS,
    step_one,
    step_one_from_kafka,
    step_one_of_controls,
    step_two,
)

Results = tuple[list[InputResult], list[MergeResult]]


def answers_of_rows(rows: DataFrame, plan: BatchPlan) -> DataFrame:
    """Run step one over the rows of a frame, whose partitions hold whole inputs in order."""
    return rows.select(*INPUT_COLUMNS).mapInArrow(partial(step_one, plan=plan), ANSWER_DDL)


def answers_of_ranges(
    spark: SparkSession, plan: BatchPlan, bootstrap: str, ranges: Sequence[OffsetRange]
) -> DataFrame:
    """Run step one over ranges of offsets that the workers fetch themselves."""
    shares = share_out(ranges, spark.sparkContext.defaultParallelism)
    fetch = partial(step_one_from_kafka, plan=plan, bootstrap=bootstrap, shares=shares)
    return spark.range(0, len(shares), 1, len(shares)).mapInArrow(fetch, ANSWER_DDL)


def answers_of_controls(
    spark: SparkSession, plan: BatchPlan, controls: Sequence[PlacedControl]
) -> DataFrame:
    """Let inputs, each named once, take control events."""
    tasks = min(spark.sparkContext.defaultParallelism, len(controls))
    shares = [controls[task::tasks] for task in range(tasks)]
    take = partial(step_one_of_controls, plan=plan, shares=shares)
    return spark.range(0, tasks, 1, tasks).mapInArrow(take, ANSWER_DDL)


def share_out(ranges: Sequence[OffsetRange], tasks: int) -> list[list[OffsetRange]]:
    """Deal ranges to at most so many tasks, each next largest one to the task with the least."""
    shares: list[list[OffsetRange]] = [[] for _ in range(min(tasks, len(ranges)))]
    for span in sorted(ranges, key=lambda r: (r.start - r.end, r.topic, r.partition)):
        min(shares, key=lambda share: sum(r.end - r.start for r in share)).append(span)
    return shares


def results_of(answers: DataFrame, plan: BatchPlan) -> Results:
    """Run step two over the answers of step one; give the results of both, by name."""
    rows = (
        answers.repartition(plan.settings.stream.merge_buckets, "bucket")
        .mapInArrow(partial(step_two, plan=plan), ANSWER_DDL)
        .collect()
    )
    inputs = [
        msgspec.msgpack.decode(bytes(row["payload"]), type=InputResult)
        for row in rows
        if row["kind"] == "input"
    ]
    merges = [
        msgspec.msgpack.decode(bytes(row["payload"]), type=MergeResult)
        for row in rows
        if row["kind"] == "merge"
    ]
    return sorted(inputs, key=lambda r: r.name), sorted(merges, key=lambda r: r.name)


def run_steps(rows: DataFrame, plan: BatchPlan) -> Results:
    """Run both steps over the rows of a frame."""
    return results_of(answers_of_rows(rows, plan), plan)
