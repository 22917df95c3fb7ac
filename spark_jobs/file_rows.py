"""Rows of files in the columns of the wire, in order, and as decoded rows of the stream.

A plain row is taken as it stands in its columns. Any other, with something missing or no value of
its type, is made the wire event that it would be and goes through the general decoder: it ends in
quarantine by the same rules as a message.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from marketlake.analytics.arrays import Int64Array
from spark_jobs.file_columns import (
    COLUMNS,
    TIMES,
    TYPES,
    Field,
    Kind,
    read_field,
    read_time,
)
from streaming.stages.decode import decode
from streaming.stages.rows import NUMBERS, SIDES, Decoded, Name, Rows, join
from streaming.stages.scan import NO_LONG

TIME: Final = "event_time_us"
MESSAGE: Final = "message"
"""Column of the wire events of rows that are not plain; null for the others."""


def row_schema(kind: Kind) -> pa.Schema:
    """Columns of rows: the time, those of the wire, and the message."""
    return pa.schema(
        [
            (TIME, pa.int64()),
            *((column.name, TYPES[column.type]) for column in COLUMNS[kind]),
            (MESSAGE, pa.string()),
        ]
    )


def wire_rows(kind: Kind, given: pa.Table) -> pa.Table:
    """Read the columns of a file, of whatever types, as rows in ``row_schema``."""
    given = given.combine_chunks()
    arrays = {name: _one(given[name]) for name in given.column_names}
    time_name = next(name for name in TIMES[kind] if name in arrays)
    fields = {TIME: read_time(time_name, arrays[time_name])}
    for column in COLUMNS[kind]:
        if column.name in arrays:
            fields[column.name] = read_field(column, arrays[column.name])
        else:
            nothing = pa.nulls(given.num_rows, TYPES[column.type])
            fields[column.name] = Field(nothing, np.zeros(given.num_rows, np.bool_))
    message = _messages(kind, fields, ~_plain(kind, fields))
    columns = [*(field.values for field in fields.values()), message]
    return pa.Table.from_arrays(columns, schema=row_schema(kind))


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _plain(kind: Kind, fields: dict[str, Field]) -> npt.NDArray[np.bool_]:
    required = [TIME, *(column.name for column in COLUMNS[kind] if column.required)]
    plain = np.ones(len(fields[TIME].values), np.bool_)
    for name, field in fields.items():
        if field.text is not None:
            plain &= ~field.bad
        if name in required and field.values.null_count:
            plain &= field.values.is_valid().to_numpy(zero_copy_only=False)
    if kind == "trade":
        side = fields["side"].values
        known = np.array([*(text in SIDES for text in side.dictionary.to_pylist()), True])
        plain &= known[_codes(side)]
    return plain


def _codes(texts: pa.DictionaryArray) -> npt.NDArray[np.int64]:
    """Index of each text; -1 where there is none."""
    codes: npt.NDArray[np.int64] = pc.fill_null(texts.indices, -1).to_numpy()
    return codes.astype(np.int64)


def _messages(kind: Kind, fields: dict[str, Field], chosen: npt.NDArray[np.bool_]) -> pa.Array:
    if not chosen.any():
        return pa.nulls(chosen.size, pa.string())
    picked = pa.array(np.flatnonzero(chosen))
    rows: list[dict[str, Any]] = [{"type": kind} for _ in range(len(picked))]
    for name, field in fields.items():
        values = field.values.take(picked).to_pylist()
        if field.text is not None:
            texts = field.text.take(picked).to_pylist()
            bad = field.bad[chosen]
            values = [t if b else v for v, t, b in zip(values, texts, bad, strict=True)]
        for row, value in zip(rows, values, strict=True):
            if value is not None:
                row[name] = value
    texts = np.full(chosen.size, None, object)
    texts[chosen] = [msgspec.json.encode(row).decode() for row in rows]
    return pa.array(texts, pa.string())


def messages_of(kind: Kind, rows: pa.Table) -> pa.Array:
    """Make the wire event of each of some rows, as bytes."""
    events = []
    for row in rows.select(row_schema(kind).names).to_pylist():
        message = row.pop(MESSAGE)
        if message is None:
            known = {name: value for name, value in row.items() if value is not None}
            events.append(msgspec.json.encode({"type": kind, **known}))
        else:
            events.append(message.encode())
    return pa.array(events, pa.binary())


def times_us(rows: pa.Table) -> Int64Array:
    """Time of each row; ``NO_LONG`` where it has none."""
    return _longs(rows[TIME])


def in_order(rows: pa.Table) -> pa.Table:
    """Sort by event time, sequence, then content: the order of lines and files does not show."""
    time_us = times_us(rows)
    if (np.diff(time_us) > 0).all():
        return rows
    sequence = _longs(rows["sequence"])
    order = np.lexsort((sequence, time_us))
    alike = (np.diff(time_us[order]) == 0) & (np.diff(sequence[order]) == 0)
    if alike.any():
        tied = np.flatnonzero(np.append(alike, False) | np.insert(alike, 0, False))
        # Groups of rows that are alike so far stay where they are: each is sorted within itself.
        order[tied] = order[tied][_by_content(rows.take(pa.array(order[tied])))]
    return rows.take(pa.array(order))


def _by_content(rows: pa.Table) -> npt.NDArray[np.int64]:
    plain = pa.table(
        {
            name: column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
            for name, column in zip(rows.column_names, rows.columns, strict=True)
        }
    )
    names = [TIME, "sequence", *(n for n in plain.column_names if n not in (TIME, "sequence"))]
    keys = [(name, "ascending", "at_start") for name in names]
    found = pc.sort_indices(plain, sort_keys=keys)
    order: npt.NDArray[np.int64] = found.to_numpy().astype(np.int64)
    return order


def decoded(kind: Kind, rows: pa.Table) -> Decoded:
    """Give rows as the decoder gives messages; each is in ``rows`` or in ``undecoded``."""
    rows = rows.combine_chunks()
    plain = np.asarray(rows[MESSAGE].is_null())
    if plain.all():
        return Decoded({kind: _decoded_plain(kind, rows, np.arange(plain.size))}, {})
    others = np.flatnonzero(~plain)
    found = decode(rows[MESSAGE].combine_chunks().take(pa.array(others)).cast(pa.binary()))
    for part in found.rows.values():
        part.row = others[part.row]
    undecoded = {int(others[row]): problem for row, problem in found.undecoded.items()}
    chosen = np.flatnonzero(plain)
    parts = [_decoded_plain(kind, rows.take(pa.array(chosen)), chosen), *found.rows.values()]
    return Decoded({kind: join(parts)}, undecoded)


def _decoded_plain(kind: Kind, rows: pa.Table, places: Int64Array) -> Rows:
    columns = {name: _one(rows[name]) for name in rows.column_names}
    names, name = _names(columns["venue"], columns["instrument"])
    found = Rows(
        kind,
        places,
        np.zeros(places.size, np.int64),
        names,
        name,
        _longs(columns[TIME]),
        _longs(columns["received_time_us"]),
        _longs(columns["sequence"]),
        {n: columns[n].to_numpy() for n in NUMBERS[kind]},
    )
    if kind == "trade":
        side = columns["side"]
        of_text = [SIDES.index(t) if t in SIDES else 0 for t in side.dictionary.to_pylist()]
        found.ids = columns["trade_id"]
        found.side = np.array([*of_text, 0], np.int64)[_codes(side)]
    else:
        found.intervals = columns["interval"].dictionary.to_pylist()
        found.interval = _codes(columns["interval"])
        found.trade_count = _longs(columns["trade_count"])
    return found


def _names(venues: pa.Array, instruments: pa.Array) -> tuple[list[Name], Int64Array]:
    """Pairs of names that occur, and the code of each row."""
    width = len(instruments.dictionary)
    pairs = _codes(venues) * width + _codes(instruments)
    present, codes = np.unique(pairs, return_inverse=True)
    venue, instrument = venues.dictionary.to_pylist(), instruments.dictionary.to_pylist()
    return [(venue[int(p) // width], instrument[int(p) % width]) for p in present], codes


def _longs(column: pa.Array | pa.ChunkedArray) -> Int64Array:
    if column.null_count:
        column = pc.fill_null(column, NO_LONG)
    values: Int64Array = column.to_numpy()
    return values
