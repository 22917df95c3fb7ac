"""Step one: the fold of one input, a partition of a topic, over its messages in source order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from marketlake.analytics.admission import (
    ADMITTED,
    CONFLICT,
    DUPLICATE,
    TOO_LATE,
    Admission,
)
from marketlake.analytics.arrays import (
    Columns,
    Int64Array,
    UInt64Array,
    pack_arrays,
    take,
    unpack_arrays,
)
from marketlake.analytics.reorder import ReorderBuffer
from marketlake.contracts.control import Control
from marketlake.contracts.events import EventType
from marketlake.contracts.reasons import Reason, mark
from marketlake.settings.model import Settings
from streaming.stages.book_columns import book_columns, transit_us
from streaming.stages.catalog import UNKNOWN, InstrumentCatalog
from streaming.stages.decode import binary_parts, decode
from streaming.stages.families import (
    BAR_VALUES,
    FAMILIES,
    INTERVALS,
    FoldOutput,
    bar_lengths_us,
)
from streaming.stages.input_state import SeriesStates, whole_payload, whole_row
from streaming.stages.rows import Decoded, Rows
from streaming.stages.scan import NO_LONG
from streaming.stages.silver import content_hashes, identity_hashes
from streaming.stages.texts import keys_differ
from streaming.stages.validate import TimeBounds, validate

_VERDICTS: Final = ((TOO_LATE, Reason.TOO_LATE), (DUPLICATE, Reason.DUPLICATE))


@dataclass
class Judged:
    """One chunk of messages, every one accounted for.

    Attributes
    ----------
    reasons : int64[n]
        Reasons of each message; 0 where it was admitted.
    admitted : mask over ``rows`` of the input's own type
    """

    decoded: Decoded
    reasons: Int64Array
    rows: Rows | None
    admitted: npt.NDArray[np.bool_]
    codes: Int64Array
    content: UInt64Array


@dataclass
class InputFold:
    """All that is kept of one input between batches, and the way it changes.

    Attributes
    ----------
    event_type : EventType
        What the topic is for.
    active : bool
        False from the time the input was declared idle or ended until its next message.
    """

    event_type: EventType
    settings: Settings
    active: bool = True
    catalog: InstrumentCatalog = field(default_factory=InstrumentCatalog)

    def __post_init__(self) -> None:
        stream = self.settings.stream
        slow = self.event_type in ("trade", "bar")
        lateness_ms = stream.lateness_ms if slow else stream.quote_lateness_ms
        self.admission = Admission(lateness_ms * 1_000)
        self._buffer = ReorderBuffer(("time_us", "sequence"))
        self._family = FAMILIES[self.event_type](self.catalog, self.settings)
        self._kept = SeriesStates(self._family.states())
        self._bounds = TimeBounds(stream.ahead_of_source_ms * 1_000)

    @property
    def watermark_us(self) -> int:
        """No row before this time is still to come."""
        return self.admission.watermark_us

    def step(
        self,
        messages: pa.Array | list[bytes | None] | Decoded,
        source_time_us: Int64Array,
        keys: pa.Array | None = None,
    ) -> tuple[Judged, FoldOutput]:
        """Take messages in source order.

        Parameters
        ----------
        messages : array, list or Decoded
            As bytes, or decoded where a source has columns.
        source_time_us : int64[n]
            The source's timestamps.
        keys : pyarrow.BinaryArray, optional
            Message keys; one that is not the message's instrument is refused, an absent one not.
        """
        judged = self._judge(messages, source_time_us, keys)
        rows: Columns = {}
        if judged.rows is not None:
            rows = take(self._fold_columns(judged), np.flatnonzero(judged.admitted))
        return judged, self._release(rows)

    def control(self, event: Control) -> FoldOutput:
        """Take a control event: raise the watermark, and leave or rejoin the merge."""
        self.admission.advance(event.watermark_us)
        self.active = event.kind == "resume"
        output = self._release({})
        if event.kind == "end":
            output.anomalies += self._family.flush()
        return output

    def _judge(
        self,
        messages: pa.Array | list[bytes | None] | Decoded,
        source_time_us: Int64Array,
        keys: pa.Array | None,
    ) -> Judged:
        decoded = messages if isinstance(messages, Decoded) else decode(messages)
        reasons = np.zeros(source_time_us.size, np.int64)
        for position, problem in decoded.undecoded.items():
            reasons[position] = int(problem.reason)
        none = np.empty(0, np.int64)
        judged = Judged(decoded, reasons, None, none.astype(np.bool_), none, none.view(np.uint64))
        for rows in decoded.rows.values():
            validate(rows, self.event_type, source_time_us[rows.row], self._bounds)
            if keys is not None:
                _check_keys(rows, keys)
            if rows.event_type == self.event_type:
                self._admit(rows, judged)
            reasons[rows.row] = rows.reasons
        return judged

    def _admit(self, rows: Rows, judged: Judged) -> None:
        codes_of_names = self.catalog.codes(rows.names)
        unknown = (codes_of_names == UNKNOWN) & [None not in name for name in rows.names]
        codes = codes_of_names[rows.name]
        mark(rows.reasons, unknown[rows.name], Reason.UNKNOWN_INSTRUMENT)
        sound = np.flatnonzero(rows.reasons == 0)
        content = np.zeros(rows.row.size, np.uint64)
        if sound.size:
            content = content_hashes(rows, codes, self.catalog)
            identity = identity_hashes(rows, codes, self.catalog, content)
            verdicts = np.full(rows.row.size, 255, np.uint8)
            verdicts[sound] = self.admission.step(
                _effective_time_us(rows)[sound], identity[sound], content[sound]
            )
            for verdict, reason in (*_VERDICTS, (CONFLICT, Reason.CONFLICT)):
                mark(rows.reasons, verdicts == verdict, reason)
            judged.admitted = verdicts == ADMITTED
        else:
            judged.admitted = np.zeros(rows.row.size, np.bool_)
        judged.rows, judged.codes, judged.content = rows, codes, content

    def _fold_columns(self, judged: Judged) -> Columns:
        rows = judged.rows
        assert rows is not None
        columns: dict[str, Any] = {
            "time_us": _effective_time_us(rows),
            "sequence": rows.sequence,
            "content": judged.content,
            "instrument": judged.codes,
        }
        if rows.event_type in ("quote", "book"):
            columns["transit_us"] = transit_us(rows)
        if rows.event_type == "book":
            columns |= book_columns(rows, self.settings.spreads.depth_levels)
        elif rows.event_type == "bar":
            columns |= {
                "interval": _interval_codes(rows),
                "open_time_us": rows.event_time_us,
                **{name: rows.numbers[name] for name in BAR_VALUES[:5]},
                "quote_volume": np.full(rows.row.size, np.nan),
                "trade_count": _floats(rows.trade_count),
            }
        else:
            columns |= rows.numbers
        return columns

    def _release(self, rows: Columns) -> FoldOutput:
        watermark_us = self.watermark_us
        return self._family.step(self._buffer.step(rows, watermark_us), watermark_us)

    def state(self) -> pa.Table:
        """Give the whole state, as ``STATE_SCHEMA`` has it."""
        whole = {f"admission.{k}": v for k, v in self.admission.state().items()}
        whole["active"] = np.array([self.active], np.int64)
        whole |= self._pending_state()
        return pa.concat_tables([whole_row("input", pack_arrays(whole)), *self._kept.tables()])

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
        self._restore_input(unpack_arrays(whole_payload(state, "input")))
        self._kept.restore(state)

    def _restore_input(self, whole: Columns) -> None:
        for name in whole.pop("catalog").tobytes().decode().split():
            venue, _, instrument = name.partition("|")
            if self.catalog.code(venue, instrument) == UNKNOWN:
                # Passed over, it would shift the codes of the rows held.
                raise ValueError(
                    f"{venue} {instrument} is in the state but not in the reference table; "
                    "restore its entry or start a new lake"
                )
        self.active = bool(whole.pop("active")[0])
        self.admission = Admission.restore(
            self.admission.lateness_us, _with_prefix(whole, "admission.")
        )
        self._buffer.pending = _with_prefix(whole, "pending.")


def _with_prefix(columns: Columns, prefix: str) -> Columns:
    return {k.removeprefix(prefix): v for k, v in columns.items() if k.startswith(prefix)}


def _check_keys(rows: Rows, keys: pa.Array) -> None:
    """Refuse rows keyed by anything but their instrument.

    All venues of an instrument share the partition of its key; on another one its rows would be
    folded apart, to bars with the same name.
    """
    instruments = [name[1] for name in rows.names]
    expected = pa.array(instruments, pa.string()).cast(pa.binary())
    known = np.array([i is not None for i in instruments], np.bool_)
    differ = keys_differ(
        *binary_parts(keys),
        keys.is_valid().to_numpy(zero_copy_only=False),
        *binary_parts(expected),
        rows.row,
        rows.name,
    )
    mark(rows.reasons, differ & known[rows.name], Reason.WRONG_KEY)


def _effective_time_us(rows: Rows) -> Int64Array:
    """Time at which a row counts: of a bar, the last microsecond that it covers."""
    if rows.event_type != "bar":
        return rows.event_time_us
    return rows.event_time_us + bar_lengths_us(_interval_codes(rows)) - 1


def _interval_codes(rows: Rows) -> Int64Array:
    codes = {interval: i for i, interval in enumerate(INTERVALS)}
    # Rows with an unknown interval are refused already; any code serves for them.
    of_texts = [codes.get(i, 0) if i else 0 for i in rows.intervals]
    return np.array(of_texts, np.int64)[rows.interval]


def _floats(values: Int64Array) -> npt.NDArray[np.float64]:
    return np.where(values == NO_LONG, np.nan, values.astype(np.float64))
