"""State of many series side by side."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from marketlake.analytics.keyed import KeyedStates


def states():
    return KeyedStates({"bar": np.array([-1.0, 0.0]), "sum": np.array([7.0])})


def payloads(keyed):
    return [row.tobytes() for row in keyed.words()]


def test_a_new_series_gets_a_fresh_row_and_an_old_one_its_own():
    keyed = states()
    assert [keyed.index((k,)) for k in ("a", "b", "a")] == [0, 1, 0]
    assert len(keyed) == 2
    assert keyed.keys == [("a",), ("b",)]
    assert keyed.matrix("bar").tolist() == [[-1.0, 0.0], [-1.0, 0.0]]
    assert keyed.matrix("sum").tolist() == [[7.0], [7.0]]
    assert keyed.width == 3


def test_writes_go_through_and_survive_growth():
    keyed = states()
    for i in range(100):
        row = keyed.index((str(i),))
        keyed.matrix("sum")[row] = i
        keyed.matrix("bar")[row] = i + 0.5
    assert keyed.matrix("sum")[:, 0].tolist() == list(range(100))
    assert keyed.matrix("bar")[:, 1].tolist() == [i + 0.5 for i in range(100)]
    keyed.index(("new",))
    assert keyed.matrix("sum")[100].tolist() == [7.0]
    assert keyed.matrix("bar")[100].tolist() == [-1.0, 0.0]


def test_a_payload_is_the_words_of_all_blocks_little_endian():
    keyed = states()
    keyed.index(("a",))
    keyed.index(("b",))
    keyed.matrix("bar")[1] = [3.0, 4.0]
    keyed.matrix("sum")[1] = 5.0
    assert payloads(keyed) == [
        struct.pack("<3d", -1.0, 0.0, 7.0),
        struct.pack("<3d", 3.0, 4.0, 5.0),
    ]
    assert payloads(states()) == []


def test_state_comes_back_bit_for_bit_under_any_order_of_keys():
    rng = np.random.default_rng(1)
    keyed = states()
    for i in range(40):
        keyed.index((str(i), "x"))
    keyed.matrix("bar")[:] = rng.normal(size=(40, 2))
    keyed.matrix("bar")[3, 0] = np.array([0x7FF8_0000_0000_0BAD], np.uint64).view(np.float64)[0]
    keyed.matrix("sum")[:, 0] = -0.0
    saved, words = list(keyed.keys), keyed.words()
    order = rng.permutation(40)
    fresh = states()
    fresh.restore([saved[i] for i in order], words[order])
    assert dict(zip(fresh.keys, payloads(fresh), strict=True)) == dict(
        zip(saved, payloads(keyed), strict=True)
    )


def test_restoring_replaces_what_a_series_had():
    keyed = states()
    keyed.index(("a",))
    keyed.restore([("a",)], np.array([[1.0, 2.0, 3.0]]))
    assert payloads(keyed) == [struct.pack("<3d", 1.0, 2.0, 3.0)]


def test_words_of_another_layout_are_refused():
    with pytest.raises(ValueError, match="binance/BTC-USDT/1m has 2 words where 3 are expected"):
        states().restore([("binance", "BTC-USDT", "1m")], np.array([[1.0, 2.0]]))
