"""Step one: the fold of one lane over the messages of its partitions, each in source order.

A lane is one partition of a topic. Where an instrument is met in two, as after partitions were
added to the topic, their lanes become one: the rows of its partitions are then merged under the
watermark of all of them, so that it does not matter which partition was read first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa

from marketlake.analytics.admission import (
    Admission,
)
from marketlake.analytics.arrays import (
    Columns,
    Int64Array,
    concat,
    pack_arrays,
    row_count,
    take,
    unpack_arrays,
)
from marketlake.analytics.reorder import ReorderBuffer
from marketlake.contracts.control import Control
from marketlake.contracts.events import EventType
from marketlake.settings.model import Settings
from streaming.stages.catalog import UNKNOWN, InstrumentCatalog
from streaming.stages.families import FAMILIES
from streaming.stages.fold_columns import fold_columns
from streaming.stages.fold_output import FoldOutput
from streaming.stages.judging import Judge, Judged
from streaming.stages.lane_state import SeriesStates, whole_payload, whole_row
from streaming.stages.presence import Presence
from streaming.stages.rows import Decoded
from streaming.stages.validate import TimeBounds

_ADMISSION: Final = "admission."
CLOCKS: Final = f"{_ADMISSION}clocks"
"""Array of a lane's own row of state: partition, latest time, floor, active."""
_ORDER: Final = ("time_us", "sequence")
_ORDER_OF_SEVERAL: Final = (*_ORDER, "content")
"""Of several partitions there is no order of arrival that could break a tie."""


