"""Arrays to bytes and back, and the few helpers on columns."""

from __future__ import annotations

import numpy as np
import pytest

from marketlake.analytics.arrays import concat, pack_arrays, row_count, take, unpack_arrays


def test_every_bit_dtype_and_shape_comes_back():
    nan_with_payload = np.array([0x7FF8_0000_DEAD_BEEF], np.uint64).view(np.float64)
    arrays = {
        "longs": np.array([-(2**63), 0, 2**63 - 1], np.int64),
        "hashes": np.array([2**64 - 1], np.uint64),
        "floats": np.array([-0.0, np.inf, -np.inf, 5e-324]),
        "nan": nan_with_payload,
        "matrix": np.arange(6, dtype=np.float64).reshape(2, 3),
        "no rows": np.empty((0, 8)),
        "bytes": np.frombuffer(b"a\nb", np.uint8),
        "empty": np.empty(0, np.uint8),
        "flags": np.array([True, False]),
    }
    back = unpack_arrays(pack_arrays(arrays))
    assert list(back) == list(arrays)
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype, name
        assert back[name].shape == array.shape, name
        assert back[name].tobytes() == array.tobytes(), name


def test_what_comes_back_may_be_written_and_is_a_copy():
    array = np.arange(3)
    back = unpack_arrays(pack_arrays({"a": array}))["a"]
    back[0] = 9
    assert array.tolist() == [0, 1, 2]


def test_equal_arrays_give_equal_bytes_whatever_their_strides():
    strided = np.arange(12, dtype=np.int64).reshape(3, 4)[:, ::2]
    assert pack_arrays({"a": strided}) == pack_arrays({"a": strided.copy()})
    assert pack_arrays({"a": strided}) != pack_arrays({"b": strided})
    assert unpack_arrays(pack_arrays({})) == {}


def test_columns_are_taken_and_joined_by_row():
    columns = {"a": np.array([1, 2, 3]), "b": np.array([1.0, 2.0, 3.0])}
    assert take(columns, np.array([True, False, True]))["a"].tolist() == [1, 3]
    assert take(columns, np.array([2, 0]))["b"].tolist() == [3.0, 1.0]
    joined = concat([columns, take(columns, np.array([1]))])
    assert joined["a"].tolist() == [1, 2, 3, 2]
    assert row_count(joined) == 4
    assert row_count({}) == 0


def test_parts_with_other_columns_are_refused():
    with pytest.raises(KeyError):
        concat([{"a": np.array([1])}, {"b": np.array([1])}])
