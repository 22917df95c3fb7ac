"""Bytes to columns: every message is read once, alone, whatever stands beside it.

A message is read by the same rules wherever a batch was cut: a malformed neighbour changes
nothing. Plain messages take the compiled scanner, all others the general decoder.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from marketlake.analytics.arrays import Int64Array
from marketlake.contracts.events import TOPICS, EventType
from streaming.stages.general import decode_general
from streaming.stages.rows import NUMBERS, Decoded, Rows, join
from streaming.stages.scan import (
    FLOATS,
    LONGS,
    OTHER,
    TEXTS,
    TYPES,
    Scanned,
    scan,
)
from streaming.stages.texts import gather, group


def decode(messages: pa.Array | Sequence[bytes | None]) -> Decoded:
    """Decode messages; none raises, each is in ``rows`` or in ``undecoded``.

    Plain messages are scanned, the others decoded one by one; both read a message alike.
    """
    array = messages if isinstance(messages, pa.Array) else pa.array(messages, pa.binary())
    if not len(array):
        return Decoded({}, {})
    offsets, data = binary_parts(array)
    scanned = scan(data, offsets)
    others = np.flatnonzero(scanned.kind == OTHER)
    general = decode_general(
        [message.as_py() for message in array.take(pa.array(others))], others.tolist()
    )
    rows: dict[EventType, Rows] = {}
    for event_type in TOPICS:
        parts = [general.rows[event_type]] if event_type in general.rows else []
        if event_type in TYPES:
            chosen = np.flatnonzero(scanned.kind == TYPES.index(event_type))
            if chosen.size:
                parts.append(_scanned_rows(event_type, data, scanned, chosen))
        if parts:
            rows[event_type] = join(parts)
    return Decoded(rows, general.undecoded)


def binary_parts(array: pa.Array) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Offsets and bytes of an Arrow binary array; the offsets are ``n + 1``."""
    _, offsets, data = array.buffers()
    window = np.frombuffer(offsets, np.int32)[array.offset : array.offset + len(array) + 1]
    return window, np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)


def _scanned_rows(
    event_type: EventType, data: npt.NDArray[np.uint8], scanned: Scanned, chosen: Int64Array
) -> Rows:
    every = chosen.size == scanned.kind.size
    picked = slice(None) if every else chosen
    starts, lengths = scanned.starts[:, picked], scanned.lengths[:, picked]
    name, names = group(data, starts[:2], lengths[:2])
    longs = dict(zip(LONGS, scanned.longs[:, picked], strict=True))
    rows = Rows(
        event_type,
        chosen,
        np.zeros(chosen.size, np.int64),
        [(venue, instrument) for venue, instrument in names],
        name,
        longs["event_time_us"],
        longs["received_time_us"],
        longs["sequence"],
        {n: scanned.floats[FLOATS.index(n), picked] for n in NUMBERS[event_type]},
    )
    if event_type == "trade":
        ids = TEXTS.index("trade_id")
        rows.ids = _id_array(data, starts[ids], lengths[ids])
        rows.side = scanned.side[picked]
    elif event_type == "bar":
        text = TEXTS.index("interval")
        rows.interval, intervals = group(data, starts[text : text + 1], lengths[text : text + 1])
        rows.intervals = [interval for (interval,) in intervals]
        rows.trade_count = longs["trade_count"]
    return rows


def _id_array(data: npt.NDArray[np.uint8], starts: Int64Array, lengths: Int64Array) -> pa.Array:
    offsets, text = gather(data, starts, lengths)
    valid = lengths >= 0
    bitmap = None
    if not valid.all():
        bitmap = pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.StringArray.from_buffers(
        lengths.size, pa.py_buffer(offsets), pa.py_buffer(text), bitmap
    )
