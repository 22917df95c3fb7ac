"""Both steps of a batch as one Spark job: step one a task or more, then step two by bucket."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import msgspec
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sql

from streaming.sources.kafka_fetch import OffsetRange
from streaming.stages.lane_task import Answer
from streaming.stages.lanes import by_lane
from streaming.stages.messages import BatchPlan, LaneResult, MergeResult, PlacedControl
from streaming.stages.tasks import (
    ANSWER_DDL,
    INPUT_COLUMNS,
    fold_controls,
    fold_ranges,
    holds_folds,
    merge_answers,
    step_one,
    step_one_from_kafka,
    step_one_of_controls,
    step_two,
)

Results = tuple[list[LaneResult], list[MergeResult]]


def answers_of_rows(rows: DataFrame, plan: BatchPlan) -> DataFrame:
    """Run step one over the rows of a frame, whose partitions hold whole lanes in order."""
    return rows.select(*INPUT_COLUMNS).mapInArrow(partial(step_one, plan=plan), ANSWER_DDL)


def whole_lanes(rows: DataFrame, plan: BatchPlan) -> DataFrame:
    """Bring the partitions of a lane together; Spark's reader gives each input a task."""
    lanes = {name: position.lane for name, position in plan.inputs.items() if position.lane}
    if not lanes:
        return rows
    name = sql.concat_ws("-", "topic", "partition")
    pairs = [sql.lit(text) for pair in lanes.items() for text in pair]
    lane = sql.coalesce(sql.try_element_at(sql.create_map(*pairs), name), name)
    whole = rows.repartition(len(plan.inputs), lane)
    return whole.sortWithinPartitions("topic", "partition", "offset")


def answers_of_ranges(
    spark: SparkSession, plan: BatchPlan, bootstrap: str, ranges: Sequence[OffsetRange]
) -> DataFrame:
    """Run step one over ranges of offsets that the workers fetch themselves."""
    shares = share_out(by_lane(plan, ranges), spark.sparkContext.defaultParallelism)
    fetch = partial(step_one_from_kafka, plan=plan, bootstrap=bootstrap, shares=shares)
    return spark.range(0, len(shares), 1, len(shares)).mapInArrow(fetch, ANSWER_DDL)


def results_of_ranges(
    spark: SparkSession, plan: BatchPlan, bootstrap: str, ranges: Sequence[OffsetRange]
) -> Results:
    """Run both steps over ranges of offsets; over few messages in this process."""
    if messages_in(ranges) > plan.settings.stream.driver_messages:
        return results_of(answers_of_ranges(spark, plan, bootstrap, ranges), plan)
    return _results(merge_answers(plan, fold_ranges(plan, bootstrap, ranges)))


def results_of_controls(
    spark: SparkSession, plan: BatchPlan, controls: Sequence[PlacedControl]
) -> Results:
    """Let inputs, each named once, take control events; in this process if it holds their folds."""
    if not holds_folds(plan):
        return results_of(answers_of_controls(spark, plan, controls), plan)
    return _results(merge_answers(plan, fold_controls(plan, controls)))


def answers_of_controls(
    spark: SparkSession, plan: BatchPlan, controls: Sequence[PlacedControl]
) -> DataFrame:
    """Let inputs take control events."""
    lanes = by_lane(plan, controls)
    tasks = min(spark.sparkContext.defaultParallelism, len(lanes))
    shares = [lanes[task::tasks] for task in range(tasks)]
    take = partial(step_one_of_controls, plan=plan, shares=shares)
    return spark.range(0, tasks, 1, tasks).mapInArrow(take, ANSWER_DDL)


def share_out(lanes: Sequence[Sequence[OffsetRange]], tasks: int) -> list[list[list[OffsetRange]]]:
    """Deal lanes to at most so many tasks, each next largest one to the task with the least."""
    shares: list[list[list[OffsetRange]]] = [[] for _ in range(min(tasks, len(lanes)))]
    loads = [0] * len(shares)
    for lane in sorted(lanes, key=lambda spans: (-messages_in(spans), _place(spans[0]))):
        lightest = loads.index(min(loads))
        shares[lightest].append(sorted(lane, key=_place))
        loads[lightest] += messages_in(lane)
    return shares


def messages_in(spans: Sequence[OffsetRange]) -> int:
    """Count the messages of ranges; offsets without one, as of transactions, count too."""
    return sum(span.end - span.start for span in spans)


def _place(span: OffsetRange) -> tuple[str, int]:
    return span.topic, span.partition


def results_of(answers: DataFrame, plan: BatchPlan) -> Results:
    """Run step two over the answers of step one; give the results of both, by name."""
    rows = (
        answers.repartition(plan.settings.stream.merge_buckets, "bucket")
        .mapInArrow(partial(step_two, plan=plan), ANSWER_DDL)
        .collect()
    )
    return _results((row["bucket"], row["kind"], bytes(row["payload"])) for row in rows)


def _results(answers: Iterable[Answer]) -> Results:
    lanes, merges = [], []
    for _bucket, kind, payload in answers:
        if kind == "lane":
            lanes.append(msgspec.msgpack.decode(payload, type=LaneResult))
        else:
            merges.append(msgspec.msgpack.decode(payload, type=MergeResult))
    return sorted(lanes, key=lambda r: r.name), sorted(merges, key=lambda r: r.name)


def run_steps(rows: DataFrame, plan: BatchPlan) -> Results:
    """Run both steps over the rows of a frame."""
    return results_of(answers_of_rows(rows, plan), plan)
