"""Step one as a task: rows of a source to data files, state, and events for step two."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from marketlake.analytics.admission import NO_TIME_US
from marketlake.analytics.arrays import (
    Columns,
    Int64Array,
    concat,
    pack_arrays,
    row_count,
)
from marketlake.contracts.control import SOURCE_PREFIX, Control, decode_control, encode_control
from marketlake.contracts.instruments import QUOTE_ASSETS, Instrument
from marketlake.lake.storage import Storage
from streaming.stages.families import FoldOutput, bar_lengths_us
from streaming.stages.input_fold import InputFold
from streaming.stages.input_tables import InputTables
from streaming.stages.merge_fold import MergeEvents
from streaming.stages.messages import (
    BAR_WORLD,
    BatchPlan,
    InputEvents,
    InputPosition,
    InputResult,
    bucket_of,
    end_of_minute_us,
    event_type_of,
    input_name,
    merged_watermark_us,
    venue_bucket,
)
from streaming.stages.rows import Decoded
from streaming.stages.state_files import read_state, write_state

_CACHE: Final[dict[str, tuple[str, InputFold]]] = {}
"""Folds that this process left, by input, with the state file that holds the same."""


_NONE: Final = np.empty(0, np.int64)


class InputTask:
    """One input in one batch."""

    def __init__(self, plan: BatchPlan, topic: str, partition: int) -> None:
        self._plan = plan
        self._storage = Storage(plan.lake)
        self.topic, self.partition = topic, partition
        self.name = input_name(topic, partition)
        self._fold = self._load()
        self._tables = InputTables(plan, topic, partition, self._fold.catalog)
        self._first_offset, self._next_offset = -1, self._known().next_offset
        self._bars: list[Columns] = []
        self._tops: list[Columns] = []

    def _known(self) -> InputPosition:
        return self._plan.inputs.get(self.name, InputPosition(self.topic, self.partition))

    def _load(self) -> InputFold:
        path = self._plan.state_files.get(self.name)
        cached = _CACHE.pop(f"{self._plan.lake}/{self.name}", None)
        if path is not None and cached is not None and cached[0] == path:
            return cached[1]
        fold = InputFold(event_type_of(self.topic), self._plan.settings)
        if path is not None:
            fold.restore(read_state(self._storage, path))
        elif self._plan.live and self.name not in self._plan.inputs:
            # Others did not wait for it: it joins where they are.
            fold.active = self._joins_at_us() == NO_TIME_US
        return fold

    def _joins_at_us(self) -> int:
        bars = event_type_of(self.topic) in BAR_WORLD
        return merged_watermark_us(self._plan.inputs, bars=bars)

    def messages(self, source: str, rows: pa.Table, decoded: Decoded | None = None) -> None:
        """Take messages in order of their offsets, or rows that come decoded."""
        offsets: Int64Array = rows["offset"].to_numpy()
        source_time_us = rows["source_timestamp"].cast(pa.int64()).to_numpy()
        if self._plan.live and not self._fold.active:
            resume = Control("resume", self._joins_at_us())
            self.control(resume, int(offsets[0]), int(source_time_us[0]))
        self._note_offsets(offsets)
        self._tables.bronze(source, rows, source_time_us)
        if decoded is None:
            judged, output = self._fold.step(
                rows["value"].combine_chunks(), source_time_us, rows["key"].combine_chunks()
            )
        else:
            judged, output = self._fold.step(decoded, source_time_us)
        self._tables.count(source_time_us)
        self._tables.silver(judged)
        self._tables.quarantine(source, rows, judged, self._values)
        self._take_output(output)

    def control(self, event: Control, offset: int, source_time_us: int) -> None:
        """Take a control event at a position; in a live batch it goes to bronze."""
        if self._plan.live:
            rows = pa.table(
                {
                    "offset": pa.array([offset], pa.int64()),
                    "key": pa.array([None], pa.binary()),
                    "value": pa.array([encode_control(event)], pa.binary()),
                }
            )
            self._tables.bronze(event.source, rows, np.array([source_time_us], np.int64))
        self._take_output(self._fold.control(event))

    def end(self, earliest_us: int) -> None:
        """End a bounded input where it stands, so that its bars close."""
        latest_us = end_of_minute_us(self._fold.admission.latest_us)
        watermark_us = max(latest_us, earliest_us)
        self.control(Control("end", watermark_us), self._next_offset, watermark_us)

    def _note_offsets(self, offsets: Int64Array) -> None:
        if self._first_offset < 0:
            self._first_offset = int(offsets[0])
        if int(offsets[0]) < self._next_offset or (np.diff(offsets) <= 0).any():
            raise ValueError(
                f"{self.name}: offset {int(offsets[0])} comes where {self._next_offset} or later "
                "is expected; the source was changed under the lake"
            )
        self._next_offset = int(offsets[-1]) + 1

    def _values(self, rows: pa.Table) -> Any:
        """Rows as messages, for the quarantine."""
        return rows["value"]

    def _take_output(self, output: FoldOutput) -> None:
        origin = "venue" if self._fold.event_type == "bar" else "trades"
        if row_count(output.bars):
            self._tables.bars(output, origin)
            bars = output.bars
            lengths_us = bar_lengths_us(bars["interval"])
            n = row_count(bars)
            self._bars.append(
                {
                    "time_us": bars["open_time_us"] + lengths_us - 1,
                    "interval": bars["interval"],
                    "instrument": bars["instrument"],
                    "origin": np.full(n, int(origin == "venue"), np.int64),
                    "close": bars["close"],
                    "volume": bars["volume"],
                }
            )
        if row_count(output.tops):
            names = ("time_us", "instrument", "sequence", "content", "bid_price", "bid_quantity")
            more = ("ask_price", "ask_quantity", "transit_us")
            tops = {name: output.tops[name] for name in (*names, *more)}
            if "levels" in output.tops:
                tops["levels"] = output.tops["levels"]
            event = int(self._fold.event_type == "quote")
            tops["event"] = np.full(row_count(tops), event, np.int8)
            self._tops.append(tops)
        self._tables.anomalies(output.anomalies)

    def finish(self) -> Iterator[tuple[int, str, bytes]]:
        """Write what is open; give the result and the events, as (bucket, kind, payload)."""
        state_file = None
        if self._plan.writes("state/folds"):
            state_file = write_state(
                self._storage,
                f"{self._plan.label}-{self.name}",
                "instruments",
                self.name,
                self._plan.sequence,
                self._fold.state(),
            )
            path = f"{state_file.table}/{state_file.path}"
            _CACHE[f"{self._plan.lake}/{self.name}"] = (path, self._fold)
        position = InputPosition(
            self.topic,
            self.partition,
            self._next_offset,
            self._fold.watermark_us,
            self._fold.admission.latest_us,
            self._fold.active,
        )
        result = InputResult(
            name=self.name,
            position=position,
            first_offset=self._first_offset,
            files=self._tables.close(),
            state_file=state_file,
            counts=self._tables.counts,
        )
        yield 0, "input", msgspec.msgpack.encode(result)
        for bucket in range(self._plan.settings.stream.merge_buckets):
            events = InputEvents(self.name, position, self._events(bucket))
            yield bucket, "events", msgspec.msgpack.encode(events)

    def _events(self, bucket: int) -> MergeEvents:
        catalog = self._fold.catalog
        takes = np.array([belongs(i, bucket, self._plan) for i in catalog.instruments], np.bool_)
        bars, tops = (_of_bucket(parts, takes) for parts in (self._bars, self._tops))
        # Names that no event has are left out: the merge must not depend on this process's catalog.
        seen = np.unique(np.concatenate([p["instrument"] for p in (bars, tops) if p] or [_NONE]))
        kept = [(i.venue, i.instrument) for i in (catalog.instruments[int(c)] for c in seen)]
        ranks = np.zeros(len(catalog), np.int64)
        ranks[seen] = np.arange(seen.size)
        for part in (bars, tops):
            if part:
                part["instrument"] = ranks[part["instrument"]]
        return MergeEvents(kept, pack_arrays(bars), pack_arrays(tops))


def belongs(instrument: Instrument, bucket: int, plan: BatchPlan) -> bool:
    """Tell whether a bucket of step two needs an instrument.

    A base asset belongs to one bucket, and the triangles of a venue to one; what converts one
    currency into another, to all.
    """
    buckets = plan.settings.stream.merge_buckets
    if bucket_of(instrument.base, buckets) == bucket:
        return True
    if instrument.market == "spot" and venue_bucket(instrument.venue, buckets) == bucket:
        return True
    money = {"fiat", "stable"}
    return {QUOTE_ASSETS.get(instrument.base), QUOTE_ASSETS.get(instrument.quote)} <= money


def _of_bucket(parts: list[Columns], takes: Any) -> Columns:
    if not parts:
        return {}
    columns = concat(parts)
    chosen = takes[columns["instrument"]]
    return {name: column[chosen] for name, column in columns.items()}


def is_control(source: str) -> bool:
    """Tell whether a row of bronze is a control event."""
    return source.startswith(SOURCE_PREFIX)


def control_of(value: bytes) -> Control:
    """Read a control event out of a row."""
    return decode_control(value)
