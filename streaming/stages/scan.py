"""The fast path of decoding: plain messages read straight from Arrow's bytes, compiled.

Of JSON it takes what producers write nearly always: one flat object of known fields, each once,
plain ASCII strings without escapes, numbers that fit a double exactly. Anything else is left to
the general decoder, message by message, so how a message is read depends on that message alone;
what is taken here is read as the general decoder would read it, which a property test holds.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from marketlake.analytics.arrays import Float64Array, Int64Array
from marketlake.analytics.compiled import RAW
from streaming.stages.texts import equal

_Bytes = npt.NDArray[np.uint8]
_Offsets = npt.NDArray[np.int32]

NO_LONG: Final = -(2**63)
"""Stands for an absent integer in decoded columns."""

TYPES: Final = ("trade", "quote", "bar")
"""Event types that are flat objects; a book is left to the general decoder."""
OTHER: Final = -1

TEXTS: Final = ("venue", "instrument", "trade_id", "interval")
LONGS: Final = ("event_time_us", "received_time_us", "sequence", "trade_count")
FLOATS: Final = (
    "price", "quantity",
    "bid_price", "bid_quantity", "ask_price", "ask_quantity",
    "open", "high", "low", "close", "volume",
)  # fmt: skip
_FIELDS: Final = ("type", "side", *TEXTS, *LONGS, *FLOATS)
_TYPE, _SIDE, _TEXT_0 = 0, 1, 2
_LONG_0 = _TEXT_0 + len(TEXTS)
_FLOAT_0 = _LONG_0 + len(LONGS)
_TRADE_ID = _TEXT_0 + TEXTS.index("trade_id")

_COMMON: Final = ("type", "venue", "instrument", "event_time_us")
_REQUIRED: Final = (
    (*_COMMON, *FLOATS[0:2]),
    (*_COMMON, *FLOATS[2:6]),
    (*_COMMON, "interval", *FLOATS[6:11]),
)
_OPTIONAL: Final = (
    ("received_time_us", "sequence", "trade_id", "side"),
    ("received_time_us", "sequence"),
    ("received_time_us", "sequence", "trade_count"),
)


def _mask(names: tuple[str, ...]) -> int:
    return sum(1 << _FIELDS.index(name) for name in names)


_REQUIRED_MASKS: Final = np.array([_mask(names) for names in _REQUIRED], np.int64)
_ALLOWED_MASKS: Final = np.array(
    [_mask(r) | _mask(o) for r, o in zip(_REQUIRED, _OPTIONAL, strict=True)], np.int64
)
_NAMES: Final = np.frombuffer("".join(_FIELDS).encode(), np.uint8)
_NAME_ENDS: Final = np.cumsum([0, *(len(name) for name in _FIELDS)]).astype(np.int64)
_TYPE_NAMES: Final = np.frombuffer("".join(TYPES).encode(), np.uint8)
_TYPE_ENDS: Final = np.cumsum([0, *(len(name) for name in TYPES)]).astype(np.int64)
_POWERS: Final = 10.0 ** np.arange(23)
"""Exact in a double up to 10**22, so that one division rounds once (Clinger, 1990)."""

_MANTISSA_MAX: Final = 2**53
_DIGITS_MAX: Final = 18
_QUOTE, _COLON, _COMMA, _OPEN, _CLOSE = ord('"'), ord(":"), ord(","), ord("{"), ord("}")
_BACKSLASH, _SPACE, _MINUS, _DOT, _ZERO, _NINE = 92, 32, ord("-"), ord("."), ord("0"), ord("9")
_SIDES: Final = np.frombuffer(b"buysell", np.uint8)


class Scanned(NamedTuple):
    """Columns over all messages; of a message that was left out, only ``kind`` means anything.

    Attributes
    ----------
    kind : int64[n]
        Index into ``TYPES``, or ``OTHER``.
    side : int64[n]
        0 for none, 1 for buy, 2 for sell.
    starts, lengths : int64[len(TEXTS), n]
        Where texts stand in the data; length -1 where absent.
    longs : int64[len(LONGS), n]
        ``NO_LONG`` where absent.
    floats : float64[len(FLOATS), n]
        NaN where absent.
    """

    kind: Int64Array
    side: Int64Array
    starts: Int64Array
    lengths: Int64Array
    longs: Int64Array
    floats: Float64Array


@njit(inline="always", **RAW)
def _spaces(data: _Bytes, at: int, end: int) -> int:
    while at < end and data[at] == _SPACE:
        at += 1
    return at


@njit(inline="always", **RAW)
def _string_end(data: _Bytes, at: int, end: int) -> int:
    """Position of the closing quote; -1 where the string is not plain ASCII."""
    while at < end:
        byte = data[at]
        if byte == _QUOTE:
            return at
        if byte < _SPACE or byte > 126 or byte == _BACKSLASH:
            return -1
        at += 1
    return -1


@njit(inline="always", **RAW)
def _find(data: _Bytes, at: int, length: int, names: _Bytes, ends: Int64Array) -> int:
    """Index of a name; -1 where there is none."""
    for k in range(ends.size - 1):
        if equal(data, at, length, names, ends[k], ends[k + 1]):
            return k
    return -1


@njit(inline="always", **RAW)
def _number(data: _Bytes, at: int, end: int) -> tuple[int, int, int]:
    """Read ``-?digits[.digits]``; position behind it (-1: not plain), mantissa, decimals."""
    negative = at < end and data[at] == _MINUS
    if negative:
        at += 1
    first, mantissa, decimals, digits, dotted = at, 0, 0, 0, False
    while at < end:
        byte = data[at]
        if byte == _DOT:
            if dotted or at == first:
                return -1, 0, 0
            dotted = True
        elif _ZERO <= byte <= _NINE:
            mantissa = mantissa * 10 + (byte - _ZERO)
            digits += 1
            if dotted:
                decimals += 1
        else:
            break
        at += 1
    plain = 0 < digits <= _DIGITS_MAX and not (dotted and decimals == 0)
    whole = digits - decimals
    if not plain or (whole > 1 and data[first] == _ZERO) or (negative and mantissa == 0):
        return -1, 0, 0
    return at, -mantissa if negative else mantissa, decimals


@njit(inline="always", **RAW)
def _value(
    data: _Bytes, at: int, end: int, field: int, row: int, kind: Int64Array, side: Int64Array,
    starts: Int64Array, lengths: Int64Array, longs: Int64Array, floats: Float64Array,
) -> int:  # fmt: skip
    """Read the value of a field into its column; position behind it, or -1."""
    quoted = data[at] == _QUOTE
    stop = _string_end(data, at + 1, end) if quoted else -1
    if quoted and stop < 0:
        return -1
    if field == _TYPE:
        if not quoted:
            return -1
        kind[row] = _find(data, at + 1, stop - at - 1, _TYPE_NAMES, _TYPE_ENDS)
        return stop + 1 if kind[row] >= 0 else -1
    if field == _SIDE:
        if quoted and equal(data, at + 1, stop - at - 1, _SIDES, 0, 3):
            side[row] = 1
        elif quoted and equal(data, at + 1, stop - at - 1, _SIDES, 3, 7):
            side[row] = 2
        else:
            return -1
        return stop + 1
    if field < _LONG_0:
        if quoted:
            starts[field - _TEXT_0, row], lengths[field - _TEXT_0, row] = at + 1, stop - at - 1
            return stop + 1
        behind, _, decimals = _number(data, at, end)
        # A venue may number its trades; the number's text is the id.
        if field != _TRADE_ID or behind < 0 or decimals > 0 or data[behind - 1] == _DOT:
            return -1
        starts[field - _TEXT_0, row], lengths[field - _TEXT_0, row] = at, behind - at
        return behind
    if field < _FLOAT_0:
        behind, mantissa, decimals = _number(data, at, end)
        if behind < 0 or decimals > 0:
            return -1
        longs[field - _LONG_0, row] = mantissa
        return behind
    behind, mantissa, decimals = _number(data, at + 1 if quoted else at, end)
    if behind < 0 or abs(mantissa) > _MANTISSA_MAX or (quoted and behind != stop):
        return -1
    floats[field - _FLOAT_0, row] = mantissa / _POWERS[decimals]
    return behind + 1 if quoted else behind


@njit(inline="always", **RAW)
def _message(
    data: _Bytes, at: int, end: int, row: int, kind: Int64Array, side: Int64Array,
    starts: Int64Array, lengths: Int64Array, longs: Int64Array, floats: Float64Array,
    follower: Int64Array,
) -> bool:  # fmt: skip
    if at >= end or data[at] != _OPEN:
        return False
    at, seen, before = at + 1, 0, len(_FIELDS)
    while True:
        at = _spaces(data, at, end)
        if at >= end or data[at] != _QUOTE:
            return False
        # Producers keep an order of fields: what followed last time is tried first.
        field = follower[before]
        length = _NAME_ENDS[field + 1] - _NAME_ENDS[field]
        stop = at + 1 + length
        if (
            stop >= end
            or data[stop] != _QUOTE
            or not equal(data, at + 1, length, _NAMES, _NAME_ENDS[field], _NAME_ENDS[field + 1])
        ):
            stop = _string_end(data, at + 1, end)
            if stop < 0:
                return False
            field = _find(data, at + 1, stop - at - 1, _NAMES, _NAME_ENDS)
            if field < 0:
                return False
        if seen & (1 << field):
            return False
        seen, follower[before], before = seen | (1 << field), field, field
        at = _spaces(data, stop + 1, end)
        if at >= end or data[at] != _COLON:
            return False
        at = _spaces(data, at + 1, end)
        if at >= end:
            return False
        at = _value(data, at, end, field, row, kind, side, starts, lengths, longs, floats)
        if at < 0:
            return False
        at = _spaces(data, at, end)
        if at >= end:
            return False
        if data[at] == _CLOSE:
            break
        if data[at] != _COMMA:
            return False
        at += 1
    if at + 1 != end or not seen & 1:
        return False
    k = kind[row]
    return (
        seen & _REQUIRED_MASKS[k] == _REQUIRED_MASKS[k]
        and seen | _ALLOWED_MASKS[k] == (_ALLOWED_MASKS[k])
    )


@njit(**RAW)
def _scan(
    data: _Bytes, offsets: _Offsets, kind: Int64Array, side: Int64Array, starts: Int64Array,
    lengths: Int64Array, longs: Int64Array, floats: Float64Array, follower: Int64Array,
) -> None:  # fmt: skip
    for row in range(kind.size):
        if not _message(
            data, offsets[row], offsets[row + 1], row, kind, side, starts, lengths, longs, floats,
            follower,
        ):  # fmt: skip
            kind[row] = OTHER


def scan(data: _Bytes, offsets: _Offsets) -> Scanned:
    """Read the plain messages among some.

    Parameters
    ----------
    data : uint8[...]
        The messages' bytes.
    offsets : int32[n + 1]
        Message ``i`` is ``data[offsets[i]:offsets[i + 1]]``.
    """
    n = offsets.size - 1
    scanned = Scanned(
        np.full(n, OTHER, np.int64),
        np.zeros(n, np.int64),
        np.zeros((len(TEXTS), n), np.int64),
        np.full((len(TEXTS), n), -1, np.int64),
        np.full((len(LONGS), n), NO_LONG, np.int64),
        np.full((len(FLOATS), n), np.nan),
    )
    _scan(data, offsets, *scanned, np.zeros(len(_FIELDS) + 1, np.int64))
    return scanned
