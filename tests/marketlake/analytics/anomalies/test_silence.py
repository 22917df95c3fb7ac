"""Feeds that fall silent: drawn as time lines, a character a second, a line a feed."""

from __future__ import annotations

from dataclasses import astuple
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketlake.analytics.anomalies.silence import SilentFeeds, group_members
from marketlake.analytics.kernel import initial_states, states_from_bytes, states_to_bytes

SECOND_US = 1_000_000
T0 = 1_678_492_800_000_000
FOLD = SilentFeeds(3.0, 5 * SECOND_US, 60 * SECOND_US, 4, 100)
ALL = group_members(np.zeros(3, np.int64))


def updates(*lines):
    """Rows of lines: ``x`` is an update, by its second, then by its feed."""
    marks = [
        (second, feed)
        for feed, line in enumerate(lines)
        for second, mark in enumerate(line)
        if mark == "x"
    ]
    seconds, feeds = (np.array(c, np.int64) for c in zip(*sorted(marks), strict=True))
    return T0 + SECOND_US * seconds, feeds


def told(*lines, groups=ALL, fold=FOLD):
    """Give feed, first and last second, and peers of the silences told."""
    time_us, feed = updates(*lines)
    states = initial_states(fold.initial(), 3)
    found = fold.step(states, groups, time_us, feed, 100.0 + (time_us - T0) / 1e8)
    start, end = ((t - T0) // SECOND_US for t in (found.start_us, found.end_us))
    return list(
        zip(found.feed.tolist(), start.tolist(), end.tolist(), found.peers.tolist(), strict=True)
    )


SPEAKS = "x" * 40


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        # Pauses of 1 s: a silence is 5 s at least.
        (("xxxxxxxx" + "." * 6 + "x" * 20, SPEAKS, SPEAKS), [(0, 7, 14, 2)]),
        (("xxxxxxxx" + "." * 3 + "x" * 20, SPEAKS, SPEAKS), []),
        # Two of three fall silent: the third is the witness of both.
        (("x" * 8 + "." * 8 + "x" * 9, "x" * 9 + "." * 9 + "x" * 9, SPEAKS),
         [(0, 7, 16, 1), (1, 8, 18, 1)]),
        # All fall silent together: an outage of one's own.
        (("x" * 8 + "." * 9 + "x" * 9,) * 3, []),
        # The second comes back first, but was silent too: it saw nothing.
        (("x" * 8 + "." * 19 + "x" * 9, "x" * 8 + "." * 9 + "x" * 19, ""), []),
        # Alone in its group.
        (("x" * 8 + "." * 9 + "x" * 9, "", ""), []),
        # Warm-up: too few pauses to know what is usual.
        (("xxxx" + "." * 9 + "x" * 20, SPEAKS, SPEAKS), []),
        # A slow feed: pauses of 4 s, so 12 s are a silence and 8 s are none.
        (("x...x...x...x...x...x.......x", SPEAKS, SPEAKS), []),
        (("x...x...x...x...x...x............x", SPEAKS, SPEAKS), [(0, 20, 33, 2)]),
    ],
)  # fmt: skip
def test_silences_as_drawn(lines, expected):
    assert told(*lines) == expected


def test_another_instrument_is_no_witness():
    apart = group_members(np.array([0, 1, 1]))
    assert told("x" * 8 + "." * 9 + "x" * 9, SPEAKS, SPEAKS, groups=apart) == []


def test_a_long_silence_is_told_once_while_it_lasts():
    dead = "x" * 10
    speaks = "x" * 300
    # The witnesses begin their second minute at 60 s, their third at 120 s: 60 s of silence are
    # over at 69 s, so it is told at 120 s.
    assert told(dead, speaks, speaks) == [(0, 9, 120, 2)]
    assert told(dead + "." * 200 + "x" * 20, speaks, speaks) == [(0, 9, 120, 2)]
    # The next silence is another one.
    again = dead + "." * 200 + "x" * 20 + "." * 10 + "x" * 3
    assert told(again, speaks, speaks) == [(0, 9, 120, 2), (0, 229, 240, 2)]


def test_the_event_tells_how_far_the_price_went_and_what_was_usual():
    time_us, feed = updates("x" * 11 + "." * 9 + "x", SPEAKS)
    price = np.where(feed == 0, np.where(time_us - T0 > 12 * SECOND_US, 102.0, 100.0), np.nan)
    found = FOLD.step(initial_states(FOLD.initial(), 3), ALL, time_us, feed, price)
    assert found.move.tolist() == [np.log(1.02)]
    assert found.usual_s.tolist() == [1.0]
    assert found.limit_s.tolist() == [5.0]


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(st.text("xx..", max_size=120), min_size=3, max_size=3),
    inner=st.lists(st.integers(0, 300), max_size=8),
    quiet=st.integers(0, 90),
)
def test_any_cut_gives_the_same_bits(lines, inner, quiet):
    lines = ["x" * 9 + lines[0][:20] + "." * quiet + lines[0], *lines[1:]]
    time_us, feed = updates(*lines)
    price = 100.0 + np.sin(np.arange(feed.size))
    groups = group_members(np.array([0, 0, 1]))
    fold = SilentFeeds(2.0, 2 * SECOND_US, 20 * SECOND_US, 3, 5)
    whole = initial_states(fold.initial(), 3)
    expected = astuple(fold.step(whole, groups, time_us, feed, price))
    states = initial_states(fold.initial(), 3)
    parts = []
    for start, stop in pairwise([0, *sorted(min(i, feed.size) for i in inner), feed.size]):
        states = states_from_bytes(states_to_bytes(states), fold.width)
        cut = slice(start, stop)
        parts.append(astuple(fold.step(states, groups, time_us[cut], feed[cut], price[cut])))
    joined = [np.concatenate(column) for column in zip(*parts, strict=True)]
    assert [c.tobytes() for c in joined] == [c.tobytes() for c in expected]
    assert states.tobytes() == whole.tobytes()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), rate=st.floats(0.2, 50.0))
def test_random_pauses_are_no_silence(seed, rate):
    # Poisson updates at any rate: with a factor of 15 a false one is rarer than one in 10**8.
    rng = np.random.default_rng(seed)
    times = [np.cumsum(rng.exponential(1e6 / rate, 2_000)) for _ in range(3)]
    time_us = np.concatenate(times).astype(np.int64) + T0
    feed = np.repeat(np.arange(3), 2_000)
    order = np.argsort(time_us, kind="stable")
    fold = SilentFeeds()
    before_the_shortest_ends = time_us[order] < T0 + min(t[-1] for t in times)
    chosen = order[before_the_shortest_ends]
    found = fold.step(
        initial_states(fold.initial(), 3), ALL, time_us[chosen], feed[chosen], np.ones(chosen.size)
    )
    assert len(found) == 0


def test_parameters_out_of_range_are_refused():
    with pytest.raises(ValueError, match="min_silence_us"):
        SilentFeeds(min_silence_us=0)
