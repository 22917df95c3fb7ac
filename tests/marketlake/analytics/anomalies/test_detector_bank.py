"""All detectors in one bank: what each gives alone, any cut, and what the other venues did."""

from __future__ import annotations

from dataclasses import astuple
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketlake.analytics.anomalies.bank import DetectorBank
from marketlake.analytics.anomalies.peers import peer_values
from marketlake.analytics.anomalies.registry import DETECTORS
from marketlake.analytics.anomalies.runs import ExceedanceRuns
from marketlake.analytics.keyed import KeyedStates
from marketlake.settings.model import AnomalySettings

MINUTE_US = 60_000_000
T0 = 1_678_492_800_000_000
SHORT = AnomalySettings(
    window_bars=8, min_bars=3, half_life_bars=4, robust_window_bars=6, seasonal_slots=288
)
RUNS = ExceedanceRuns(2.0, 1.0, 4)
METRICS = {"one": 0.0, "two": 0.3}
SERIES = 5


def bank(names=tuple(DETECTORS)):
    return DetectorBank({DETECTORS[name](SHORT): RUNS for name in names}, METRICS)


def states_of(some_bank):
    states = KeyedStates(some_bank.blocks())
    for number in range(SERIES):
        states.index((f"venue{number}", "A-B", "1m"))
    return states


def minutes(seed, count):
    """Every series has a bar in most minutes; the rows of a minute stand together."""
    rng = np.random.default_rng(seed)
    minute, series = (a.ravel() for a in np.mgrid[:count, :SERIES])
    kept = rng.random(minute.size) < 0.9
    minute, series = minute[kept], series[kept]
    values = rng.standard_t(2, (2, minute.size))
    values[rng.random(values.shape) < 0.05] = np.nan
    return minute, series, T0 + MINUTE_US * minute, values


def listed(found):
    rows = []
    for part in found:
        columns = [column.tolist() for column in astuple(part.runs)]
        rows += [
            (part.metric, part.detector, *map(repr, row)) for row in zip(*columns, strict=True)
        ]
    return sorted(rows)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    count=st.integers(0, 60),
    inner=st.lists(st.integers(0, 60), max_size=8),
)
def test_cut_between_any_minutes_gives_the_same_bits(seed, count, inner):
    some = bank()
    minute, series, open_us, values = minutes(seed, count)
    group = np.zeros(series.size, np.int64)
    whole = states_of(some)
    expected = some.step(whole.matrix, series, open_us, values, group, np.ones(series.size))
    end = whole.words()
    expected += some.flush(whole.matrix)

    states, found = states_of(some), []
    for start, stop in pairwise([0, *sorted(min(i, count) for i in inner), count]):
        again = states_of(some)
        again.restore(states.keys, states.words())
        states = again
        cut = (minute >= start) & (minute < stop)
        found += some.step(
            states.matrix, series[cut], open_us[cut], values[:, cut], group[cut], np.ones(cut.sum())
        )
    assert states.words().tobytes() == end.tobytes()
    found += some.flush(states.matrix)
    assert listed(found) == listed(expected)


@pytest.mark.parametrize("name", list(DETECTORS))
def test_a_detector_gives_in_the_bank_what_it_gives_alone(name):
    _, series, open_us, values = minutes(3, 80)
    group = np.zeros(series.size, np.int64)
    some = bank()
    found = [
        part
        for part in some.step(
            states_of(some).matrix, series, open_us, values, group, np.ones(series.size)
        )
        if part.detector == DETECTORS[name](SHORT).name
    ]
    assert found
    kernel = DETECTORS[name](SHORT)
    alone = []
    for metric, (label, floor) in enumerate(METRICS.items()):
        columns = {"value": values[metric], "open_time_us": open_us.astype(float)}
        z, expected, scale = kernel.step(
            np.tile(kernel.initial(), (SERIES, 1)), series, *(columns[n] for n in kernel.inputs)
        )
        z = np.where(scale > floor, z, np.nan)
        runs = RUNS.step(
            np.zeros((SERIES, RUNS.width)), series, open_us, values[metric], expected, scale, z
        )
        alone += [
            (label, repr(s), repr(t), repr(v), repr(score))
            for s, t, v, score in zip(
                runs.series.tolist(), runs.start_us.tolist(), runs.value.tolist(),
                runs.score.tolist(), strict=True,
            )
        ]  # fmt: skip
    ours = [(row[0], row[2], row[3], row[5], row[8]) for row in listed(found)]
    assert sorted(ours) == sorted(alone)


