"""The quoted spread a minute, by hand and against plain sums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketlake.analytics.quoted_spread import QuotedSpread

MINUTE_US = 60_000_000


def fresh(series=1):
    return np.tile(QuotedSpread.initial(), (series, 1))


def step(fold, states, rows):
    series, times, bids, asks = (np.array(c) for c in zip(*rows, strict=True))
    samples = fold.step(states, series, times, bids.astype(float), asks.astype(float))
    return listed(samples)


def listed(samples):
    return list(
        zip(
            samples.series.tolist(),
            samples.open_time_us.tolist(),
            samples.spread_bps.tolist(),
            strict=True,
        )
    )


def test_a_sample_is_the_mean_of_its_quotes_in_bps_of_the_mid():
    fold, states = QuotedSpread(MINUTE_US), fresh()
    # Mid 100, spread 2: 200 bps. Mid 100, spread 1: 100 bps. Mean 150.
    first = [(0, 10, 99.0, 101.0), (0, MINUTE_US - 1, 99.5, 100.5)]
    assert step(fold, states, first) == []
    [(series, opened, bps)] = step(fold, states, [(0, MINUTE_US, 100.0, 100.0)])
    assert (series, opened) == (0, 0)
    assert bps == pytest.approx(150.0, rel=1e-15)
    # A locked quote is a spread of nought, and the last minute closes at its end, not before.
    assert listed(fold.advance(states, 2 * MINUTE_US - 1)) == []
    assert listed(fold.advance(states, 2 * MINUTE_US)) == [(0, MINUTE_US, 0.0)]
    assert states.tobytes() == fresh().tobytes()
    assert listed(fold.advance(states, 10 * MINUTE_US)) == []


def test_a_minute_without_a_quote_has_no_sample():
    fold, states = QuotedSpread(MINUTE_US), fresh()
    rows = [(0, 0, 99.0, 101.0), (0, 5 * MINUTE_US, 99.0, 101.0)]
    assert [s[1] for s in step(fold, states, rows)] == [0]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 300), st.integers(90, 99), st.integers(0, 9)),
        max_size=60,
    ),
    cut=st.integers(0, 60),
)
def test_samples_are_plain_means_wherever_the_rows_are_cut(rows, cut):
    rows = sorted(
        ((s, t * 1_000_000, float(b), float(b + w)) for s, t, b, w in rows), key=lambda r: r[1]
    )
    expected = {}
    for series, time_us, bid, ask in rows:
        bps = (ask - bid) / (0.5 * (ask + bid)) * 1e4
        expected.setdefault((series, time_us // MINUTE_US * MINUTE_US), []).append(bps)
    fold, states, found = QuotedSpread(MINUTE_US), fresh(3), []
    for part in (rows[:cut], rows[cut:]):
        if part:
            found += step(fold, states, part)
            states = states.copy()
            found += listed(fold.advance(states, part[-1][1]))
    found += listed(fold.advance(states, 2**52))
    assert len(found) == len(expected)
    for series, opened, bps in found:
        values = expected[series, opened]
        total = 0.0
        for value in values:
            total += value
        assert bps == total / len(values)
