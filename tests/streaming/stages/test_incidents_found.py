"""The simulator's incidents are found, called by their names, and quiet markets stay quiet."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"


@pytest.fixture(scope="module")
def measured():
    """Two markets and their quiet twins, as ``benchmarks/anomalies.py`` runs twenty of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        benchmark: ModuleType = importlib.import_module("anomalies")
        result = benchmark.measure(2, 1.5, ["pandas z-score"])
    rows = {row["detector"]: row for row in result.rows()}
    return result, rows, benchmark


def test_the_default_set_finds_what_it_must_and_little_else(measured):
    result, rows, benchmark = measured
    for kind in benchmark.MEANT:
        assert result.incidents[kind] > 0, kind
        assert rows["default set"][kind] >= 0.8, kind
    assert rows["default set"]["precision"] >= 0.9


def test_incidents_are_called_by_their_names(measured):
    _, rows, _ = measured
    for kind in ("bad_print", "flash_crash", "depeg"):
        assert rows["cross_venue"]["named"][kind] >= 0.8, kind
    assert rows["silence"]["named"]["stale_venue"] >= 0.8


def test_a_plain_score_of_closes_sees_no_bad_print_and_the_set_does(measured):
    _, rows, _ = measured
    assert rows["pandas z-score"]["bad_print"] < 0.5 <= rows["default set"]["bad_print"]


def test_quiet_markets_stay_quiet(measured):
    _, rows, _ = measured
    # A listing and day.
    assert rows["default set"]["false_a_day"] < 5.0
    assert rows["across venues"]["false_a_day"] < 1.0
