"""What the keyed kernels check before they let compiled code at an array."""

from __future__ import annotations

import numpy as np
import pytest

from marketlake.analytics.indicators.averages import Ema, Sma
from marketlake.analytics.indicators.bank import IndicatorBank
from marketlake.analytics.kernel import (
    fold,
    initial_states,
    states_from_bytes,
    states_to_bytes,
)

ONE = np.array([1.0])


def test_fold_leaves_the_state_given_as_it_was():
    state = Ema(2).initial()
    after, out = fold(Ema(2), state, np.array([1.0, 3.0]))
    assert (state == 0).all()
    np.testing.assert_array_equal(out, [[np.nan, 2.0]])
    np.testing.assert_array_equal(after, [2.0, 2.0])


@pytest.mark.parametrize("number", [-1, 2])
def test_a_series_without_a_state_is_refused_and_nothing_changes(number):
    states = initial_states(Ema(2).initial(), 2)
    with pytest.raises(ValueError, match=r"ema_2 got series .* but has states for 0 to 1"):
        Ema(2).step(states, np.array([0, number]), np.array([1.0, 2.0]))
    assert (states == 0).all()


@pytest.mark.parametrize(
    "states", [np.zeros((1, 3)), np.zeros(2), np.zeros((1, 2), dtype=np.float32)]
)
def test_states_of_another_shape_or_type_are_refused(states):
    with pytest.raises(ValueError, match=r"ema_2 needs states of shape \(k, 2\) in float64"):
        Ema(2).step(states, np.array([0]), ONE)


def test_read_only_states_are_refused_and_read_only_columns_taken():
    states = np.zeros((1, 2))
    column = np.array([1.0])
    column.flags.writeable = False
    Ema(2).step(states, np.array([0]), column)
    assert states[0, 1] == 1.0
    states.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        Ema(2).step(states, np.array([0]), column)


def test_columns_of_another_length_or_number_are_refused():
    states = np.zeros((1, 2))
    with pytest.raises(ValueError, match="ema_2 got close in shape"):
        Ema(2).step(states, np.array([0, 0]), ONE)
    with pytest.raises(ValueError, match="not 2 arrays"):
        Ema(2).step(states, np.array([0]), ONE, ONE)


def test_states_are_little_endian_words_and_come_back():
    states = np.array([[1.0, -0.0], [np.nan, 2.0**53]])
    data = states_to_bytes(states)
    assert data[:8] == b"\x00\x00\x00\x00\x00\x00\xf0\x3f"
    back = states_from_bytes(data, 2)
    assert back.tobytes() == states.tobytes()
    assert back.flags.writeable
    with pytest.raises(ValueError, match=r"32 bytes of state .* rows of 3 words"):
        states_from_bytes(data, 3)


def test_bank_refuses_a_column_twice_and_a_missing_one():
    with pytest.raises(ValueError, match=r"more than once: \['sma_3'\]"):
        IndicatorBank((Sma(3), Sma(3)))
    bank = IndicatorBank((Sma(3), Ema(2)))
    assert bank.columns == ("sma_3", "ema_2")
    assert bank.width == 6 + 2
    states = initial_states(bank.initial(), 1)
    with pytest.raises(ValueError, match=r"lack the columns \['close'\]"):
        bank.step(states, np.array([0]), {"open": ONE})
    with pytest.raises(ValueError, match=r"close in shape \(1,\) for 2 rows of series"):
        bank.step(states, np.array([0, 0]), {"close": ONE})
    assert (states == 0).all()


def test_a_bank_of_nothing_gives_nothing():
    bank = IndicatorBank(())
    assert bank.step(np.zeros((1, 0)), np.array([0]), {}).shape == (0, 1)


@pytest.mark.parametrize(
    ("states", "message"),
    [
        (np.zeros((1, 2)), r"the bank needs states of shape \(k, 6\)"),
        (np.zeros((3, 12))[:, ::2], "row after row"),
    ],
)
def test_a_bank_refuses_states_that_its_loops_cannot_take(states, message):
    bank = IndicatorBank((Sma(3),))
    for call in (bank.step, bank.peek):
        with pytest.raises(ValueError, match=message):
            call(states, np.array([0]), {"close": ONE})


def test_a_bank_refuses_a_series_without_a_state():
    bank = IndicatorBank((Sma(3),))
    for call in (bank.step, bank.peek):
        with pytest.raises(ValueError, match="got series 1 to 1, but has states for 0 to 0"):
            call(np.zeros((1, 6)), np.array([1]), {"close": ONE})


def test_a_kernel_takes_columns_of_a_wider_matrix_as_its_states():
    matrix = np.zeros((2, 10))
    for _ in range(2):
        Sma(2).step(matrix[:, 3:8], np.array([1]), ONE)
    expected = np.zeros((2, 5))
    for _ in range(2):
        Sma(2).step(expected, np.array([1]), ONE)
    np.testing.assert_array_equal(matrix[:, 3:8], expected)
    assert not matrix[:, :3].any()
    assert not matrix[:, 8:].any()
