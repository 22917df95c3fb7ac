"""Array types of the folds, and how named arrays become bytes and come back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

Int64Array = npt.NDArray[np.int64]
UInt64Array = npt.NDArray[np.uint64]
Float64Array = npt.NDArray[np.float64]
Columns = dict[str, npt.NDArray[Any]]
"""Equally long one-dimensional arrays by name: rows, kept by column."""

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder()


def pack_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Pack named arrays into bytes; the same arrays always give the same bytes.

    Floats keep every bit, NaN payloads included.
    """
    return _ENCODER.encode(
        [
            [name, array.dtype.str, list(array.shape), np.ascontiguousarray(array).tobytes()]
            for name, array in arrays.items()
        ]
    )


def unpack_arrays(payload: bytes) -> Columns:
    """Undo :func:`pack_arrays`; the arrays are writable copies."""
    return {
        name: np.frombuffer(data, np.dtype(dtype)).reshape(shape).copy()
        for name, dtype, shape, data in _DECODER.decode(payload)
    }


def take(columns: Columns, rows: npt.NDArray[Any]) -> Columns:
    """Select rows of every column by mask or by index."""
    return {name: array[rows] for name, array in columns.items()}


def concat(parts: list[Columns]) -> Columns:
    """Join rows of columns with the same names; at least one part is needed."""
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def distinct(codes: Int64Array) -> Int64Array:
    """Give the different values of some integers, ascending; cheap where there is but one."""
    if codes.size and (codes == codes[0]).all():
        return codes[:1]
    return np.unique(codes)


def row_count(columns: Columns) -> int:
    """Count the rows of some columns."""
    return len(next(iter(columns.values()))) if columns else 0
