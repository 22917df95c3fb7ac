"""Columns of files with trades and bars, and the SQL that makes wire fields of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True)
class FileColumn:
    """A column, named as on the wire."""

    name: str
    type: Literal["text", "number", "integer"]
    required: bool = True


@dataclass(frozen=True)
class TimeExpression:
    """SQL of a row's time.

    Attributes
    ----------
    known : str
        Microseconds since the epoch, null where the value is no time.
    text : str or None
        The value as it is; None where every value is a time or null.
    """

    known: str
    text: str | None = None


_NAMES: Final = (FileColumn("venue", "text"), FileColumn("instrument", "text"))
_OPTIONAL: Final = (
    FileColumn("sequence", "integer", required=False),
    FileColumn("received_time_us", "integer", required=False),
)
COLUMNS: Final[dict[str, tuple[FileColumn, ...]]] = {
    "trade": (
        *_NAMES,
        FileColumn("price", "number"),
        FileColumn("quantity", "number"),
        FileColumn("trade_id", "text", required=False),
        FileColumn("side", "text", required=False),
        *_OPTIONAL,
    ),
    "bar": (
        *_NAMES,
        FileColumn("interval", "text"),
        *(FileColumn(name, "number") for name in ("open", "high", "low", "close", "volume")),
        FileColumn("trade_count", "integer", required=False),
        *_OPTIONAL,
    ),
}
TIMES: Final[dict[str, tuple[str, ...]]] = {
    "trade": ("event_time_us", "event_time"),
    "bar": ("event_time_us", "event_time", "open_time"),
}
"""Columns of which a file has one; the first that is there is taken."""

_INTEGERS: Final = frozenset({"byte", "short", "integer", "long"})
_REALS: Final = frozenset({"float", "double", "decimal"})
_NUMBER_TEXT: Final = r"^-?(?:[0-9]+\\.?[0-9]*|\\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_INTEGER_TEXT: Final = r"^-?[0-9]{1,18}$"
_TIME_TEXT: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
"""A date comes first: of a time of day alone, SQL makes one of today."""


def json_value(column: FileColumn, type_name: str) -> list[str]:
    """Fields of ``named_struct`` for a column; text that is no number stays text."""
    key, name = f"'{column.name}'", f"`{column.name}`"
    if column.type == "text":
        return [f"{key}, CAST({name} AS STRING)"]
    if column.type == "number":
        if type_name in _INTEGERS | _REALS:
            return [f"{key}, CAST({name} AS DOUBLE)"]
        known = f"CASE WHEN {name} RLIKE '{_NUMBER_TEXT}' THEN CAST({name} AS DOUBLE) END"
    else:
        if type_name in _INTEGERS:
            return [f"{key}, {name}"]
        known = _integer(name, type_name)
    if type_name not in _REALS | {"string"}:
        return [f"{key}, {name}"]
    return [f"{key}, {known}", f"{key}, CASE WHEN ({known}) IS NULL THEN {name} END"]


def time_us(name: str, type_name: str, *, nanoseconds: bool) -> TimeExpression:
    """Time of a row from a column of integers (microseconds), timestamps, dates or text.

    Parameters
    ----------
    name : str
        Name of the column.
    type_name : str
        Spark's name of the column's type.
    nanoseconds : bool
        True for a timestamp column in nanoseconds, which Spark may have read as integers.
    """
    microseconds, name = name == "event_time_us", f"`{name}`"
    if type_name in _INTEGERS:
        return TimeExpression(f"{name} div 1000" if nanoseconds else f"CAST({name} AS BIGINT)")
    if type_name in {"timestamp", "timestamp_ntz", "date"}:
        return TimeExpression(f"unix_micros(CAST({name} AS TIMESTAMP))")
    if type_name == "string" and not microseconds:
        parsed = f"unix_micros(try_cast({name} AS TIMESTAMP))"
        known = (
            f"CASE WHEN {name} RLIKE '{_TIME_TEXT}' THEN {parsed} "
            f"WHEN {name} RLIKE '{_INTEGER_TEXT}' THEN CAST({name} AS BIGINT) END"
        )
    else:
        known = _integer(name, type_name)
    return TimeExpression(known, f"CAST({name} AS STRING)")


def _integer(name: str, type_name: str) -> str:
    if type_name in _REALS:
        # pandas has no integers where a value is missing.
        return f"CASE WHEN {name} = floor({name}) THEN try_cast({name} AS BIGINT) END"
    text = f"CAST({name} AS STRING)"
    return f"CASE WHEN {text} RLIKE '{_INTEGER_TEXT}' THEN CAST({text} AS BIGINT) END"
