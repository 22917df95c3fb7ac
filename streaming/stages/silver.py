"""Admitted rows as silver tables, and the hashes by which duplicates are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

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
from streaming.stages.decode import NO_LONG, Rows

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
        side = {None: 0, "buy": 1, "sell": 2}
        sides = np.array([side.get(s, 3) for s in rows.texts["side"]], np.int64)
        return combine(hashes, _text_hashes(rows.texts["trade_id"]), sides)
    if rows.event_type == "bar":
        return combine(hashes, _text_hashes(rows.texts["interval"]), rows.longs["trade_count"])
    if rows.event_type == "book":
        for side_name in ("bids", "asks"):
            levels = [np.array(side or (), np.float64).tobytes() for side in rows.texts[side_name]]
            hashes = combine(hashes, _bytes_hashes(levels))
    return hashes


def identity_hashes(
    rows: Rows, codes: Int64Array, catalog: InstrumentCatalog, content: UInt64Array
) -> UInt64Array:
    """Hash of each row's key: by trade id, sequence or interval; else the content's."""
    base = combine(catalog.hashes()[np.maximum(codes, 0)], rows.event_time_us)
    if rows.event_type == "bar":
        return combine(base, _text_hashes(rows.texts["interval"]))
    if rows.event_type == "trade":
        ids = rows.texts["trade_id"]
        named = np.array([i is not None for i in ids], np.bool_)
        return np.where(named, combine(base, _text_hashes(ids)), content)
    return np.where(rows.sequence != NO_LONG, combine(base, rows.sequence), content)


def _text_hashes(texts: list[Any]) -> UInt64Array:
    try:
        array = pa.array(texts, pa.string())
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        array = pa.array([None if t is None else str(t) for t in texts], pa.string())
    return _arrow_hashes(array)


def _bytes_hashes(values: list[bytes]) -> UInt64Array:
    return _arrow_hashes(pa.array(values, pa.binary()))


def _arrow_hashes(array: pa.Array) -> UInt64Array:
    _, offsets, data = array.buffers()
    return hash_strings(
        np.frombuffer(offsets, np.int32)[: len(array) + 1],
        np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8),
    )


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
        columns["trade_id"] = _trade_ids(rows.texts["trade_id"], picked, content)
        columns["side"] = pa.array(_pick(rows.texts["side"], picked), pa.string())
        columns["sequence"] = longs(sequence)
    elif rows.event_type == "bar":
        columns["interval"] = pa.array(_pick(rows.texts["interval"], picked), pa.string())
        columns["trade_count"] = longs(rows.longs["trade_count"][picked])
        columns["sequence"] = longs(sequence)
    else:
        hashed = content[picked].view(np.int64)
        columns["sequence"] = pa.array(np.where(sequence == NO_LONG, hashed, sequence))
    if rows.event_type == "book":
        for side in ("bids", "asks"):
            columns[side] = _levels(_pick(rows.texts[side], picked))
    schema = TABLE_OF[rows.event_type].file_schema
    return pa.table({name: columns[name] for name in schema.names})


def _pick(values: list[Any], picked: npt.NDArray[np.intp]) -> list[Any]:
    if picked.size == len(values):
        return values
    return [values[i] for i in picked]


def _trade_ids(ids: list[Any], picked: npt.NDArray[np.intp], content: UInt64Array) -> pa.Array:
    chosen = _pick(ids, picked)
    if set(map(type, chosen)) <= {str}:
        return pa.array(chosen, pa.string())
    return pa.array(
        [
            f"{int(content[row]):016x}" if trade_id is None else str(trade_id)
            for row, trade_id in zip(picked, chosen, strict=True)
        ],
        pa.string(),
    )


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
