"""The rolling z-score against numpy over slices, and the values that must give no alarm."""

from __future__ import annotations

import numpy as np
import pytest

from marketlake.analytics.anomalies.rolling_zscore import RollingZScore
from marketlake.analytics.kernel import fold


def run(kernel, values):
    return fold(kernel, kernel.initial(), np.asarray(values, dtype=np.float64))[1]


def by_slices(values, window, min_count):
    out = np.full((3, len(values)), np.nan)
    for i, x in enumerate(values):
        before = values[:i][np.isfinite(values[:i])][-window:]
        if np.isfinite(x) and len(before) >= min_count:
            mean, scale = before.mean(), before.std(ddof=1)
            out[:, i] = (x - mean) / scale, mean, scale
    return out


@pytest.mark.parametrize(("window", "min_count"), [(60, 30), (5, 2), (7, 7), (2, 2)])
def test_agrees_with_numpy_over_slices(window, min_count):
    rng = np.random.default_rng(9)
    values = 100 + rng.normal(size=1_000)
    values[rng.random(1_000) < 0.05] = np.nan
    ours = run(RollingZScore(window, min_count), values)
    np.testing.assert_allclose(ours, by_slices(values, window, min_count), rtol=1e-9, atol=1e-11)


def test_by_hand():
    # 1, 3 have mean 2 and sample deviation sqrt(2); then 3, 2 have 2.5 and sqrt(0.5).
    out = run(RollingZScore(2, 2), [1.0, 3.0, 2.0, 4.0])
    np.testing.assert_allclose(out[0], [np.nan, np.nan, 0.0, 1.5 / np.sqrt(0.5)], rtol=1e-15)
    np.testing.assert_allclose(out[1], [np.nan, np.nan, 2.0, 2.5])
    np.testing.assert_allclose(out[2], [np.nan, np.nan, np.sqrt(2.0), np.sqrt(0.5)])


@pytest.mark.parametrize("level", [0.0, 0.1, 1.0, 23_000.7, 1e-8, -3.3, 1e200])
def test_a_constant_gives_no_alarm_and_neither_does_the_jump_that_ends_it(level):
    values = np.full(300, level)
    values[200:] = level * 1.5 + 1e-9
    z, expected, scale = run(RollingZScore(60, 30), values)
    assert np.isnan(z[:201]).all()
    assert (expected[30:201] == level).all()
    assert (scale[30:201] == 0.0).all()
    assert not np.isinf(z).any()


def test_rounding_of_a_constant_is_not_movement():
    # 0.1 * 3 and 0.3 differ in the last bit.
    values = np.where(np.arange(200) % 2, 0.1 * 3, 0.3)
    assert len(set(values)) == 2
    assert np.isnan(run(RollingZScore(60, 30), values)[0]).all()


def test_a_scale_up_to_scale_min_is_not_scored():
    values = np.where(np.arange(100) % 2, 1e-5, 0.0)
    values[-1] = 1.0
    assert np.nanmax(run(RollingZScore(60, 30), values)[0]) > 1_000
    assert np.isnan(run(RollingZScore(60, 30, scale_min=1e-5), values)[0]).all()


def test_one_outlier_stands_out_and_leaves_no_trace_once_it_has_left_the_window():
    rng = np.random.default_rng(2)
    values = rng.normal(size=400)
    values[200] = 1e9
    z = run(RollingZScore(60, 30), values)[0]
    assert z[200] > 1e8
    without = values.copy()
    without[200] = 0.0
    after = slice(261, None)
    np.testing.assert_allclose(
        z[after], run(RollingZScore(60, 30), without)[0][after], rtol=1e-12, atol=1e-13
    )


def test_values_near_the_end_of_the_doubles_never_give_infinity():
    rng = np.random.default_rng(4)
    values = rng.normal(size=200) * 1e160
    values[150] = 1e308
    values[170] = np.inf
    assert not np.isinf(run(RollingZScore(60, 30), values)[0]).any()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [((60, 1), "min_count from 2"), ((20, 30), "min_count from 2"), ((60, 30, -1.0), "scale_min")],
)
def test_parameters_out_of_range_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        RollingZScore(*parameters)