@dataclass
class LaneFold:
    """All that is kept of one lane between batches, and the way it changes.

    Attributes
    ----------
    event_type : EventType
        What the topic is for.
    """

    event_type: EventType
    settings: Settings
    catalog: InstrumentCatalog = field(default_factory=InstrumentCatalog)

    def __post_init__(self) -> None:
        stream = self.settings.stream
        slow = self.event_type in ("trade", "bar")
        lateness_ms = stream.lateness_ms if slow else stream.quote_lateness_ms
        self.admission = Admission(lateness_ms * 1_000)
        self.presence = Presence(self.catalog)
        self._buffer = ReorderBuffer(_ORDER)
        self._family = FAMILIES[self.event_type](self.catalog, self.settings)
        self._states = {**self._family.states(), **self.presence.states()}
        self._kept = SeriesStates(self._states)
        bounds = TimeBounds(stream.ahead_of_source_ms * 1_000)
        self._judge = Judge(self.event_type, self.catalog, self.presence, bounds)

    @property
    def watermark_us(self) -> int:
        """No row before this time is still to come."""
        return self.admission.watermark_us

    @property
    def merged(self) -> bool:
        """True where the lane has several partitions."""
        return len(self.admission.clocks) > 1

    def step(
        self,
        messages: pa.Array | list[bytes | None] | Decoded,
        source_time_us: Int64Array,
        keys: pa.Array | None = None,
        partition: int = 0,
    ) -> tuple[Judged, FoldOutput]:
        """Take messages of a partition in source order.

        Parameters
        ----------
        messages : array, list or Decoded
            As bytes, or decoded where a source has columns.
        source_time_us : int64[n]
            The source's timestamps.
        keys : pyarrow.BinaryArray, optional
            Message keys; one that is not the message's instrument is refused, an absent one not.
        """
        judged = self._judge.step(messages, source_time_us, keys, partition, self.admission)
        rows: Columns = {}
        if judged.rows is not None:
            columns = fold_columns(
                judged.rows, judged.codes, judged.content, self.settings.spreads.depth_levels
            )
            rows = take(columns, np.flatnonzero(judged.admitted))
        return judged, self._release(rows)

    def control(self, event: Control, partition: int = 0) -> FoldOutput:
        """Take a control event: raise the watermark, and leave or rejoin the merge."""
        self.admission.advance(partition, event.watermark_us, active=event.kind == "resume")
        output = self._release({})
        if event.kind == "end" and not any(c.active for c in self.admission.clocks.values()):
            output.anomalies += self._family.flush()
        return output

    def _release(self, rows: Columns) -> FoldOutput:
        watermark_us = self.watermark_us
        return self._family.step(self._buffer.step(rows, watermark_us), watermark_us)

    def absorb(self, other: LaneFold) -> None:
        """Take another lane of the topic into this one.

        Each instrument keeps what it has: rows before the watermark that its own lane had reached
        are too late from now on, whichever partition they come from.

        Raises
        ------
        ValueError
            If both lanes hold state of one instrument.
        """
        mine, theirs = self._buffer.pending, dict(other._buffer.pending)
        for lane in (self, other):
            lane.presence.settle(lane.watermark_us, lane.only_partition)
        if row_count(theirs):
            names = [(i.venue, i.instrument) for i in other.catalog.instruments]
            theirs["instrument"] = self.catalog.codes(names)[theirs["instrument"]]
        self.admission.absorb(other.admission)
        for kind, states in self._states.items():
            states.absorb(other._states[kind])
        held = [part for part in (mine, theirs) if row_count(part)]
        self._buffer = ReorderBuffer(_ORDER_OF_SEVERAL, concat(held) if held else None)

    def part(self) -> dict[int, LaneFold]:
        """Divide a lane of several partitions; an instrument goes where its last row came from."""
        self.presence.settle(self.watermark_us, None)
        homes = self.presence.homes()
        return {partition: self._alone(partition, homes) for partition in self.admission.clocks}

    def _alone(self, partition: int, homes: dict[str, int]) -> LaneFold:
        lane = LaneFold(self.event_type, self.settings, self.catalog)
        lane.admission = self.admission.part(partition)
        for kind, states in self._states.items():
            lane._states[kind].take(states, lambda key: homes[key[1]] == partition)
        if row_count(self._buffer.pending):
            # An instrument may be known without a row that was in time; none of it is pending.
            home = [homes.get(i.instrument, -1) for i in self.catalog.instruments]
            own = np.array(home, np.int64)[self._buffer.pending["instrument"]] == partition
            lane._buffer.pending = take(self._buffer.pending, own)
        return lane

    @property
    def only_partition(self) -> int | None:
        """The partition of a lane that has one."""
        return None if self.merged else next(iter(self.admission.clocks), 0)

    def changes(self) -> pa.Table:
        """Give what changed since the state was last given or restored, see ``lane_state``."""
        return pa.concat_tables([self._whole_row(), *self._kept.changes()])

    def state(self) -> pa.Table:
        """Give the whole state, as ``STATE_SCHEMA`` has it."""
        return pa.concat_tables([self._whole_row(), *self._kept.tables()])

    def _whole_row(self) -> pa.Table:
        whole = {f"{_ADMISSION}{k}": v for k, v in self.admission.state().items()}
        return whole_row("lane", pack_arrays(whole | self._pending_state()))

    def _pending_state(self) -> Columns:
        """Rows held, their instruments by name: codes are a process's own."""
        pending = dict(self._buffer.state())
        names: list[str] = []
        if pending:
            codes, inverse = np.unique(pending["instrument"], return_inverse=True)
            held = [self.catalog.instruments[int(code)] for code in codes]
            texts = np.array([f"{i.venue}|{i.instrument}" for i in held])
            pending["instrument"] = np.argsort(np.argsort(texts))[inverse].astype(np.int64)
            names = sorted(texts.tolist())
        return {
            "catalog": np.frombuffer("\n".join(names).encode(), np.uint8),
            **{f"pending.{k}": v for k, v in pending.items()},
        }

    def restore(self, state: pa.Table) -> None:
        """Take up the state that :meth:`state` gave.

        Raises
        ------
        ValueError
            If a payload does not fit this layout.
        """
        whole = unpack_arrays(whole_payload(state, "lane"))
        for name in whole.pop("catalog").tobytes().decode().split():
            venue, _, instrument = name.partition("|")
            if self.catalog.code(venue, instrument) == UNKNOWN:
                # Passed over, it would shift the codes of the rows held.
                raise ValueError(
                    f"{venue} {instrument} is in the state but not in the reference table; "
                    "restore its entry or start a new lake"
                )
        self.admission = Admission.restore(
            self.admission.lateness_us, _with_prefix(whole, _ADMISSION)
        )
        order = _ORDER_OF_SEVERAL if self.merged else _ORDER
        self._buffer = ReorderBuffer(order, _with_prefix(whole, "pending."))
        self._kept.restore(state)
        self.presence.restored()


def _with_prefix(columns: Columns, prefix: str) -> Columns:
    return {k.removeprefix(prefix): v for k, v in columns.items() if k.startswith(prefix)}
