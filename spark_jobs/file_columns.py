"""Columns of files with trades and bars, and how a column of any type is read as a wire field."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from marketlake.contracts.events import US_PER_SECOND

Kind = Literal["trade", "bar"]


@dataclass(frozen=True)
class FileColumn:
    """A column, named as on the wire.

    Attributes
    ----------
    type : str
        ``code`` is a text of few values.
    """

    name: str
    type: Literal["code", "text", "number", "integer"]
    required: bool = True


@dataclass(frozen=True)
class Field:
    """A column as it was read.

    Attributes
    ----------
    values : pyarrow.Array
        Null where there is nothing, or no value of the type.
    bad : mask
        Rows where something stands that is no value of the type.
    text : pyarrow.Array or None
        What stands there; None where no row is bad.
    """

    values: pa.Array
    bad: npt.NDArray[np.bool_]
    text: pa.Array | None = None


_NAMES: Final = (FileColumn("venue", "code"), FileColumn("instrument", "code"))
_OPTIONAL: Final = (
    FileColumn("sequence", "integer", required=False),
    FileColumn("received_time_us", "integer", required=False),
)
COLUMNS: Final[dict[Kind, tuple[FileColumn, ...]]] = {
    "trade": (
        *_NAMES,
        FileColumn("price", "number"),
        FileColumn("quantity", "number"),
        FileColumn("trade_id", "text", required=False),
        FileColumn("side", "code", required=False),
        *_OPTIONAL,
    ),
    "bar": (
        *_NAMES,
        FileColumn("interval", "code"),
        *(FileColumn(name, "number") for name in ("open", "high", "low", "close", "volume")),
        FileColumn("trade_count", "integer", required=False),
        *_OPTIONAL,
    ),
}
TIMES: Final[dict[Kind, tuple[str, ...]]] = {
    "trade": ("event_time_us", "event_time"),
    "bar": ("event_time_us", "event_time", "open_time"),
}
"""Columns of which a file has one; the first that is there is taken."""
TYPES: Final[dict[str, pa.DataType]] = {
    "code": pa.dictionary(pa.int32(), pa.string()),
    "text": pa.string(),
    "number": pa.float64(),
    "integer": pa.int64(),
}

_NUMBER_TEXT: Final = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_INTEGER_TEXT: Final = r"^-?[0-9]+$"
_SHORT_INTEGER_TEXT: Final = r"^-?[0-9]{1,18}$"
"""Fits 64 bits whatever the digits are."""
_ZONE_TEXT: Final = r"(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)"
_TIME_TEXT: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
    rf"(?:[T ][0-9]{{2}}:[0-9]{{2}}(?::[0-9]{{2}}(?:\.[0-9]{{1,9}})?)?{_ZONE_TEXT}?)?$"
)
_UTC: Final = pa.timestamp("us", "UTC")
_NS_UTC: Final = pa.timestamp("ns", "UTC")
_FRACTION: Final = re.compile(r"\.([0-9]{1,9})")


def read_field(column: FileColumn, values: pa.Array) -> Field:
    """Read a column as the wire field of its name."""
    if column.type in ("code", "text"):
        texts = values if pa.types.is_dictionary(values.type) else _texts(values)
        return _sound(texts.cast(TYPES[column.type]))
    values = _plain(values)
    return _number(values) if column.type == "number" else _integer(values)


def read_time(name: str, values: pa.Array) -> Field:
    """Read times: integers in microseconds, timestamps, dates or text; UTC where no offset stands.

    Parameters
    ----------
    name : str
        A column named ``…_us`` holds integers only.
    """
    values = _plain(values)
    if pa.types.is_timestamp(values.type):
        zoned = values.cast(pa.timestamp(values.type.unit, "UTC"))
        return _sound(zoned.cast(_UTC, safe=False).cast(pa.int64()))
    if pa.types.is_date(values.type):
        return _sound(values.cast(pa.timestamp("us")).cast(pa.int64()))
    if not pa.types.is_string(values.type) or name.endswith("_us"):
        return _integer(values)
    dated = _matches(values, _TIME_TEXT)
    whole = _integer(values)
    if not dated.any():
        return whole
    moments = _moments(pc.if_else(pa.array(dated), values, None))
    both = pc.coalesce(moments, whole.values)
    return _judged(both, values, values)


def _sound(values: pa.Array) -> Field:
    return Field(values, np.zeros(len(values), np.bool_))


def _judged(values: pa.Array, given: pa.Array, text: pa.Array) -> Field:
    """Mark as bad what was given and has no value."""
    bad = given.is_valid().to_numpy(zero_copy_only=False)
    bad &= values.is_null().to_numpy(zero_copy_only=False)
    return Field(values, bad, text if bad.any() else None)


def _plain(values: pa.Array) -> pa.Array:
    """Give integers, reals, timestamps and dates as they are, all else as text."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    kinds = (pa.types.is_signed_integer, pa.types.is_timestamp, pa.types.is_date)
    small = pa.types.is_unsigned_integer(values.type) and values.type.bit_width < 64
    if small or any(kind(values.type) for kind in kinds):
        return values
    if pa.types.is_floating(values.type) or pa.types.is_decimal(values.type):
        return values.cast(pa.float64())
    return _texts(values)


