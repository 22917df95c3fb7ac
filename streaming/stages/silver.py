"""Admitted rows as silver tables, and the hashes by which duplicates are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from marketlake.analytics.arrays import Int64Array, UInt64Array
from marketlake.analytics.hashing import combine, hash_strings
from marketlake.contracts.events import EventType
from marketlake.contracts.tables import (
    SILVER_BARS,
    SILVER_BOOKS,
    SILVER_QUOTES,
    SILVER_TRADES,
    Table,
)
from streaming.stages.catalog import InstrumentCatalog
from streaming.stages.decode import binary_parts
from streaming.stages.rows import SIDES, Rows
from streaming.stages.scan import NO_LONG

TABLE_OF: dict[EventType, Table] = {
    "trade": SILVER_TRADES,
    "quote": SILVER_QUOTES,
    "book": SILVER_BOOKS,
    "bar": SILVER_BARS,
}


def content_hashes(rows: Rows, codes: Int64Array, catalog: InstrumentCatalog) -> UInt64Array:
    """Hash of each row's key and values; the time of receipt does not count.

    Rows without a known instrument get the hash of instrument 0; they are never admitted.
    """
    base = catalog.hashes()[np.maximum(codes, 0)]
    hashes = combine(base, rows.event_time_us, rows.sequence, *rows.numbers.values())
    if rows.event_type == "trade":
        return combine(hashes, _arrow_hashes(rows.ids), rows.side)
    if rows.event_type == "bar":
        return combine(hashes, _interval_hashes(rows), rows.trade_count)
    if rows.event_type == "book":
        for sides in (rows.bids, rows.asks):
            levels = [np.array(side or (), np.float64).tobytes() for side in sides]
            hashes = combine(hashes, _arrow_hashes(pa.array(levels, pa.binary())))
    return hashes


def identity_hashes(
    rows: Rows, codes: Int64Array, catalog: InstrumentCatalog, content: UInt64Array
) -> UInt64Array:
    """Hash of each row's key: by trade id, sequence or interval; else the content's."""
    base = combine(catalog.hashes()[np.maximum(codes, 0)], rows.event_time_us)
    if rows.event_type == "bar":
        return combine(base, _interval_hashes(rows))
    if rows.event_type == "trade":
        named = rows.ids.is_valid().to_numpy(zero_copy_only=False)
        return np.where(named, combine(base, _arrow_hashes(rows.ids)), content)
    return np.where(rows.sequence != NO_LONG, combine(base, rows.sequence), content)


def _interval_hashes(rows: Rows) -> UInt64Array:
    return _arrow_hashes(pa.array(rows.intervals, pa.string()))[rows.interval]


def _arrow_hashes(array: pa.Array) -> UInt64Array:
    if not len(array):
        return np.empty(0, np.uint64)
    return hash_strings(*binary_parts(array))


def silver_table(
    rows: Rows,
    kept: npt.NDArray[np.bool_],
    codes: Int64Array,
    catalog: InstrumentCatalog,
    content: UInt64Array,
) -> pa.Table:
    """Build the columns of the silver table for the rows kept, without its partition columns."""
    picked = np.flatnonzero(kept)
    columns: dict[str, pa.Array] = {
        "venue": dictionary(codes[picked], catalog.venues()),
        "instrument": dictionary(codes[picked], catalog.names()),
        "event_time": timestamps(rows.event_time_us[picked]),
        "received_time": timestamps(rows.received_time_us[picked]),
        **{name: pa.array(values[picked]) for name, values in rows.numbers.items()},
    }
    sequence = rows.sequence[picked]
    if rows.event_type == "trade":
        columns["trade_id"] = _trade_ids(rows.ids, picked, content)
        columns["side"] = _side_array(rows.side[picked])
        columns["sequence"] = longs(sequence)
    elif rows.event_type == "bar":
        columns["interval"] = dictionary(
            # Parquet takes no null among a dictionary's values; no row kept lacks its interval.
            rows.interval[picked],
            pa.array([i or "" for i in rows.intervals], pa.string()),
        )
        columns["trade_count"] = longs(rows.trade_count[picked])
        columns["sequence"] = longs(sequence)
    else:
        hashed = content[picked].view(np.int64)
        columns["sequence"] = pa.array(np.where(sequence == NO_LONG, hashed, sequence))
    if rows.event_type == "book":
        columns["bids"] = _levels(_pick(rows.bids, picked))
        columns["asks"] = _levels(_pick(rows.asks, picked))
    schema = TABLE_OF[rows.event_type].file_schema
    return pa.table({name: columns[name] for name in schema.names})


def _pick(values: list[Any], picked: npt.NDArray[np.intp]) -> list[Any]:
    if picked.size == len(values):
        return values
    return [values[i] for i in picked]


def _trade_ids(ids: pa.Array, picked: npt.NDArray[np.intp], content: UInt64Array) -> pa.Array:
    chosen = ids if picked.size == len(ids) else ids.take(pa.array(picked))
    if not chosen.null_count:
        return chosen
    hashed = pa.array([f"{int(content[row]):016x}" for row in picked], pa.string())
    return pc.coalesce(chosen, hashed)


def _side_array(side: Int64Array) -> pa.Array:
    absent = side == 0
    codes = pa.array((side - 1).astype(np.int32), mask=absent if absent.any() else None)
    return pa.DictionaryArray.from_arrays(codes, pa.array(SIDES[1:], pa.string()))


def _levels(sides: list[list[tuple[float, float]]]) -> pa.Array:
    level_type = SILVER_BOOKS.file_schema.field("bids").type
    offsets = np.zeros(len(sides) + 1, np.int32)
    np.cumsum([len(side) for side in sides], out=offsets[1:])
    flat = np.array([level for side in sides for level in side], np.float64).reshape(-1, 2)
    values = pa.StructArray.from_arrays(
        [pa.array(flat[:, 0].copy()), pa.array(flat[:, 1].copy())],
        fields=list(level_type.value_type),
    )
    return pa.ListArray.from_arrays(pa.array(offsets), values, type=level_type)


def dictionary(codes: Int64Array, values: pa.Array) -> pa.Array:
    """Text column of few values, by code."""
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), values)


def timestamps(time_us: Int64Array) -> pa.Array:
    """Timestamps from microseconds; ``NO_LONG`` becomes null."""
    absent = time_us == NO_LONG
    mask = absent if absent.any() else None
    return pa.array(time_us, mask=mask).cast(pa.timestamp("us", tz="UTC"))


def longs(values: Int64Array) -> pa.Array:
    """Integers; ``NO_LONG`` becomes null."""
    absent = values == NO_LONG
    return pa.array(values, mask=absent if absent.any() else None)
