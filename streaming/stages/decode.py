"""Bytes to columns: every message is parsed once, alone, whatever stands beside it.

A message is parsed by the same rules wherever a batch was cut: a malformed neighbour changes
nothing. Well-formed messages take the fast path, a typed decoder; a message that it refuses is
looked at again, field by field, to say what was wrong with it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any, Final

import msgspec
import numpy as np

from marketlake.analytics.arrays import Float64Array, Int64Array
from marketlake.contracts.events import EventType
from marketlake.contracts.reasons import Reason

_Number = float | str | None
_Long = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None
_Levels = list[tuple[float | str, float | str]] | None

_JSON_NUMBER: Final = re.compile(r"\s*-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*", re.ASCII)
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
NESTING_MAX: Final = 500
"""Levels that a message may nest. Python has a limit of its own, but how much of that is left
depends on how deep the caller stands: it must not decide about a message."""
NO_LONG: Final = -(2**63)
"""Stands for an absent integer in decoded columns."""


class _Common(msgspec.Struct, tag_field="type", gc=False):
    venue: str | None = None
    instrument: str | None = None
    event_time_us: _Long = None
    received_time_us: _Long = None
    sequence: _Long = None


class _Trade(_Common, tag="trade", gc=False):
    price: _Number = None
    quantity: _Number = None
    trade_id: str | int | None = None
    side: str | None = None


class _Quote(_Common, tag="quote", gc=False):
    bid_price: _Number = None
    bid_quantity: _Number = None
    ask_price: _Number = None
    ask_quantity: _Number = None


class _Book(_Common, tag="book"):
    bids: _Levels = None
    asks: _Levels = None


class _Bar(_Common, tag="bar", gc=False):
    interval: str | None = None
    open: _Number = None
    high: _Number = None
    low: _Number = None
    close: _Number = None
    volume: _Number = None
    trade_count: _Long = None


_STRUCTS: Final[dict[EventType, type[_Common]]] = {
    "trade": _Trade,
    "quote": _Quote,
    "book": _Book,
    "bar": _Bar,
}
_DECODER: Final = msgspec.json.Decoder(_Trade | _Quote | _Book | _Bar)

NUMBERS: Final[dict[EventType, tuple[str, ...]]] = {
    "trade": ("price", "quantity"),
    "quote": ("bid_price", "bid_quantity", "ask_price", "ask_quantity"),
    "book": (),
    "bar": ("open", "high", "low", "close", "volume"),
}
"""Required numbers of each event type."""


@dataclass
class Rows:
    """Decoded rows of one event type, by column; ``row`` points into the messages."""

    event_type: EventType
    row: Int64Array
    reasons: Int64Array
    venue: list[str | None]
    instrument: list[str | None]
    event_time_us: Int64Array
    received_time_us: Int64Array
    sequence: Int64Array
    numbers: dict[str, Float64Array]
    texts: dict[str, list[Any]] = field(default_factory=dict)
    longs: dict[str, Int64Array] = field(default_factory=dict)


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


def decode(messages: Sequence[bytes | None]) -> Decoded:
    """Decode messages; none raises, each is in ``rows`` or in ``undecoded``."""
    events: list[_Common] = []
    positions: list[int] = []
    undecoded: dict[int, Undecoded] = {}
    invalid: dict[int, Reason] = {}
    parse = _DECODER.decode
    for position, message in enumerate(messages):
        if message and len(message) > NESTING_MAX and _too_deep(message):
            undecoded[position] = Undecoded(Reason.UNPARSABLE)
            continue
        try:
            events.append(parse(message))  # type: ignore[arg-type]
        except (msgspec.DecodeError, UnicodeDecodeError, TypeError, RecursionError):
            event, problem = _look_again(message)
            if event is None:
                undecoded[position] = problem
                continue
            invalid[position] = problem.reason
            events.append(event)
        positions.append(position)
    kinds = list(map(type, events))
    rows: dict[EventType, Rows] = {}
    for event_type, struct in _STRUCTS.items():
        if struct not in kinds:
            continue
        chosen = (
            range(len(kinds))
            if kinds.count(struct) == len(kinds)
            else [i for i, kind in enumerate(kinds) if kind is struct]
        )
        rows[event_type] = _columns(
            event_type, [events[i] for i in chosen], [positions[i] for i in chosen], invalid
        )
    return Decoded(rows, undecoded)


def _columns(
    event_type: EventType, events: list[Any], positions: list[int], invalid: dict[int, Reason]
) -> Rows:
    row = np.array(positions, np.int64)
    reasons = np.zeros(row.size, np.int64)
    if invalid:
        reasons |= np.array([int(invalid.get(p, 0)) for p in positions], np.int64)
    rows = Rows(
        event_type,
        row,
        reasons,
        [e.venue for e in events],
        [e.instrument for e in events],
        _longs([e.event_time_us for e in events]),
        _longs([e.received_time_us for e in events]),
        _longs([e.sequence for e in events]),
        {
            name: _numbers([getattr(e, name) for e in events], reasons)
            for name in NUMBERS[event_type]
        },
    )
    if event_type == "trade":
        rows.texts = {
            "trade_id": [e.trade_id for e in events],
            "side": [e.side for e in events],
        }
    elif event_type == "book":
        rows.texts = {
            "bids": [_levels(e.bids, reasons, i) for i, e in enumerate(events)],
            "asks": [_levels(e.asks, reasons, i) for i, e in enumerate(events)],
        }
    elif event_type == "bar":
        rows.texts = {"interval": [e.interval for e in events]}
        rows.longs = {"trade_count": _longs([e.trade_count for e in events])}
    _mark_missing(rows)
    return rows


def _mark_missing(rows: Rows) -> None:
    missing = rows.event_time_us == NO_LONG
    for texts in (rows.venue, rows.instrument, *_required_texts(rows)):
        if None in texts:
            missing |= np.array([text is None for text in texts], np.bool_)
    # A field that was refused is invalid, not missing.
    refused = (rows.reasons & int(Reason.INVALID_FIELD)) != 0
    rows.reasons[missing & ~refused] |= int(Reason.MISSING_FIELD)


def _required_texts(rows: Rows) -> list[list[Any]]:
    return [rows.texts[name] for name in ("bids", "asks", "interval") if name in rows.texts]


def _longs(values: list[int | None]) -> Int64Array:
    if None in values:
        values = [NO_LONG if value is None else value for value in values]
    return np.array(values, np.int64)


def _numbers(values: list[float | str | None], reasons: Int64Array) -> Float64Array:
    """Floats of a column; an absent one is NaN and marked missing, a bad text invalid."""
    kinds = set(map(type, values))
    if kinds <= {float}:
        return np.array(values, np.float64)
    out = np.empty(len(values), np.float64)
    for i, value in enumerate(values):
        if value is None:
            out[i] = math.nan
            # A field that was refused is invalid, not missing.
            if not reasons[i] & Reason.INVALID_FIELD:
                reasons[i] |= int(Reason.MISSING_FIELD)
        elif isinstance(value, str):
            out[i] = _number(value)
            if math.isnan(out[i]):
                reasons[i] |= int(Reason.INVALID_FIELD)
        else:
            out[i] = value
    return out


def _number(text: str) -> float:
    return float(text) if _JSON_NUMBER.fullmatch(text) else math.nan


def _levels(
    levels: list[tuple[float | str, float | str]] | None, reasons: Int64Array, row: int
) -> list[tuple[float, float]] | None:
    if levels is None:
        return None
    out = [
        (
            price if isinstance(price, float) else _number(str(price)),
            quantity if isinstance(quantity, float) else _number(str(quantity)),
        )
        for price, quantity in levels
    ]
    if any(math.isnan(price) or math.isnan(quantity) for price, quantity in out):
        reasons[row] |= int(Reason.INVALID_FIELD)
    return out


def _too_deep(message: bytes) -> bool:
    if message.count(b"[") + message.count(b"{") <= NESTING_MAX:
        return False
    depth = deepest = 0
    for byte in _STRING.sub(b"", message):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest > NESTING_MAX


def _look_again(message: bytes | None) -> tuple[_Common | None, Undecoded]:
    """Find out what the decoder refused; keep the fields that are sound."""
    try:
        document = msgspec.json.decode(message or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None, Undecoded(Reason.UNPARSABLE)
    if not isinstance(document, dict):
        return None, Undecoded(Reason.UNPARSABLE)
    kind = document.get("type")
    struct = _STRUCTS.get(kind) if isinstance(kind, str) else None  # type: ignore[call-overload]
    if struct is None:
        return None, Undecoded(
            Reason.UNKNOWN_TYPE,
            kind if isinstance(kind, str) else None,
            *(_text(document.get(name)) for name in ("venue", "instrument")),
        )
    event = struct()
    for info in _fields(struct):
        if info.name in document:
            try:
                setattr(event, info.name, msgspec.convert(document[info.name], info.type))
            except (msgspec.ValidationError, OverflowError):
                continue
    return event, Undecoded(Reason.INVALID_FIELD)


@lru_cache
def _fields(struct: type[_Common]) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(struct)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