def _texts(values: pa.Array) -> pa.Array:
    if pa.types.is_string(values.type):
        return values
    try:
        return values.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        # Nothing that a field may hold; its text goes to quarantine.
        return pa.array([None if v is None else str(v) for v in values.to_pylist()], pa.string())


def _number(values: pa.Array) -> Field:
    if pa.types.is_string(values.type):
        known = pc.if_else(pa.array(_matches(values, _NUMBER_TEXT)), values, None)
        text, numbers = values, known.cast(pa.float64())
    else:
        text, numbers = None, values.cast(pa.float64(), safe=False)
    finite = pc.is_finite(numbers)
    if not pc.all(finite, min_count=0).as_py():
        numbers = pc.if_else(finite, numbers, None)
    elif text is None:
        return _sound(numbers)
    return _judged(numbers, values, text if text is not None else values.cast(pa.string()))


def _integer(values: pa.Array) -> Field:
    if pa.types.is_integer(values.type):
        return _sound(values.cast(pa.int64()))
    if pa.types.is_floating(values.type):
        # pandas has no integers where a value is missing.
        whole = pc.and_(pc.equal(values, pc.floor(values)), pc.less(pc.abs(values), 2.0**63))
        return _judged(
            pc.if_else(whole, values, None).cast(pa.int64(), safe=False),
            values,
            values.cast(pa.string()),
        )
    if not pa.types.is_string(values.type):
        values = _texts(values)
    short = _matches(values, _SHORT_INTEGER_TEXT)
    known = pc.if_else(pa.array(short), values, None).cast(pa.int64())
    long = _matches(values, _INTEGER_TEXT) & ~short
    if long.any():
        numbers = known.to_pylist()
        for row in np.flatnonzero(long):
            number = int(values[int(row)].as_py())
            numbers[row] = number if -(2**63) <= number < 2**63 else None
        known = pa.array(numbers, pa.int64())
    return _judged(known, values, values)


def _matches(values: pa.Array, pattern: str) -> npt.NDArray[np.bool_]:
    found = pc.fill_null(pc.match_substring_regex(values, pattern), False)
    mask: npt.NDArray[np.bool_] = found.to_numpy(zero_copy_only=False)
    return mask


def _moments(texts: pa.Array) -> pa.Array:
    """Microseconds of texts that look like times; null where there is no such day or hour."""
    zoned = _matches(texts, rf":[0-9.]+{_ZONE_TEXT}$|Z$")
    full = pc.if_else(pa.array(zoned), texts, pc.binary_join_element_wise(texts, "Z", ""))
    try:
        return full.cast(_NS_UTC).cast(_UTC, safe=False).cast(pa.int64())
    except pa.ArrowInvalid:
        return pa.array([_moment(text) for text in texts.to_pylist()], pa.int64())


def _moment(text: Any) -> int | None:
    if text is None:
        return None
    fraction = _FRACTION.search(text)
    try:
        moment = dt.datetime.fromisoformat(_FRACTION.sub("", text))
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    since = moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    whole_us = (since.days * 86_400 + since.seconds) * US_PER_SECOND
    return whole_us + (int(fraction.group(1).ljust(9, "0")) // 1_000 if fraction else 0)
