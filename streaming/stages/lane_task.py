"""Step one of one lane: rows of a source to data files, state, and events for step two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from marketlake.analytics.admission import NO_TIME_US
from marketlake.analytics.arrays import (
    Int64Array,
    row_count,
)
from marketlake.contracts.control import Control, encode_control
from marketlake.lake.datafiles import DataFile, SealedFile, write_files
from marketlake.lake.storage import Storage
from streaming.stages.fold_output import FoldOutput
from streaming.stages.given_events import GivenEvents
from streaming.stages.input_tables import InputTables
from streaming.stages.lane_fold import LaneFold
from streaming.stages.lane_state import STATE_VERSION
from streaming.stages.messages import (
    BAR_WORLD,
    BatchPlan,
    Counts,
    InputPosition,
    LaneEvents,
    LaneResult,
    StateFile,
    end_of_minute_us,
    event_type_of,
    input_name,
    merged_watermark_us,
)
from streaming.stages.rows import Decoded
from streaming.stages.state_files import is_due_whole, read_versioned, seal_state

Answer = tuple[int, str, bytes]
"""(bucket, kind, payload), as a step gives it on."""

_CACHE: Final[dict[str, tuple[StateFile, LaneFold]]] = {}
"""Folds that this process left, by lane, with the last file of the chain that holds the same."""


def is_held(lake: str, lane: str, chain: Sequence[StateFile]) -> bool:
    """Tell whether this process has a lane's fold as the last file of a chain left it."""
    cached = _CACHE.get(f"{lake}/{lane}")
    return cached is not None and cached[0] == chain[-1]


def forget(lake: str) -> None:
    """Let this process load the folds of a lake from its files again."""
    for name in [name for name in _CACHE if name.startswith(f"{lake}/")]:
        _CACHE.pop(name, None)


