"""Admission against a plain dictionary, and its edges by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketlake.analytics.admission import (
    ADMITTED,
    CONFLICT,
    DUPLICATE,
    NO_TIME_US,
    TOO_LATE,
    Admission,
)

ROWS = st.lists(
    st.tuples(
        st.integers(0, 40),
        # Identities that share their low bits collide in the hash table.
        st.sampled_from([0, 1, 2, 2**32, 2**63, 2**64 - 1, 3 << 40]),
        st.integers(0, 2),
    ),
    max_size=120,
)


def columns(rows):
    return (
        np.array([r[0] for r in rows], np.int64),
        np.array([r[1] for r in rows], np.uint64),
        np.array([r[2] for r in rows], np.uint64),
    )


class Oracle:
    """The law as words: everything admitted is remembered for ever."""

    def __init__(self, lateness):
        self.lateness, self.latest, self.floor, self.seen = lateness, None, None, {}

    def watermark(self):
        own = None if self.latest is None else self.latest - self.lateness
        return max((w for w in (own, self.floor) if w is not None), default=None)

    def judge(self, time, identity, content):
        watermark = self.watermark()
        if watermark is not None and time < watermark:
            return TOO_LATE
        if (time, identity) in self.seen:
            return DUPLICATE if self.seen[time, identity] == content else CONFLICT
        self.seen[time, identity] = content
        self.latest = time if self.latest is None else max(self.latest, time)
        return ADMITTED


@settings(max_examples=150, deadline=None)
@given(data=st.data(), rows=ROWS, lateness=st.sampled_from([0, 1, 5, 100]))
def test_any_rows_cut_and_restored_anywhere_are_judged_as_by_a_dictionary(data, rows, lateness):
    oracle, window = Oracle(lateness), Admission(lateness)
    expected, found = [], []
    rest = rows
    while rest:
        size = data.draw(st.integers(0, len(rest)))
        part, rest = rest[:size], rest[size:]
        expected += [oracle.judge(*row) for row in part]
        found += window.step(0, *columns(part)).tolist()
        if data.draw(st.booleans()):
            window = Admission.restore(lateness, window.state())
        if data.draw(st.booleans()):
            floor = data.draw(st.integers(0, 45))
            oracle.floor = floor if oracle.floor is None else max(oracle.floor, floor)
            window.advance(0, floor, active=True)
        if oracle.watermark() is not None:
            assert window.watermark_us == oracle.watermark()
        if not size:
            break
    assert found == expected


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, cut=st.integers(0, 120), lateness=st.sampled_from([0, 3, 50]))
def test_a_cut_leaves_the_same_state(rows, cut, lateness):
    whole, parts = Admission(lateness), Admission(lateness)
    whole.step(0, *columns(rows))
    for part in (rows[:cut], rows[cut:]):
        parts.step(0, *columns(part))
        parts = Admission.restore(lateness, parts.state())
    for name, array in whole.state().items():
        assert parts.state()[name].tobytes() == array.tobytes(), name


def test_a_row_at_the_watermark_counts_and_one_before_it_does_not():
    window = Admission(10)
    verdicts = window.step(
        0, *columns([(100, 1, 0), (90, 2, 0), (89, 3, 0), (101, 4, 0), (90, 5, 0)])
    )
    # 100 sets the watermark to 90, 101 raises it to 91.
    assert verdicts.tolist() == [ADMITTED, ADMITTED, TOO_LATE, ADMITTED, TOO_LATE]
    assert window.watermark_us == 91


def test_lateness_of_nought_keeps_rows_of_the_latest_moment():
    verdicts = Admission(0).step(0, *columns([(5, 1, 0), (5, 2, 0), (5, 1, 0), (4, 3, 0)]))
    assert verdicts.tolist() == [ADMITTED, ADMITTED, DUPLICATE, TOO_LATE]


def test_same_key_and_content_is_a_duplicate_other_content_a_conflict():
    rows = [(7, 1, 10), (7, 1, 10), (7, 1, 11), (7, 1, 10), (8, 1, 11)]
    verdicts = Admission(100).step(0, *columns(rows))
    # The correction is not admitted, so the first content stays what others are compared with;
    # the same identity at another time is another key.
    assert verdicts.tolist() == [ADMITTED, DUPLICATE, CONFLICT, DUPLICATE, ADMITTED]


def test_a_duplicate_that_is_too_late_is_called_too_late():
    window = Admission(10)
    window.step(0, *columns([(50, 1, 0), (100, 2, 0)]))
    assert window.step(0, *columns([(50, 1, 0)])).tolist() == [TOO_LATE]


def test_a_late_row_does_not_move_the_clock():
    window = Admission(10)
    window.step(0, *columns([(100, 1, 0), (20, 2, 0)]))
    assert window.clock(0).latest_us == 100


def test_a_control_event_raises_the_watermark_but_never_lowers_it():
    window = Admission(10)
    window.step(0, *columns([(100, 1, 0)]))
    window.advance(0, 80, active=True)
    assert window.watermark_us == 90
    window.advance(0, 100, active=True)
    assert window.watermark_us == 100
    verdicts = window.step(0, *columns([(99, 9, 0), (100, 1, 0), (100, 1, 1), (100, 3, 0)]))
    assert verdicts.tolist() == [TOO_LATE, DUPLICATE, CONFLICT, ADMITTED]


def test_only_rows_at_or_after_the_watermark_are_kept():
    window = Admission(10)
    window.step(0, *columns([(t, t, 0) for t in range(1_000)]))
    assert window.state()["seen_time_us"].tolist() == list(range(989, 1_000))


@pytest.mark.parametrize("lateness", [0, 86_400_000_000])
def test_nothing_seen_refuses_nothing(lateness):
    window = Admission(lateness)
    assert window.clock(0).latest_us == NO_TIME_US
    assert window.step(0, *columns([(-(2**61), 1, 0)])).tolist() == [ADMITTED]
    assert window.step(0, *columns([])).tolist() == []
