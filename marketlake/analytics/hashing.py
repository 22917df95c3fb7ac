"""64-bit hashes of rows, stable across processes and releases: they stand in saved state.

Strings are hashed by FNV-1a and everything is mixed by the finaliser of SplitMix64
(Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from marketlake.analytics.arrays import Float64Array, Int64Array, UInt64Array

_FNV_OFFSET = np.uint64(0xCBF29CE484222325)
_FNV_PRIME = np.uint64(0x100000001B3)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _mix(value: np.uint64) -> np.uint64:
    value = (value ^ (value >> _S30)) * _MIX_1
    value = (value ^ (value >> _S27)) * _MIX_2
    return value ^ (value >> _S31)


@njit(cache=True, nogil=True, error_model="numpy")
def _hash_strings(
    offsets: npt.NDArray[np.int32], data: npt.NDArray[np.uint8], out: UInt64Array
) -> None:
    for i in range(out.size):
        value = _FNV_OFFSET
        for j in range(offsets[i], offsets[i + 1]):
            value = (value ^ np.uint64(data[j])) * _FNV_PRIME
        out[i] = _mix(value)


@njit(cache=True, nogil=True, error_model="numpy")
def _combine(hashes: UInt64Array, words: UInt64Array) -> None:
    for i in range(hashes.size):
        hashes[i] = _mix(hashes[i] + _GOLDEN + _mix(words[i] + _GOLDEN))


def hash_strings(offsets: npt.NDArray[np.int32], data: npt.NDArray[np.uint8]) -> UInt64Array:
    """Hash each string of an Arrow string array, given its offsets and its bytes."""
    out = np.empty(offsets.size - 1, np.uint64)
    _hash_strings(offsets, data, out)
    return out


def hash_text(text: str) -> int:
    """Hash one string as :func:`hash_strings` does."""
    data = np.frombuffer(text.encode(), np.uint8)
    return int(hash_strings(np.array([0, data.size], np.int32), data)[0])


def combine(
    hashes: UInt64Array, *columns: Int64Array | Float64Array | UInt64Array | npt.NDArray[Any]
) -> UInt64Array:
    """Mix 64-bit columns into row hashes, in order; returns new hashes.

    Floats count by their bits, with -0.0 taken as 0.0.
    """
    out = hashes.copy()
    for column in columns:
        words = column + 0.0 if column.dtype == np.float64 else column
        _combine(out, np.ascontiguousarray(words).view(np.uint64))
    return out
