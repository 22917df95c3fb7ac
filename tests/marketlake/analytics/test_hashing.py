"""Hashes against FNV-1a and SplitMix64 in plain integers: they stand in saved state."""

from __future__ import annotations

import struct

import numpy as np
import pyarrow as pa
import pytest

from marketlake.analytics.hashing import combine, hash_strings, hash_text

MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15


def fnv_1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & MASK
    return value


def finalise(value):
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def mixed(hashed, word):
    return finalise((hashed + GOLDEN + finalise((word + GOLDEN) & MASK)) & MASK)


def test_the_references_of_this_file_are_the_published_ones():
    # Fowler, Noll, Vo publish the first; the second is the first output of SplitMix64 of seed 0.
    assert fnv_1a(b"a") == 0xAF63DC4C8601EC8C
    assert fnv_1a(b"foobar") == 0x85944171F73967E8
    assert finalise(GOLDEN) == 0xE220A8397B1DCDAF


@pytest.mark.parametrize("text", ["", "a", "foobar", "binance|BTC-USDT", "\x00", "ü→😀", "x" * 999])
def test_text_is_hashed_by_fnv_1a_and_finalised(text):
    assert hash_text(text) == finalise(fnv_1a(text.encode()))


def test_an_arrow_array_gives_what_each_string_gives():
    texts = ["", "a", "", "ab", "b", "ü"]
    _, offsets, data = pa.array(texts, pa.string()).buffers()
    hashes = hash_strings(
        np.frombuffer(offsets, np.int32)[: len(texts) + 1], np.frombuffer(data, np.uint8)
    )
    assert hashes.tolist() == [hash_text(text) for text in texts]


def test_columns_are_mixed_by_their_bits_in_order():
    start = np.array([5, MASK], np.uint64)
    longs = np.array([-1, 7], np.int64)
    floats = np.array([1.5, -2.25], np.float64)
    expected = [
        mixed(
            mixed(seed, struct.unpack("<Q", struct.pack("<q", long))[0]),
            struct.unpack("<Q", struct.pack("<d", number))[0],
        )
        for seed, long, number in zip([5, MASK], [-1, 7], [1.5, -2.25], strict=True)
    ]
    assert combine(start, longs, floats).tolist() == expected
    assert start.tolist() == [5, MASK]
    assert combine(start, floats, longs).tolist() != expected


def test_negative_nought_counts_as_nought():
    seed = np.zeros(2, np.uint64)
    hashes = combine(seed, np.array([0.0, -0.0]))
    assert hashes[0] == hashes[1] == mixed(0, 0)


def test_every_other_bit_of_a_float_counts():
    seed = np.zeros(2, np.uint64)
    hashes = combine(seed, np.array([1.0, np.nextafter(1.0, 2.0)]))
    assert hashes[0] != hashes[1]


def test_a_strided_column_counts_by_its_values():
    column = np.arange(10, dtype=np.int64)[::2]
    seed = np.zeros(5, np.uint64)
    assert combine(seed, column).tolist() == [mixed(0, v) for v in (0, 2, 4, 6, 8)]
