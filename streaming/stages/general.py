"""The general decoder: any bytes at all, one message at a time, by a typed JSON decoder.

A message that the typed decoder refuses is looked at again, field by field, to say what was wrong.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from marketlake.analytics.arrays import Float64Array, Int64Array
from marketlake.contracts.events import EventType
from marketlake.contracts.reasons import Reason
from streaming.stages.rows import (
    NUMBERS,
    SIDES,
    UNKNOWN_SIDE,
    Decoded,
    Rows,
    Undecoded,
    coded,
)
from streaming.stages.scan import NO_LONG

_Number = float | str | None
_Long = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None
_Levels = list[tuple[float | str, float | str]] | None

_JSON_NUMBER: Final = re.compile(r"\s*-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*", re.ASCII)
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
NESTING_MAX: Final = 500
"""Levels that a message may nest. Python has a limit of its own, but how much of that is left
depends on how deep the caller stands: it must not decide about a message."""


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


def decode_general(messages: Sequence[bytes | None], positions: Sequence[int]) -> Decoded:
    """Decode any messages, one by one; ``positions`` are their places among all."""
    events: list[_Common] = []
    decoded: list[int] = []
    undecoded: dict[int, Undecoded] = {}
    invalid: list[int] = []
    parse = _DECODER.decode
    for position, message in zip(positions, messages, strict=True):
        if message and len(message) > NESTING_MAX and _too_deep(message):
            undecoded[position] = Undecoded(Reason.UNPARSABLE)
            continue
        problem = Reason(0)
        try:
            event = parse(message)  # type: ignore[arg-type]
        except (msgspec.DecodeError, UnicodeDecodeError, TypeError, RecursionError):
            found, refusal = _look_again(message)
            if found is None:
                undecoded[position] = refusal
                continue
            event, problem = found, refusal.reason
        events.append(event)
        decoded.append(position)
        invalid.append(int(problem))
    kinds = list(map(type, events))
    rows: dict[EventType, Rows] = {}
    for event_type, struct in _STRUCTS.items():
        chosen = [i for i, kind in enumerate(kinds) if kind is struct]
        if chosen:
            rows[event_type] = _columns(
                event_type,
                [events[i] for i in chosen],
                np.array([decoded[i] for i in chosen], np.int64),
                np.array([invalid[i] for i in chosen], np.int64),
            )
    return Decoded(rows, undecoded)


def _columns(
    event_type: EventType, events: list[Any], row: Int64Array, reasons: Int64Array
) -> Rows:
    names, name = coded([(e.venue, e.instrument) for e in events])
    rows = Rows(
        event_type,
        row,
        reasons,
        names,
        name,
        _longs([e.event_time_us for e in events]),
        _longs([e.received_time_us for e in events]),
        _longs([e.sequence for e in events]),
        {n: _numbers([getattr(e, n) for e in events], reasons) for n in NUMBERS[event_type]},
    )
    missing = rows.event_time_us == NO_LONG
    missing |= np.array([None in pair for pair in names], np.bool_)[name]
    if event_type == "trade":
        rows.ids = _text_array([e.trade_id for e in events])
        sides = {side: code for code, side in enumerate(SIDES)}
        rows.side = np.array([sides.get(e.side, UNKNOWN_SIDE) for e in events], np.int64)
    elif event_type == "book":
        rows.bids = [_levels(e.bids, reasons, i) for i, e in enumerate(events)]
        rows.asks = [_levels(e.asks, reasons, i) for i, e in enumerate(events)]
        missing |= np.array([e.bids is None or e.asks is None for e in events], np.bool_)
    elif event_type == "bar":
        rows.intervals, rows.interval = coded([e.interval for e in events])
        rows.trade_count = _longs([e.trade_count for e in events])
        missing |= np.array([i is None for i in rows.intervals], np.bool_)[rows.interval]
    # A field that was refused is invalid, not missing.
    refused = (reasons & int(Reason.INVALID_FIELD)) != 0
    reasons[missing & ~refused] |= int(Reason.MISSING_FIELD)
    return rows


def _text_array(values: list[str | int | None]) -> pa.Array:
    return pa.array([None if v is None else str(v) for v in values], pa.string())


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
