"""Metrics of bars by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from marketlake.analytics.bar_metrics import BarMetrics

KERNEL = BarMetrics()


def metrics(bars, states=None, series=None):
    """Metrics of bars ``(high, low, close, volume)``, by name."""
    states = np.tile(KERNEL.initial(), (2, 1)) if states is None else states
    series = np.zeros(len(bars), np.int64) if series is None else np.array(series)
    columns = [np.array(c, np.float64) for c in zip(*bars, strict=True)]
    out = KERNEL.step(states, series, *columns)
    return dict(zip(KERNEL.outputs, out.tolist(), strict=True))


def test_the_first_bar_has_nothing_to_be_compared_with():
    out = metrics([(110.0, 90.0, 100.0, 5.0)])
    assert math.isnan(out["return"][0])
    assert math.isnan(out["excursion"][0])


def test_return_and_excursion_are_logs_against_the_close_before():
    out = metrics(
        [(100.0, 100.0, 100.0, 1.0), (150.0, 90.0, 120.0, 1.0), (121.0, 60.0, 118.0, 1.0)]
    )
    assert out["return"][1:] == pytest.approx([math.log(1.2), math.log(118 / 120)])
    # Up 50 of 100 is farther than down 10; then down to half is farther than up one.
    assert out["excursion"][1:] == pytest.approx([math.log(1.5), math.log(0.5)])


def test_an_excursion_is_measured_in_logs_and_a_tie_goes_down():
    # 200 and 50 lie equally far from 100, in logs.
    out = metrics([(100.0, 100.0, 100.0, 1.0), (200.0, 50.0, 100.0, 1.0)])
    assert out["excursion"][1] == math.log(0.5)


def test_a_bar_without_volume_is_no_observation_and_carries_no_price_on():
    out = metrics(
        [(100.0, 100.0, 100.0, 1.0), (999.0, 999.0, 999.0, 0.0), (110.0, 110.0, 110.0, 1.0)]
    )
    assert math.isnan(out["return"][1])
    assert math.isnan(out["excursion"][1])
    assert out["return"][2] == pytest.approx(math.log(1.1))


def test_series_do_not_see_each_other():
    bars = [(100.0, 100.0, 100.0, 1.0), (7.0, 7.0, 7.0, 1.0), (110.0, 110.0, 110.0, 1.0)]
    out = metrics(bars, series=[0, 1, 0])
    assert math.isnan(out["return"][1])
    assert out["return"][2] == pytest.approx(math.log(1.1))


def test_volume_is_its_log_and_unknown_without_trades():
    out = metrics([(1.0, 1.0, 1.0, math.e**3), (1.0, 1.0, 1.0, 0.0)])
    assert out["volume"][0] == pytest.approx(3.0)
    assert math.isnan(out["volume"][1])


def test_the_peg_is_the_price_farther_from_one():
    out = metrics([(1.001, 0.998, 1.0, 1.0), (1.003, 0.998, 1.0, 1.0), (1.5, 0.5, 1.0, 0.0)])
    assert out["peg"][:2] == [0.998, 1.003]
    assert math.isnan(out["peg"][2])


def test_cut_anywhere_the_state_goes_on():
    bars = [(100.0 + i, 99.0, 100.0 + i, float(i % 3)) for i in range(20)]
    whole = metrics(bars)
    states = np.tile(KERNEL.initial(), (2, 1))
    parts = [metrics([bar], states) for bar in bars]
    for name in KERNEL.outputs:
        np.testing.assert_array_equal([p[name][0] for p in parts], whole[name])
