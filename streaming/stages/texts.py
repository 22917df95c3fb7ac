"""Texts as Arrow holds them, offsets and bytes: compared, coded and copied without objects."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from marketlake.analytics.arrays import Int64Array
from marketlake.analytics.compiled import RAW, copy_bytes

_Bytes = npt.NDArray[np.uint8]
_Offsets = npt.NDArray[np.int32]


@njit(inline="always", **RAW)
def equal(data: _Bytes, at: int, length: int, other: _Bytes, start: int, stop: int) -> bool:
    """Tell whether ``length`` bytes are those of ``other[start:stop]``."""
    if length != stop - start:
        return False
    for i in range(length):
        if data[at + i] != other[start + i]:
            return False
    return True


@njit(**RAW)
def _group(
    data: _Bytes, starts: Int64Array, lengths: Int64Array, table: Int64Array,
    codes: Int64Array, firsts: Int64Array,
) -> int:  # fmt: skip
    """Give equal tuples of texts equal codes, in order of appearance; how many there are."""
    mask, count = np.uint64(table.size - 1), 0
    for row in range(codes.size):
        value = np.uint64(0xCBF29CE484222325)
        for part in range(starts.shape[0]):
            for i in range(starts[part, row], starts[part, row] + lengths[part, row]):
                value = (value ^ np.uint64(data[i])) * np.uint64(0x100000001B3)
            value = (value ^ np.uint64(0xFF)) * np.uint64(0x100000001B3)
        slot = np.int64((value ^ (value >> np.uint64(29))) & mask)
        while True:
            known = table[slot]
            if known < 0:
                table[slot] = count
                firsts[count] = row
                codes[row] = count
                count += 1
                break
            same = True
            for part in range(starts.shape[0]):
                first = firsts[known]
                stop = starts[part, first] + lengths[part, first]
                same = same and equal(
                    data, starts[part, row], lengths[part, row], data, starts[part, first], stop
                )
            if same:
                codes[row] = known
                break
            slot = np.int64(np.uint64(slot + 1) & mask)
    return count


def group(
    data: _Bytes, starts: Int64Array, lengths: Int64Array
) -> tuple[Int64Array, list[tuple[str, ...]]]:
    """Code rows by their texts.

    Parameters
    ----------
    starts, lengths : int64[parts, n]
        Texts of each row; ASCII.

    Returns
    -------
    tuple
        Code of each row, and the texts of each code.
    """
    n = starts.shape[1]
    codes, firsts = np.empty(n, np.int64), np.empty(n, np.int64)
    table = np.full(1 << max(4, (2 * n).bit_length()), -1, np.int64)
    starts, lengths = np.ascontiguousarray(starts), np.ascontiguousarray(lengths)
    count = _group(data, starts, lengths, table, codes, firsts)
    texts = [
        tuple(
            data[starts[part, row] : starts[part, row] + lengths[part, row]].tobytes().decode()
            for part in range(starts.shape[0])
        )
        for row in firsts[:count]
    ]
    return codes, texts


@njit(**RAW)
def _copy(data: _Bytes, starts: Int64Array, offsets: _Offsets, out: _Bytes) -> None:
    for row in range(starts.size):
        at = offsets[row]
        copy_bytes(out, at, data, starts[row], offsets[row + 1] - at)


def gather(data: _Bytes, starts: Int64Array, lengths: Int64Array) -> tuple[_Offsets, _Bytes]:
    """Copy texts side by side, as the offsets and the bytes of an Arrow string array.

    A length below 0 counts as 0.
    """
    offsets = np.zeros(starts.size + 1, np.int32)
    np.cumsum(np.maximum(lengths, 0), out=offsets[1:])
    out = np.empty(int(offsets[-1]), np.uint8)
    _copy(data, np.ascontiguousarray(starts), offsets, out)
    return offsets, out


@njit(**RAW)
def _differ(
    offsets: _Offsets, data: _Bytes, valid: npt.NDArray[np.bool_], ends: _Offsets,
    texts: _Bytes, rows: Int64Array, codes: Int64Array, out: npt.NDArray[np.bool_],
) -> None:  # fmt: skip
    for i in range(rows.size):
        start, stop = offsets[rows[i]], offsets[rows[i] + 1]
        same = equal(data, start, stop - start, texts, ends[codes[i]], ends[codes[i] + 1])
        out[i] = valid[rows[i]] and not same


def keys_differ(
    offsets: _Offsets,
    data: _Bytes,
    valid: npt.NDArray[np.bool_],
    ends: _Offsets,
    texts: _Bytes,
    rows: Int64Array,
    codes: Int64Array,
) -> npt.NDArray[np.bool_]:
    """Tell which rows have a key that is there and is not the expected text.

    Parameters
    ----------
    offsets, data, valid
        Keys of all messages, as Arrow holds them.
    ends, texts
        Expected texts by code, as Arrow holds them.
    rows, codes : int64[n]
        Message and code of each row.
    """
    out = np.empty(rows.size, np.bool_)
    _differ(offsets, data, valid, ends, texts, rows, codes, out)
    return out
