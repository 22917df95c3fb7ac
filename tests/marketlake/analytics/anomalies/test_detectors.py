"""The detectors of the registry: against brute force, and what must give no alarm."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketlake.analytics.anomalies.exponential import ExponentialZScore
from marketlake.analytics.anomalies.registry import DETECTORS, detectors, reference
from marketlake.analytics.anomalies.robust import RobustZScore
from marketlake.analytics.anomalies.runs import ExceedanceRuns
from marketlake.analytics.anomalies.seasonal import SeasonalZScore
from marketlake.analytics.kernel import fold, initial_states
from marketlake.settings.model import AnomalySettings

MINUTE_US = 60_000_000
DAY_US = 86_400_000_000
MIDNIGHT_US = 1_678_492_800_000_000
"""2023-03-11 00:00 UTC."""

EVERY = [make(AnomalySettings()) for make in DETECTORS.values()]
each_detector = pytest.mark.parametrize("detector", EVERY, ids=list(DETECTORS))


def run(detector, values, time_us=None):
    values = np.asarray(values, np.float64)
    if time_us is None:
        time_us = MIDNIGHT_US + MINUTE_US * np.arange(len(values))
    columns = {"value": values, "open_time_us": np.asarray(time_us, np.float64)}
    return fold(detector, detector.initial(), *(columns[name] for name in detector.inputs))[1]


def before(values, i):
    earlier = values[:i]
    return earlier[np.isfinite(earlier)]


def with_gaps(seed, rows):
    rng = np.random.default_rng(seed)
    values = 100 + rng.standard_t(3, rows)
    values[rng.random(rows) < 0.05] = np.nan
    # A price on a coarse tick repeats itself: ties must not matter.
    values[rng.random(rows) < 0.3] = 100.0
    return values


@pytest.mark.parametrize(("half_life", "min_count"), [(30, 30), (1, 2), (7, 3)])
def test_exponential_agrees_with_weights_written_out(half_life, min_count):
    values = with_gaps(1, 600)
    expected = np.full((3, len(values)), np.nan)
    for i, x in enumerate(values):
        known = before(values, i)
        if np.isfinite(x) and len(known) >= min_count:
            weight = 0.5 ** (np.arange(len(known))[::-1] / half_life)
            mean = np.average(known, weights=weight)
            total = weight.sum()
            variance = (weight * (known - mean) ** 2).sum() / (total - (weight**2).sum() / total)
            expected[:, i] = (x - mean) / np.sqrt(variance), mean, np.sqrt(variance)
    ours = run(ExponentialZScore(half_life, min_count), values)
    np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-9)


def test_exponential_agrees_with_pandas():
    values = np.random.default_rng(3).normal(size=500)
    _, mean, scale = run(ExponentialZScore(20, 2), values)
    weighted = pd.Series(values).ewm(halflife=20)
    np.testing.assert_allclose(mean[2:], weighted.mean()[1:-1], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(scale[2:], weighted.std()[1:-1], rtol=1e-10)


@pytest.mark.parametrize(("window", "min_count"), [(40, 30), (3, 3), (4, 3), (5, 4), (30, 30)])
def test_robust_agrees_with_numpy_medians(window, min_count):
    values = with_gaps(2, 1_000)
    expected = np.full((3, len(values)), np.nan)
    for i, x in enumerate(values):
        known = before(values, i)[-window:]
        if np.isfinite(x) and len(known) >= min_count:
            middle = np.median(known)
            scale = 1.4826 * np.median(np.abs(known - middle))
            z = (x - middle) / scale if scale > 1e-10 else np.nan
            expected[:, i] = z, middle, scale
    ours = run(RobustZScore(window, min_count), values)
    np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(
    values=st.lists(
        st.integers(-3, 3) | st.floats(-1e6, 1e6, allow_subnormal=False), min_size=3, max_size=40
    ),
    window=st.integers(3, 9),
)
def test_robust_medians_are_exact_whatever_the_ties(values, window):
    values = np.array([*values, 0.0], np.float64)
    _, middle, scale = run(RobustZScore(window, 3), values)
    known = values[:-1][-window:]
    assert middle[-1] == np.median(known)
    np.testing.assert_allclose(
        scale[-1], 1.4826 * np.median(np.abs(known - np.median(known))), rtol=1e-9, atol=1e-9
    )


def test_robust_sees_the_second_outlier_where_a_deviation_is_blinded():
    values = np.random.default_rng(5).normal(size=100)
    values[[80, 81, 82]] = 50.0
    robust = run(RobustZScore(40, 30), values)[0]
    plain = run(detectors(["zscore"], AnomalySettings())[0], values)[0]
    assert (robust[[80, 81, 82]] > 20).all()
    assert plain[80] > 20
    assert plain[82] < 6


def test_seasonal_by_hand():
    # Two slots a day; in the first of the second day stand two values of the day before.
    detector = SeasonalZScore(2, 2, prior_count=2.0, overall_half_life=10**9, half_life_days=10**9)
    half = DAY_US // 2
    times = MIDNIGHT_US + np.array([0, 1, half, half + 1, DAY_US, DAY_US + 1])
    z, expected, scale = run(detector, [10.0, 14.0, 0.0, 4.0, 20.0, 20.0], times)
    # All four: mean 7, sample variance (9 + 49 + 49 + 9) / 3. Slot: mean 12, variance 8 / 2.
    # It weighs 2 against a prior of 2: half.
    assert expected[4] == pytest.approx(7 + 0.5 * (12 - 7))
    variance = 116 / 3 + 0.5 * (4 - 116 / 3)
    assert scale[4] == pytest.approx(np.sqrt(variance))
    assert z[4] == pytest.approx((20 - 9.5) / np.sqrt(variance))
    # A value of today moves the overall level, and not yet the slot.
    assert expected[5] == pytest.approx(9.6 + 0.5 * (12 - 9.6))


def test_seasonal_learns_the_hour_and_a_plain_score_does_not():
    rng = np.random.default_rng(8)
    minutes = np.arange(15 * 1_440)
    busy = 3.0 * ((minutes // 60) % 24 == 14)
    values = rng.normal(size=minutes.size) + busy
    values[-600] += 3.0
    hour = (minutes[-600] // 60) % 24
    assert hour == 14
    times = MIDNIGHT_US + MINUTE_US * minutes
    expected = run(SeasonalZScore(24, 30), values, times)[1]
    last_day = minutes >= 14 * 1_440
    at_14 = (minutes // 60) % 24 == 14
    assert np.abs(expected[last_day & at_14] - 3.0).max() < 0.5
    assert np.abs(expected[last_day & ~at_14]).max() < 0.25


def test_seasonal_slots_forget_by_half_lives_of_visits():
    detector = SeasonalZScore(1, 2, prior_count=1e-9, overall_half_life=10**9, half_life_days=1)
    times = MIDNIGHT_US + DAY_US * np.repeat(np.arange(4), 2)
    values = [0.0, 0.0, 8.0, 8.0, 8.0, 8.0, 1.0, 1.0]
    _, expected, _ = run(detector, values, times)
    # Weights of the days before the fourth: 2, 2 / 2 and 2 / 4 of what they were.
    assert expected[6] == pytest.approx((2 * 8 + 1 * 8 + 0.5 * 0) / 3.5)


@each_detector
@given(
    level=st.sampled_from([0.0, 0.1, 1.0, 23_000.7, 1e-8, -3.3, 1e200]),
    seed=st.integers(0, 2**16),
    rows=st.integers(0, 400),
)
@settings(max_examples=25, deadline=None)
def test_a_constant_gives_no_alarm_with_gaps_and_at_the_jump_that_ends_it(
    detector, level, seed, rows
):
    rng = np.random.default_rng(seed)
    values = np.full(rows + 1, level)
    values[rng.random(rows + 1) < 0.2] = np.nan
    values[-1] = level * 1.5 + 1e-9
    times = MIDNIGHT_US + np.cumsum(rng.choice([1, 1, 1, 60, 3_000], rows + 1)) * MINUTE_US
    assert np.isnan(run(detector, values, times)[0]).all()


@each_detector
def test_rounding_of_a_constant_is_not_movement(detector):
    # 0.1 * 3 and 0.3 differ in the last bit.
    values = np.where(np.arange(200) % 2, 0.1 * 3, 0.3)
    assert np.isnan(run(detector, values)[0]).all()


@each_detector
@given(seed=st.integers(0, 2**16), rows=st.integers(0, 200))
@settings(max_examples=20, deadline=None)
def test_no_alarm_before_the_warm_up_whatever_comes(detector, seed, rows):
    rng = np.random.default_rng(seed)
    values = rng.standard_cauchy(rows) * 10.0 ** rng.integers(-8, 8, rows)
    values[rng.random(rows) < 0.3] = np.nan
    seen = np.cumsum(np.isfinite(values)) - np.isfinite(values)
    z = run(detector, values)[0]
    assert np.isnan(z[seen < detector.warm_up]).all()
    assert not np.isinf(z).any()


@each_detector
def test_values_near_the_end_of_the_doubles_never_give_infinity(detector):
    values = np.random.default_rng(4).normal(size=300) * 1e160
    values[150] = 1e308
    values[170] = np.inf
    assert not np.isinf(run(detector, values)[0]).any()


@each_detector
def test_one_jump_is_one_event_and_quiet_is_none(detector):
    rng = np.random.default_rng(21)
    values = rng.normal(size=2_000)
    runs = ExceedanceRuns(6, 3)
    times = MIDNIGHT_US + MINUTE_US * np.arange(2_000)

    def events(of):
        z, expected, scale = run(detector, of, times)
        states = initial_states(runs.initial(), 1)
        ended = runs.step(states, np.zeros(2_000, np.int64), times, of, expected, scale, z)
        return [*ended.start_us, *runs.flush(states).start_us]

    assert events(values) == []
    values[1_500:1_503] += 30.0
    assert events(values) == [times[1_500]]


def test_the_settings_name_the_detectors_of_the_registry():
    literal = get_args(AnomalySettings.model_fields["detectors"].annotation)[0]
    assert get_args(literal) == tuple(DETECTORS) == AnomalySettings().detectors


def test_a_detector_that_is_not_there_is_named():
    with pytest.raises(KeyError, match="no detector 'zscor'; there are zscore, ewma"):
        detectors(["zscor"], AnomalySettings())


def test_the_reference_has_every_detector():
    page = reference(AnomalySettings())
    for name, detector in zip(DETECTORS, EVERY, strict=True):
        assert f"## {name}" in page
        assert detector.name in page
    assert "Parameters" not in page


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ExponentialZScore(0, 30), "half_life"),
        (lambda: ExponentialZScore(30, 1), "min_count"),
        (lambda: ExponentialZScore(30, 30, -1.0), "scale_min"),
        (lambda: RobustZScore(40, 2), "min_count from 3"),
        (lambda: RobustZScore(20, 30), "min_count from 3"),
        (lambda: RobustZScore(40, 30, np.nan), "scale_min"),
        (lambda: SeasonalZScore(7), "slots from 1 to 288"),
        (lambda: SeasonalZScore(0), "slots from 1 to 288"),
        (lambda: SeasonalZScore(24, 1), "min_count"),
        (lambda: SeasonalZScore(24, 30, 0.0), "prior_count"),
        (lambda: SeasonalZScore(24, 30, 60.0, 0), "half-lives"),
        (lambda: SeasonalZScore(24, 30, scale_min=-1.0), "scale_min"),
    ],
)
def test_parameters_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
