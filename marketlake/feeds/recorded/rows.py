"""Rows of recorded tables: exact numbers out of text, bars out of columns, CSV files."""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any

from marketlake.contracts.events import Bar
from marketlake.feeds.recorded.records import RecordedDataError, ReplayStats
from marketlake.feeds.venues.symbols import split_symbol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class UnreadableRowError(ValueError):
    """A row that gives no event; the message is the reason it is counted under."""


def number(value: Any) -> float:
    """Give a cell as the nearest double: text is parsed exactly, never by a fast approximation.

    Raises
    ------
    UnreadableRowError
        The cell is empty, is no number, or is not finite.
    """
    if value is None or value == "":
        raise UnreadableRowError("missing_value")
    try:
        result = float(value)
    except ValueError:
        raise UnreadableRowError("not_a_number") from None
    if not math.isfinite(result):
        raise UnreadableRowError("not_finite")
    return result


def seconds_us(value: Any) -> int:
    """Give seconds since the epoch, a number or its text, in microseconds."""
    return int(value) * 1_000_000


def milliseconds_us(value: Any) -> int:
    """Give milliseconds since the epoch, a number or its text, in microseconds."""
    return int(value) * 1_000


def utc_text_us(value: str) -> int:
    """Give a date and time without zone, which means UTC, in microseconds since the epoch."""
    return (datetime.fromisoformat(value).replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND


def time_us(value: Any, to_us: Callable[[Any], int]) -> int:
    """Convert a time cell.

    Raises
    ------
    UnreadableRowError
        The cell is empty or is no time.
    """
    try:
        return to_us(value)
    except (TypeError, ValueError):
        raise UnreadableRowError("unreadable_time") from None


def bars(
    rows: Iterable[Sequence[Any]],
    *,
    venue: str,
    instrument: str,
    interval: str,
    to_us: Callable[[Any], int],
    stats: ReplayStats,
) -> Iterator[Bar]:
    """Make bars of rows of seven cells; a row that cannot be read is counted.

    Parameters
    ----------
    rows : iterable of sequences
        Open time, open, high, low, close, volume, trade count (None where the venue has none).
    to_us : callable
        Converts the cell of the open time to microseconds since the epoch, UTC.
    stats : ReplayStats
        Its ``skipped`` is advanced; ``rows_read`` is the caller's to count.
    """
    for open_time, open_, high, low, close, volume, trades in rows:
        try:
            bar = Bar(
                venue,
                instrument,
                time_us(open_time, to_us),
                interval,
                number(open_),
                number(high),
                number(low),
                number(close),
                number(volume),
                None if trades is None else int(number(trades)),
            )
        except UnreadableRowError as reason:
            stats.skipped[str(reason)] += 1
            continue
        yield bar


def csv_rows(path: Path, columns: Sequence[str], stats: ReplayStats) -> Iterator[tuple[str, ...]]:
    """Read the named columns, in the order named, of a gzip CSV file with a header.

    A row with more or fewer fields than the header is counted as ``wrong_field_count``.

    Raises
    ------
    RecordedDataError
        A column is missing.
    """
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        reader = csv.reader(lines)
        header = next(reader, [])
        require_columns(path, columns, header)
        pick = itemgetter(*(header.index(name) for name in columns))
        for row in reader:
            stats.rows_read += 1
            if len(row) == len(header):
                yield pick(row)
            else:
                stats.skipped["wrong_field_count"] += 1


def require_columns(path: Path, wanted: Iterable[str], present: Sequence[str]) -> None:
    """Refuse a file that lacks a column.

    Raises
    ------
    RecordedDataError
        Names the file, the columns that are missing and those that are there.
    """
    missing = [name for name in wanted if name not in present]
    if missing:
        raise RecordedDataError(
            f"{path}: no column {', '.join(missing)}; it has {', '.join(present) or 'no header'}"
        )


def instrument_of(symbol: str, quotes: tuple[str, ...], path: Path) -> str:
    """Write a venue's joined symbol as ``BASE-QUOTE``: ``FTTBUSD`` is ``FTT-BUSD``.

    Parameters
    ----------
    quotes : tuple of str
        Quote assets of the data set; the first that fits is taken, so the longer come first.

    Raises
    ------
    RecordedDataError
        The symbol ends in none of them.
    """
    pair = split_symbol(symbol.upper(), quotes)
    if pair is None:
        raise RecordedDataError(
            f"{path}: symbol {symbol} ends in no quote asset of this data set: {', '.join(quotes)}"
        )
    return "-".join(pair)
