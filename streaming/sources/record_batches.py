"""Kafka's record batches, as a fetch returns them, to columns: no object a message.

Format: the Kafka protocol guide, "Record Batch", magic 2 (Kafka 0.11 and later).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from kafka.codec import gzip_decode, lz4_decode, snappy_decode, zstd_decode
from kafka.record.util import calc_crc32c
from numba import njit

from marketlake.analytics.arrays import Int64Array
from marketlake.analytics.compiled import RAW, copy_bytes

_Bytes = npt.NDArray[np.uint8]
_Ends = npt.NDArray[np.int32]

_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_LENGTH: Final = struct.Struct(">qi")
_MAGIC_AT: Final = 16
_CRC_FROM: Final = 21
_MAGIC: Final = 2
_LEAST_RECORD_BYTES: Final = 7
"""Length, attributes, two deltas, two sizes, count of headers."""
_CODEC_BITS, _APPEND_TIME_BIT, _CONTROL_BIT = 0x07, 0x08, 0x20
_ABORT_MARKER: Final = 0
_CODECS: Final[dict[int, Callable[[memoryview], bytes]]] = {
    1: gzip_decode,
    2: snappy_decode,
    3: lz4_decode,
    4: zstd_decode,
}


class RecordBatchError(Exception):
    """Bytes that are no sound record batch, or one of a format that is not read here."""


@dataclass(frozen=True)
class RecordBatch:
    """Header of one batch, and its records as they lie in the answer.

    Attributes
    ----------
    first_offset, next_offset : int
        Offsets that the batch covers, ``next_offset`` excluded; compaction leaves gaps.
    base_ms : int
        Time that the records' times are relative to.
    append_ms : int or None
        The broker's time, where the topic keeps that instead of the producer's.
    producer_id : int
        -1 for a producer that is neither idempotent nor transactional.
    """

    first_offset: int
    next_offset: int
    codec: int
    base_ms: int
    append_ms: int | None
    control: bool
    producer_id: int
    count: int
    payload: memoryview

    def records(self) -> _Bytes:
        """Bytes of the records, decompressed.

        Raises
        ------
        RecordBatchError
            If they cannot be decompressed.
        """
        if self.codec == 0:
            return np.frombuffer(self.payload, np.uint8)
        codec = _CODECS.get(self.codec)
        if codec is None:
            raise RecordBatchError(f"unknown compression {self.codec} at {self.first_offset}")
        try:
            return np.frombuffer(codec(self.payload), np.uint8)
        except (RuntimeError, ValueError, OSError, EOFError) as error:
            raise RecordBatchError(
                f"the batch at {self.first_offset} cannot be decompressed ({error})"
            ) from error


def record_batches(answer: bytes | memoryview) -> Iterator[RecordBatch]:
    """Cut a fetch answer into its batches; a batch that the answer cuts off is left out.

    Raises
    ------
    RecordBatchError
        If a checksum does not hold, or the messages are of a format before Kafka 0.11.
    """
    data, at = memoryview(answer), 0
    while len(data) - at >= _HEADER.size:
        first_offset, length = _LENGTH.unpack_from(data, at)
        end = at + _LENGTH.size + length
        if data[at + _MAGIC_AT] != _MAGIC:
            raise RecordBatchError(
                f"message format {data[at + _MAGIC_AT]} at {first_offset}, of before Kafka 0.11; "
                'let Spark read it: stream.kafka_reader = "spark"'
            )
        if length < _HEADER.size - _LENGTH.size:
            raise RecordBatchError(f"the batch at {first_offset} has no header")
        if end > len(data):
            return
        fields = _HEADER.unpack_from(data, at)
        crc, attributes, last_delta, base_ms, max_ms, producer_id = fields[4:10]
        if crc != calc_crc32c(data[at + _CRC_FROM : end]):
            raise RecordBatchError(f"the batch at {first_offset} fails its checksum")
        yield RecordBatch(
            first_offset,
            first_offset + last_delta + 1,
            attributes & _CODEC_BITS,
            base_ms,
            max_ms if attributes & _APPEND_TIME_BIT else None,
            bool(attributes & _CONTROL_BIT),
            producer_id,
            fields[12],
            data[at + _HEADER.size : end],
        )
        at = end


def committed(
    batches: Sequence[RecordBatch], aborted: Sequence[tuple[int, int]]
) -> list[RecordBatch]:
    """Leave out transaction markers and what aborted transactions wrote.

    Parameters
    ----------
    aborted : sequence of (int, int)
        First offset and producer id of each aborted transaction, as the broker tells.
    """
    begun = sorted(aborted, reverse=True)
    open_aborted: set[int] = set()
    kept = []
    for batch in batches:
        while begun and begun[-1][0] < batch.next_offset:
            open_aborted.add(begun.pop()[1])
        if batch.control:
            if _is_abort_marker(batch):
                open_aborted.discard(batch.producer_id)
        elif batch.producer_id not in open_aborted:
            kept.append(batch)
    return kept


def _is_abort_marker(batch: RecordBatch) -> bool:
    # One record: length, attributes, time and offset deltas are a byte each, then the key:
    # its length, two bytes of version, two of type.
    key = bytes(batch.records()[4:9])
    return len(key) == 5 and struct.unpack(">h", key[3:5])[0] == _ABORT_MARKER


def messages_of(batches: Sequence[RecordBatch], start: int, end: int) -> pa.Table | None:
    """Read the records of batches whose offsets lie in ``[start, end)``.

    Returns
    -------
    pyarrow.Table or None
        ``offset``, ``key``, ``value`` and ``source_timestamp`` (µs, UTC) in order of the offsets;
        None where there is no record.

    Raises
    ------
    RecordBatchError
        If a record goes beyond its batch.
    """
    parts = [batch.records() for batch in batches]
    for batch, part in zip(batches, parts, strict=True):
        if not 0 <= batch.count * _LEAST_RECORD_BYTES <= part.size:
            raise RecordBatchError(f"the batch at {batch.first_offset} ends in mid-record")
    count, size = sum(batch.count for batch in batches), sum(part.size for part in parts)
    into = _Columns(count, size)
    for batch, part in zip(batches, parts, strict=True):
        into.add(batch, part, start, end)
    return into.table()


class _Columns:
    """Columns being filled; keys and values lie one after another, as Arrow keeps them."""

    def __init__(self, count: int, size: int) -> None:
        self._offset = np.empty(count, np.int64)
        self._time_ms = np.empty(count, np.int64)
        self._ends = np.zeros((2, count + 1), np.int32)
        self._null = np.zeros((2, count), np.bool_)
        self._data = (np.empty(size, np.uint8), np.empty(size, np.uint8))
        self._cursor = np.zeros(3, np.int64)

    def add(self, batch: RecordBatch, part: _Bytes, start: int, end: int) -> None:
        append_ms = -1 if batch.append_ms is None else batch.append_ms
        sound = _read(
            part, batch.count, batch.first_offset, batch.base_ms, append_ms, start, end,
            self._offset, self._time_ms, self._ends, self._null, *self._data, self._cursor,
        )  # fmt: skip
        if not sound:
            raise RecordBatchError(f"the batch at {batch.first_offset} ends in mid-record")

    def table(self) -> pa.Table | None:
        n = int(self._cursor[0])
        if not n:
            return None
        return pa.table(
            {
                "offset": pa.array(self._offset[:n]),
                "key": self._binary(0, n),
                "value": self._binary(1, n),
                "source_timestamp": pa.array(self._time_ms[:n] * 1_000).cast(
                    pa.timestamp("us", "UTC")
                ),
            }
        )

    def _binary(self, which: int, n: int) -> pa.Array:
        null = self._null[which, :n]
        bitmap = pa.py_buffer(np.packbits(~null, bitorder="little")) if null.any() else None
        ends, data = self._ends[which, : n + 1], self._data[which][: self._cursor[1 + which]]
        return pa.Array.from_buffers(
            pa.binary(), n, [bitmap, pa.py_buffer(ends), pa.py_buffer(data)]
        )


@njit(inline="always", **RAW)
def _varint(data: _Bytes, at: int, end: int) -> tuple[np.int64 | int, int]:
    """A zigzag varint and the position behind it; -1 for the position where there is none."""
    value, shift = np.uint64(0), np.uint64(0)
    while at < end and shift < 64:
        byte = np.uint64(data[at])
        at += 1
        value |= (byte & np.uint64(0x7F)) << shift
        if byte < 0x80:
            return np.int64(value >> np.uint64(1)) ^ -np.int64(value & np.uint64(1)), at
        shift += np.uint64(7)
    return 0, -1


@njit(**RAW)
def _read(
    data: _Bytes, count: int, base_offset: int, base_ms: int, append_ms: int, start: int, end: int,
    offset: Int64Array, time_ms: Int64Array, ends: _Ends, null: npt.NDArray[np.bool_],
    keys: _Bytes, values: _Bytes, cursor: Int64Array,
) -> bool:  # fmt: skip
    """Read the records of one batch behind those at the cursor; False where they are unsound."""
    at, row = 0, cursor[0]
    for _ in range(count):
        length, at = _varint(data, at, data.size)
        # Against what is left, not by their sum: a damaged length may be near 2**63.
        if at < 0 or length < 1 or length > data.size - at:
            return False
        stop = at + length
        delta_ms, at = _varint(data, at + 1, stop)
        if at < 0:
            return False
        delta, at = _varint(data, at, stop)
        if at < 0:
            return False
        wanted = start <= base_offset + delta < end
        for which in range(2):
            size, at = _varint(data, at, stop)
            if at < 0 or size < -1 or size > stop - at:
                return False
            if wanted:
                to = cursor[1 + which]
                null[which, row] = size < 0
                copy_bytes(keys if which == 0 else values, to, data, at, max(size, 0))
                cursor[1 + which] = to + max(size, 0)
                ends[which, row + 1] = cursor[1 + which]
            at += max(size, 0)
        if wanted:
            offset[row] = base_offset + delta
            time_ms[row] = append_ms if append_ms >= 0 else base_ms + delta_ms
            row += 1
        at = stop
    cursor[0] = row
    return True