class LaneTask:
    """One lane in one batch.

    Parameters
    ----------
    name : str
        Of the lane.
    fold : LaneFold, optional
        What the lane has become of others; else its state is that of the batch before.
    """

    def __init__(
        self, plan: BatchPlan, topic: str, name: str, fold: LaneFold | None = None
    ) -> None:
        self._plan = plan
        self._storage = Storage(plan.lake, plan.settings.s3)
        self.topic, self.name = topic, name
        # A lane that others became has no file to which changes could be added.
        self._chain: tuple[StateFile, ...] = ()
        self.fold = self._load() if fold is None else fold
        self._tables: dict[int, InputTables] = {}
        self._next_offset: dict[int, int] = {}
        self._given = GivenEvents()
        self._files: list[DataFile] = []
        self._state_file: DataFile | None = None

    def _known(self, partition: int) -> InputPosition:
        unknown = InputPosition(self.topic, partition)
        return self._plan.inputs.get(unknown.name, unknown)

    def _load(self) -> LaneFold:
        chain = self._plan.state_files.get(self.name)
        cached = _CACHE.pop(f"{self._plan.lake}/{self.name}", None)
        if chain and cached is not None and cached[0] == chain[-1]:
            self._chain = chain
            return cached[1]
        fold = LaneFold(event_type_of(self.topic), self._plan.settings)
        if chain:
            plan = self._plan
            held = Storage(plan.state_lake or plan.lake, plan.settings.s3)
            state, version = read_versioned(held, [file.path for file in chain])
            fold.restore(state)
            # Nor has one whose files an older release wrote.
            self._chain = chain if version == STATE_VERSION else ()
        return fold

    def _joins_at_us(self) -> int:
        """Give the time at which an input that others did not wait for takes part again."""
        bars = event_type_of(self.topic) in BAR_WORLD
        merged_us = merged_watermark_us(self._plan.inputs, bars=bars)
        return max(merged_us, self.fold.watermark_us) if self.fold.merged else merged_us

    def tables(self, partition: int) -> InputTables:
        """Files of one partition; made, and its clock with them, when it is first asked for."""
        tables = self._tables.get(partition)
        if tables is None:
            known = self._known(partition)
            new = partition not in self.fold.admission.clocks
            clock = self.fold.admission.clock(partition)
            if new and self._plan.live and known.name not in self._plan.inputs:
                clock.active = self._joins_at_us() == NO_TIME_US
            self._next_offset[partition] = known.next_offset
            tables = self._tables[partition] = InputTables(
                self._plan, self.topic, partition, self.fold.catalog
            )
        return tables

    def messages(
        self, partition: int, source: str, rows: pa.Table, decoded: Decoded | None = None
    ) -> None:
        """Take messages in order of their offsets, or rows that come decoded."""
        tables = self.tables(partition)
        offsets: Int64Array = rows["offset"].to_numpy()
        source_time_us = rows["source_timestamp"].cast(pa.int64()).to_numpy()
        if self._plan.live and not self.fold.admission.clock(partition).active:
            resume = Control("resume", self._joins_at_us())
            self.control(partition, resume, int(offsets[0]), int(source_time_us[0]))
        self._note_offsets(partition, offsets)
        tables.bronze(source, rows, source_time_us)
        if decoded is None:
            judged, output = self.fold.step(
                rows["value"].combine_chunks(),
                source_time_us,
                rows["key"].combine_chunks(),
                partition,
            )
        else:
            judged, output = self.fold.step(decoded, source_time_us, partition=partition)
        tables.count(source_time_us)
        tables.silver(judged)
        tables.quarantine(source, rows, judged, self._values)
        self._take_output(tables, output)

    def control(self, partition: int, event: Control, offset: int, source_time_us: int) -> None:
        """Take a control event at a position."""
        self.note(partition, event, offset, source_time_us)
        self._take_output(self.tables(partition), self.fold.control(event, partition))

    def note(self, partition: int, event: Control, offset: int, source_time_us: int) -> None:
        """Write a control event to bronze, unless a replay found it in that very table."""
        tables = self.tables(partition)
        if self._plan.live or self._plan.notes:
            rows = pa.table(
                {
                    "offset": pa.array([offset], pa.int64()),
                    "key": pa.array([None], pa.binary()),
                    "value": pa.array([encode_control(event)], pa.binary()),
                }
            )
            tables.bronze(event.source, rows, np.array([source_time_us], np.int64))

    def end(self, earliest_us: int) -> None:
        """End bounded inputs where they stand, so that their bars close."""
        for partition in sorted(self._tables):
            latest_us = end_of_minute_us(self.fold.admission.clock(partition).latest_us)
            watermark_us = max(latest_us, earliest_us)
            event = Control("end", watermark_us)
            self.control(partition, event, self._next_offset[partition], watermark_us)

    @property
    def partitions(self) -> list[int]:
        """Partitions of the lane."""
        return sorted(self.fold.admission.clocks)

    def absorb(self, other: LaneTask) -> None:
        """Take another lane of the topic into this one, with what it gave so far."""
        names = [(i.venue, i.instrument) for i in other.fold.catalog.instruments]
        self.fold.absorb(other.fold)
        self._given.absorb(other._given, self.fold.catalog.codes(names))
        for tables in other._tables.values():
            tables.catalog = self.fold.catalog
        self._tables |= other._tables
        self._next_offset |= other._next_offset
        self._chain = ()

    def part(self) -> dict[int, LaneTask]:
        """Divide the lane into one for each partition; the first has what was given so far."""
        alone = {}
        for partition, fold in self.fold.part().items():
            name = input_name(self.topic, partition)
            task = alone[partition] = LaneTask(self._plan, self.topic, name, fold)
            if partition in self._tables:
                task._tables[partition] = self._tables[partition]
                task._next_offset[partition] = self._next_offset[partition]
            task._given, self._given = self._given, GivenEvents()
        return alone

    def _note_offsets(self, partition: int, offsets: Int64Array) -> None:
        expected = self._next_offset[partition]
        if int(offsets[0]) < expected or (np.diff(offsets) <= 0).any():
            raise ValueError(
                f"{input_name(self.topic, partition)}: offset {int(offsets[0])} comes where "
                f"{expected} or later is expected; the source was changed under the lake"
            )
        self._next_offset[partition] = int(offsets[-1]) + 1

    def _values(self, rows: pa.Table) -> Any:
        """Rows as messages, for the quarantine."""
        return rows["value"]

    def _take_output(self, tables: InputTables, output: FoldOutput) -> None:
        if row_count(output.bars):
            tables.bars(output, "venue" if self.fold.event_type == "bar" else "trades")
        if row_count(output.microstructure):
            tables.microstructure(output.microstructure, f"{self.fold.event_type}s")
        self._given.take(output, self.fold.event_type)
        tables.anomalies(output.anomalies)

    def finish(self) -> Iterator[Answer]:
        """Write what is open; give the result and the events."""
        write_files(self._storage, self.seal())
        yield from self.answers()

    def seal(self) -> list[SealedFile]:
        """Complete the files; they are to be written before the answers are given on."""
        files = [file for _, tables in sorted(self._tables.items()) for file in tables.seal()]
        self._files = [sealed.file for sealed in files]
        if self._plan.writes("state/folds"):
            state = seal_state(
                self._storage,
                f"{self._plan.label}-{self.name}",
                "instruments",
                self.name,
                self._plan.sequence,
                self.fold.state() if self._whole else self.fold.changes(),
            )
            files.append(state)
            self._state_file = state.file
            held = StateFile(f"{state.file.table}/{state.file.path}", state.file.size_bytes)
            _CACHE[f"{self._plan.lake}/{self.name}"] = (held, self.fold)
        return files

    def answers(self) -> Iterator[Answer]:
        """Give the result and the events of a lane whose files are written."""
        counts = Counts()
        for tables in self._tables.values():
            counts.add(tables.counts)
        positions = [self._position(p) for p in sorted(self.fold.admission.clocks)]
        result = LaneResult(
            name=self.name,
            positions=positions,
            met=self.fold.presence.fresh(),
            unsettled_us=self.fold.presence.unsettled_us,
            files=self._files,
            state_file=self._state_file,
            state_is_whole=self._whole,
            counts=counts,
        )
        yield 0, "lane", msgspec.msgpack.encode(result)
        for bucket in range(self._plan.settings.stream.merge_buckets):
            given = self._given.of_bucket(self.fold.catalog, bucket, self._plan)
            events = LaneEvents(self.name, positions, given)
            yield bucket, "events", msgspec.msgpack.encode(events)

    @property
    def _whole(self) -> bool:
        """True where the file of state holds all of it."""
        return is_due_whole(self._chain)

    def _position(self, partition: int) -> InputPosition:
        clock = self.fold.admission.clock(partition)
        return InputPosition(
            self.topic,
            partition,
            self._next_offset.get(partition, self._known(partition).next_offset),
            self.fold.admission.watermark_of_us(partition),
            clock.latest_us,
            clock.active,
            self.name if self.fold.merged else "",
        )