def test_a_scale_up_to_the_metrics_floor_is_not_scored():
    n = 40
    values = np.vstack([np.where(np.arange(n) % 2, 0.2, 0.0)] * 2)
    values[:, -1] = 9.0
    some = bank(["zscore"])
    states = states_of(some)
    series = np.zeros(n, np.int64)
    some.step(states.matrix, series, T0 + MINUTE_US * np.arange(n), values, series, np.ones(n))
    ended = some.flush(states.matrix)
    assert [part.metric for part in ended] == ["one"]


def test_a_wider_scale_is_a_smaller_score_of_the_same_value():
    _, series, open_us, values = minutes(5, 60)
    group = np.zeros(series.size, np.int64)

    def found(factor):
        some = bank(["zscore"])
        states = states_of(some)
        widen = np.full(series.size, factor)
        parts = some.step(states.matrix, series, open_us, values, group, widen)
        return {
            (part.metric, *row[:2]): row[2:]
            for part in [*parts, *some.flush(states.matrix)]
            for row in zip(
                part.runs.series, part.runs.start_us, part.runs.value, part.runs.expected,
                part.runs.scale, part.runs.score, strict=True,
            )
        }  # fmt: skip

    plain, wide = found(1.0), found(2.0)
    assert 0 < len(wide) < len(plain)
    for value, expected, scale, score in wide.values():
        assert abs(score) >= RUNS.enter
        np.testing.assert_allclose(score, (value - expected) / scale, rtol=1e-12)


def test_an_event_tells_what_the_others_did_at_its_peak():
    some = bank(["zscore"])
    states = states_of(some)
    minute, series = (a.ravel() for a in np.mgrid[:20, :4])
    rng = np.random.default_rng(0)
    values = rng.normal(scale=0.5, size=(2, minute.size))
    at = 19 * 4
    values[0, at : at + 4] = 50.0, 1.0, -3.0, 2.0
    values[0, at + 3] = np.nan
    # The last series is of another instrument.
    group = np.array([0, 0, 0, 1])[series]
    some.step(states.matrix, series, T0 + MINUTE_US * minute, values, group, np.ones(minute.size))
    (event,) = [
        part
        for part in some.flush(states.matrix)
        if part.metric == "one" and part.runs.score[0] > 9
    ]
    mine = event.runs.take(event.runs.series == 0, event.runs.series)
    assert mine.value.tolist() == [50.0]
    assert mine.peers.tolist() == [2]
    assert mine.peers_value.tolist() == [-1.0]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**16), rows=st.integers(0, 60))
def test_peers_are_those_of_brute_force(seed, rows):
    rng = np.random.default_rng(seed)
    group, time_us = rng.integers(0, 3, rows), T0 + rng.integers(0, 4, rows)
    values = rng.normal(size=(2, rows))
    values[rng.random((2, rows)) < 0.2] = np.nan
    asked = rng.random(rows) < 0.4
    counts, medians = peer_values(group, time_us, asked, values)
    for m in range(2):
        for i in range(rows):
            others = (group == group[i]) & (time_us == time_us[i]) & np.isfinite(values[m])
            others[i] = False
            size = int(others.sum()) if asked[i] else 0
            assert counts[m, i] == size
            if size:
                assert medians[m, i] == np.median(values[m][others])
            else:
                assert np.isnan(medians[m, i])


def test_states_that_are_a_copy_are_refused():
    some = bank(["zscore"])
    states = states_of(some)
    one = np.zeros(1, np.int64)
    with pytest.raises(ValueError, match="contiguous"):
        some.step(
            lambda name: np.asfortranarray(states.matrix(name)),
            one,
            one,
            np.zeros((2, 1)),
            one,
            np.ones(1),
        )  # fmt: skip
