"""The lanes that one task folds: which partition is in which, and how that changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from marketlake.contracts.control import Control, changes_lanes
from marketlake.lake.datafiles import write_files
from marketlake.lake.storage import Storage
from streaming.sources.kafka_fetch import OffsetRange
from streaming.stages.lane_task import Answer, LaneTask
from streaming.stages.messages import BatchPlan, InputPosition, PlacedControl, input_name

_Placed = TypeVar("_Placed", OffsetRange, PlacedControl)


class Lanes:
    """Tasks of some lanes by the partitions they take; partitions move as control events say."""

    def __init__(self, plan: BatchPlan) -> None:
        self._plan = plan
        self._tasks: dict[str, LaneTask] = {}
        self._lane_of: dict[str, str] = {}

    def task(self, topic: str, partition: int) -> LaneTask:
        """Task of the lane that a partition is in."""
        name = input_name(topic, partition)
        lane = self._lane_of.get(name)
        if lane is None:
            lane = self._lane_of[name] = lane_of(self._plan, topic, partition)
        return self._of_lane(topic, lane)

    def _of_lane(self, topic: str, lane: str) -> LaneTask:
        task = self._tasks.get(lane)
        if task is None:
            task = self._tasks[lane] = LaneTask(self._plan, topic, lane)
        return task

    def control(
        self, topic: str, partition: int, event: Control, offset: int, source_time_us: int
    ) -> None:
        """Take a control event at a position."""
        task = self.task(topic, partition)
        if event.kind == "join":
            # Its clock, if it is new, is made before it has company.
            task.tables(partition)
            if event.asleep:
                task.fold.admission.clock(partition).active = False
            task = self._join(task, event.lane)
        elif event.kind == "part":
            task = self._part(task, partition)
        if changes_lanes(event):
            task.note(partition, event, offset, source_time_us)
        else:
            task.control(partition, event, offset, source_time_us)

    def _join(self, task: LaneTask, lane: str) -> LaneTask:
        common = self._of_lane(task.topic, lane)
        if common is not task:
            common.absorb(task)
            del self._tasks[task.name]
            for partition in common.partitions:
                self._lane_of[input_name(task.topic, partition)] = lane
        return common

    def _part(self, task: LaneTask, partition: int) -> LaneTask:
        if task.fold.merged:
            del self._tasks[task.name]
            for own, alone in task.part().items():
                self._lane_of[alone.name] = alone.name
                self._tasks[alone.name] = alone
                alone.tables(own)
        return self.task(task.topic, partition)

    def end(self, earliest_us: int) -> None:
        """End bounded inputs where they stand."""
        for task in self._tasks.values():
            task.end(earliest_us)

    def finish(self) -> list[Answer]:
        """Write what is open; give what all lanes answer."""
        tasks = list(self._tasks.values())
        storage = Storage(self._plan.lake, self._plan.settings.s3)
        write_files(storage, [file for task in tasks for file in task.seal()])
        return [answer for task in tasks for answer in task.answers()]


def lane_of(plan: BatchPlan, topic: str, partition: int) -> str:
    """Name of the lane that a partition is in when a batch begins."""
    unknown = InputPosition(topic, partition)
    return plan.inputs.get(unknown.name, unknown).lane_name


def by_lane(plan: BatchPlan, work: Iterable[_Placed]) -> list[list[_Placed]]:
    """Put together what belongs to one lane; of control events that change lanes, to one topic.

    Parameters
    ----------
    work : iterable
        What has a ``topic`` and a ``partition``.
    """
    groups: dict[str, list[_Placed]] = {}
    for item in work:
        changes = isinstance(item, PlacedControl) and changes_lanes(item.event)
        name = item.topic if changes else lane_of(plan, item.topic, item.partition)
        groups.setdefault(name, []).append(item)
    return list(groups.values())
