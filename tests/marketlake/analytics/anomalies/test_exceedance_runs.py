"""Runs of unusual bars, drawn as time lines: one character a bar."""

from __future__ import annotations

from dataclasses import astuple
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketlake.analytics.anomalies.runs import ExceedanceRuns, severity
from marketlake.analytics.kernel import (
    initial_states,
    states_from_bytes,
    states_to_bytes,
)

MINUTE_US = 60_000_000
T0 = 1_678_500_000_000_000
RUNS = ExceedanceRuns(enter=3, exit=2)

# A letter is a negative score of its place in the alphabet, a dot is a NaN.
SCORES = {str(d): float(d) for d in range(10)} | {c: -float(i + 1) for i, c in enumerate("abcdefg")}
SCORES["."] = np.nan


def scores(line):
    return np.array([SCORES[c] for c in line])


def play(runs, z, series=None, states=None):
    n = len(z)
    series = np.zeros(n, dtype=np.int64) if series is None else series
    states = initial_states(runs.initial(), series.max(initial=0) + 1) if states is None else states
    time_us = T0 + MINUTE_US * np.arange(n)
    rows = np.arange(n, dtype=np.float64)
    return states, runs.step(states, series, time_us, rows, rows + 0.25, rows + 0.5, z)


def drawn(events, length):
    """Draw runs as brackets: ``[--]``, and ``|`` for a run of one bar."""
    line = [" "] * length
    for start, end in zip(events.start_us, events.end_us, strict=True):
        first, last = (int(t - T0) // MINUTE_US for t in (start, end))
        line[first : last + 1] = "-" * (last + 1 - first)
        line[first], line[last] = ("[", "]") if last > first else ("|", "|")
    return "".join(line).rstrip()


@pytest.mark.parametrize(
    ("z", "closed", "still_open"),
    [
        #  bars         closed by a bar   closed by the flush
        ("0012210", "", ""),  # never reaches enter
        ("0034210", "  [-]", ""),  # holds down to exit
        ("0032230", "  [--]", ""),  # exit is inclusive, and a run does not end at enter
        ("0031310", "  | |", ""),  # falls below exit in between: two runs
        ("0333333", "", " [----]"),  # the end of the input closes it
        ("3000000", "|", ""),  # the first bar of a series
        ("00cba00", "  []", ""),  # downwards
        ("003c300", "  |||", ""),  # the sign turns: each its own run
        ("0034b00", "  []", ""),  # turns, but not far enough to start another
        ("0034.30", "  [] |", ""),  # a NaN ends a run
        ("..3....", "  |", ""),
        (".......", "", ""),
        ("0000003", "", "      |"),
    ],
)
def test_runs_as_drawn(z, closed, still_open):
    states, events = play(RUNS, scores(z))
    assert drawn(events, len(z)) == closed
    assert drawn(RUNS.flush(states), len(z)) == still_open
    assert (states == 0).all()


def test_an_event_tells_the_first_bar_of_the_peak():
    _, events = play(RUNS, scores("0352540"))
    assert len(events) == 1
    # The peak, 5, is first reached in the bar of row 2.
    assert (events.value[0], events.expected[0], events.scale[0]) == (2.0, 2.25, 2.5)
    assert events.score[0] == 5.0
    assert events.bars[0] == 5
    assert events.start_us[0] == T0 + MINUTE_US
    assert events.end_us[0] == T0 + 5 * MINUTE_US
    _, down = play(RUNS, scores("cdc0"))
    assert down.score[0] == -4.0


@pytest.mark.parametrize(
    ("max_bars", "z", "closed", "still_open"),
    [
        (3, "0333333320", " [-][-][]", ""),  # the bar after a cut may start the next run
        (3, "0333200000", " [-]", ""),  # 2 would hold a run, but starts none
        (1, "0332300000", " || |", ""),
        (1, "03c0000000", " ||", ""),
    ],
)
def test_a_run_is_cut_at_max_bars(max_bars, z, closed, still_open):
    runs = ExceedanceRuns(3, 2, max_bars=max_bars)
    states, events = play(runs, scores(z))
    assert drawn(events, len(z)) == closed
    assert drawn(runs.flush(states), len(z)) == still_open


def test_series_have_their_own_runs_and_flush_takes_some_of_them():
    series = np.array([2, 0, 1, 0, 2, 1])
    states, events = play(RUNS, scores("333033"), series)
    assert events.series.tolist() == [0]
    some = RUNS.flush(states, np.array([1, 0]))
    assert some.series.tolist() == [1]
    rest = RUNS.flush(states)
    assert rest.series.tolist() == [2]
    assert rest.bars.tolist() == [2]


def test_flush_is_in_order_of_start_then_series():
    series = np.array([1, 2, 0])
    states, _ = play(RUNS, scores("333"), series)
    states[2, 2] = states[1, 2]
    assert RUNS.flush(states).series.tolist() == [1, 2, 0]


@settings(max_examples=40, deadline=None)
@given(
    line=st.text(alphabet="0123abcd.", max_size=60),
    inner=st.lists(st.integers(0, 60), max_size=6),
    max_bars=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_any_cut_gives_the_same_events(line, inner, max_bars, seed):
    runs = ExceedanceRuns(3, 2, max_bars=max_bars)
    z = scores(line)
    series = np.random.default_rng(seed).integers(0, 3, len(z))
    whole = initial_states(runs.initial(), 3)
    _, expected = play(runs, z, series, whole)
    states = initial_states(runs.initial(), 3)
    bounds = [0, *sorted(min(i, len(z)) for i in inner), len(z)]
    columns = [T0 + MINUTE_US * np.arange(len(z)), *(np.arange(len(z)) + d for d in (0, 0.25, 0.5))]
    parts = []
    for start, end in pairwise(bounds):
        states = states_from_bytes(states_to_bytes(states), runs.width)
        cut = slice(start, end)
        parts.append(astuple(runs.step(states, series[cut], *(c[cut] for c in columns), z[cut])))
    joined = [np.concatenate(column) for column in zip(*parts, strict=True)]
    assert [c.tobytes() for c in joined] == [c.tobytes() for c in astuple(expected)]
    assert states.tobytes() == whole.tobytes()


def test_severity_by_size_of_the_score():
    score = np.array([3.0, -5.99, 6.0, -9.99, 10.0, -300.0])
    assert severity(score).tolist() == ["low", "low", "medium", "medium", "high", "high"]
    assert severity(np.array([3.0]), medium=2, high=3).tolist() == ["high"]
    with pytest.raises(ValueError, match="NaN"):
        severity(np.array([np.nan]))


@pytest.mark.parametrize("parameters", [(3, 0), (2, 3), (3, 2, 0)])
def test_parameters_out_of_range_are_refused(parameters):
    with pytest.raises(ValueError, match="exceedance runs need"):
        ExceedanceRuns(*parameters)
