"""Rows that validation left, as the columns that admission and the folds take."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from marketlake.analytics.arrays import Columns, Int64Array, UInt64Array
from marketlake.contracts.reasons import Reason, mark
from streaming.stages.book_columns import book_columns, transit_us
from streaming.stages.decode import binary_parts
from streaming.stages.fold_output import BAR_VALUES, INTERVALS, bar_lengths_us
from streaming.stages.rows import Rows
from streaming.stages.scan import NO_LONG
from streaming.stages.texts import keys_differ

_SIGNS: Final = np.array([0.0, 1.0, -1.0, 0.0])
"""Sign of a trade by the code of its side, see ``SIDES``; 0 where the venue does not tell."""


def fold_columns(rows: Rows, codes: Int64Array, content: UInt64Array, depth: int) -> Columns:
    """Give what the folds take of rows, one of each column a row; of books so many levels."""
    columns: dict[str, Any] = {
        "time_us": effective_time_us(rows),
        "sequence": rows.sequence,
        "content": content,
        "instrument": codes,
    }
    if rows.event_type in ("quote", "book"):
        columns["transit_us"] = transit_us(rows)
    if rows.event_type == "book":
        columns |= book_columns(rows, depth)
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
        if rows.event_type == "trade":
            columns["side"] = _SIGNS[rows.side]
    return columns


def check_keys(rows: Rows, keys: pa.Array) -> None:
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


def effective_time_us(rows: Rows) -> Int64Array:
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
