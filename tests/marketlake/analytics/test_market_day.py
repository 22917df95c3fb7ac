"""The shape of a day by hand and against pandas."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketlake.analytics.market_day import link, minute_returns, volume_profile

NAN = float("nan")


def at(level):
    """A price in the middle of a level."""
    return math.exp((level + 0.5) * 0.001)


def test_profile_by_hand():
    # Levels 10 to 14 hold 1, 3, 5, 2, 0 and level 20 holds 1: twelve in all, of which 8.4 wanted.
    price = np.array([at(10), at(11), at(11), at(12), at(13), at(20)])
    profile = volume_profile(price, np.array([1.0, 2.0, 1.0, 5.0, 2.0, 1.0]))
    assert profile is not None
    assert profile.poc_price == pytest.approx(at(12))
    # 5, then 3 below, then 2 above: 10.
    assert profile.value_area_low == pytest.approx(math.exp(0.011))
    assert profile.value_area_high == pytest.approx(math.exp(0.014))


def test_profile_of_ties_grows_downwards_and_takes_the_lower_peak():
    price = np.array([at(level) for level in (1, 2, 3, 4)])
    profile = volume_profile(price, np.array([1.0, 4.0, 1.0, 4.0]))
    assert profile is not None
    assert profile.poc_price == pytest.approx(at(2))
    assert profile.value_area_low == pytest.approx(math.exp(0.001))
    assert profile.value_area_high == pytest.approx(math.exp(0.005))


def test_one_price_is_its_own_area_and_nothing_traded_has_no_profile():
    profile = volume_profile(np.array([at(7), NAN, -1.0]), np.array([2.0, 5.0, 5.0]))
    assert profile is not None
    assert profile.value_area_low < profile.poc_price < profile.value_area_high
    assert profile.value_area_high / profile.value_area_low == pytest.approx(math.exp(0.001))
    assert volume_profile(np.array([1.0, NAN]), np.array([0.0, 1.0])) is None


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**16), rows=st.integers(1, 200))
def test_the_value_area_holds_its_volume_and_no_edge_too_much(seed, rows):
    rng = np.random.default_rng(seed)
    price, volume = np.exp(rng.normal(0, 0.01, rows)), rng.random(rows)
    profile = volume_profile(price, volume)
    assert profile is not None
    inside = (price >= profile.value_area_low * (1 - 1e-12)) & (
        price < profile.value_area_high * (1 + 1e-12)
    )
    assert volume[inside].sum() >= 0.7 * volume.sum() * (1 - 1e-12)
    by_level = pd.Series(volume).groupby(np.floor(np.log(price) / 0.001)).sum()
    assert profile.poc_price == pytest.approx(at(by_level.idxmax()))


def test_returns_do_not_reach_over_gaps():
    returns = minute_returns(np.array([0, 1, 3, 4]), np.array([1.0, 2.0, 4.0, 2.0]), 6)
    np.testing.assert_allclose(returns, [NAN, math.log(2), NAN, NAN, -math.log(2), NAN])


@pytest.mark.parametrize("lead", [-5, -2, 0, 1, 4])
def test_a_lead_is_found_and_has_its_sign(lead):
    rng = np.random.default_rng(abs(lead))
    news = rng.normal(size=600)
    first = news[10:-10] + 0.1 * rng.normal(size=580)
    second = news[10 - lead : 590 - lead] + 0.1 * rng.normal(size=580)
    found = link(first, second)
    assert found.lead_minutes == lead
    assert found.lead_correlation > 0.95
    assert found.minutes == 580


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**16), rows=st.integers(0, 300))
def test_links_are_those_of_pandas(seed, rows):
    rng = np.random.default_rng(seed)
    one, other = rng.normal(size=rows), rng.normal(size=rows)
    one[rng.random(rows) < 0.2] = NAN
    other[rng.random(rows) < 0.2] = NAN
    found = link(one, other)
    # The second of ``lag`` minutes later beside the first.
    by_lag = {
        lag: pd.Series(one).corr(pd.Series(other).shift(-lag), min_periods=30)
        for lag in range(-5, 6)
    }
    np.testing.assert_allclose(found.correlation, by_lag[0], rtol=1e-9)
    known = {lag: abs(value) for lag, value in by_lag.items() if not math.isnan(value)}
    if known:
        assert abs(found.lead_correlation) == pytest.approx(max(known.values()), rel=1e-9)
        assert known[found.lead_minutes] == pytest.approx(max(known.values()), rel=1e-9)
    else:
        assert math.isnan(found.lead_correlation)


def test_venues_that_do_not_move_or_hardly_meet_have_no_correlation():
    flat = np.zeros(100)
    assert math.isnan(link(flat, flat).correlation)
    short = np.full(100, NAN)
    short[:29] = np.arange(29)
    found = link(short, np.arange(100.0))
    assert found.minutes == 29
    assert math.isnan(found.correlation)
    assert found.lead_minutes == 0
