"""Decoded rows by column; texts of few values are codes, so that no text is built a row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from marketlake.analytics.arrays import Float64Array, Int64Array
from marketlake.contracts.events import EventType
from marketlake.contracts.reasons import Reason

Name = tuple[str | None, str | None]
"""Venue and instrument as a message has them."""

SIDES: Final = (None, "buy", "sell")
UNKNOWN_SIDE: Final = 3

NUMBERS: Final[dict[EventType, tuple[str, ...]]] = {
    "trade": ("price", "quantity"),
    "quote": ("bid_price", "bid_quantity", "ask_price", "ask_quantity"),
    "book": (),
    "bar": ("open", "high", "low", "close", "volume"),
}
"""Required numbers of each event type."""

_T = TypeVar("_T")


@dataclass
class Rows:
    """Decoded rows of one event type, in the order of their messages.

    Attributes
    ----------
    row : int64[n]
        Place of each row among the messages.
    reasons : int64[n]
        What is wrong with it so far.
    names, name
        Venue and instrument by code, and the code of each row.
    ids : pyarrow.StringArray or None
        Trade ids; of trades only.
    side : int64[n]
        Index into ``SIDES``, or ``UNKNOWN_SIDE``; of trades only.
    intervals, interval
        Intervals by code, and the code of each row; of bars only.
    bids, asks : list
        Levels of each row; of books only.
    """

    event_type: EventType
    row: Int64Array
    reasons: Int64Array
    names: list[Name]
    name: Int64Array
    event_time_us: Int64Array
    received_time_us: Int64Array
    sequence: Int64Array
    numbers: dict[str, Float64Array]
    ids: pa.Array = None
    side: Int64Array = field(default_factory=lambda: np.empty(0, np.int64))
    intervals: list[str | None] = field(default_factory=list)
    interval: Int64Array = field(default_factory=lambda: np.empty(0, np.int64))
    trade_count: Int64Array = field(default_factory=lambda: np.empty(0, np.int64))
    bids: list[Any] = field(default_factory=list)
    asks: list[Any] = field(default_factory=list)

    @property
    def venue(self) -> list[str | None]:
        """Venue of each row."""
        return [self.names[code][0] for code in self.name]

    @property
    def instrument(self) -> list[str | None]:
        """Instrument of each row."""
        return [self.names[code][1] for code in self.name]

    def refused(self) -> npt.NDArray[np.bool_]:
        """Rows whose fields are missing or invalid, so that their values mean nothing."""
        return (self.reasons & int(Reason.MISSING_FIELD | Reason.INVALID_FIELD)) != 0


def coded(values: Iterable[_T]) -> tuple[list[_T], Int64Array]:
    """Distinct values in order of appearance, and the code of each."""
    codes: dict[_T, int] = {}
    column = [codes.setdefault(value, len(codes)) for value in values]
    return list(codes), np.array(column, np.int64)


def join(parts: list[Rows]) -> Rows:
    """Join rows of one event type and put them in the order of their messages."""
    if len(parts) == 1:
        return parts[0]
    order = np.argsort(np.concatenate([p.row for p in parts]), kind="stable")
    names, name = _join_codes([(p.names, p.name) for p in parts], order)
    intervals, interval = _join_codes([(p.intervals, p.interval) for p in parts], order)
    first = parts[0]
    return Rows(
        first.event_type,
        _join_arrays([p.row for p in parts], order),
        _join_arrays([p.reasons for p in parts], order),
        names,
        name,
        _join_arrays([p.event_time_us for p in parts], order),
        _join_arrays([p.received_time_us for p in parts], order),
        _join_arrays([p.sequence for p in parts], order),
        {k: _join_arrays([p.numbers[k] for p in parts], order) for k in first.numbers},
        pa.concat_arrays([p.ids for p in parts]).take(pa.array(order))
        if first.ids is not None
        else None,
        _join_arrays([p.side for p in parts], order),
        intervals,
        interval,
        _join_arrays([p.trade_count for p in parts], order),
    )


def _join_arrays(parts: list[npt.NDArray[Any]], order: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    column = np.concatenate(parts)
    return column[order] if column.size else column


def _join_codes(
    parts: list[tuple[list[_T], Int64Array]], order: npt.NDArray[np.intp]
) -> tuple[list[_T], Int64Array]:
    values = [value for texts, _ in parts for value in texts]
    distinct, code = coded(values)
    starts = np.cumsum([0, *(len(texts) for texts, _ in parts)])
    columns = [code[codes + start] for (_, codes), start in zip(parts, starts, strict=False)]
    return distinct, _join_arrays(columns, order)


@dataclass
class Decoded:
    """All messages of a chunk: rows by type, and those without a type."""

    rows: dict[EventType, Rows]
    undecoded: dict[int, Undecoded]


@dataclass(frozen=True)
class Undecoded:
    """A message that is no event: why, and what can be told of it."""

    reason: Reason
    event_type: str | None = None
    venue: str | None = None
    instrument: str | None = None
