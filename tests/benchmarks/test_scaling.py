"""The model of scaling against cases worked out by hand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "scaling.py"


def _load():
    spec = importlib.util.spec_from_file_location("benchmarks_scaling", FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


scaling = _load()
Cluster, Custom, Fixed, Managed = (
    scaling.Cluster,
    scaling.Custom,
    scaling.Fixed,
    scaling.Managed,
)

SMALL = Cluster(rate_per_core=50.0, drain_s=100)
"""An executor of two cores takes 100 messages a second; the two core nodes hold two."""


def steps(*parts: tuple[float, int]) -> np.ndarray:
    """Messages a second, each for so many seconds."""
    return np.concatenate([np.full(seconds // 10, float(rate)) for rate, seconds in parts])


def test_memory_of_yarn():
    """Two m5.large give 12,288 MB: driver 2,048, and 4,096 an executor; m5.xlarge 12,288 each."""
    assert [SMALL.room(n) for n in range(3)] == [2, 5, 8]
    assert [SMALL.nodes_for(n) for n in (1, 2, 3, 5, 6, 8)] == [0, 0, 1, 1, 2, 2]
    assert SMALL.free_share(2, 0) == pytest.approx(2_048 / 12_288)
    assert SMALL.free_share(1, 1) == pytest.approx(18_432 / 24_576)
    assert SMALL.free_share(5, 1) == pytest.approx(2_048 / 24_576)


def test_executors_share_cores():
    """Three executors of two cores on the four of an m5.xlarge and the four of the core nodes."""
    assert SMALL.rate(2, 0) == 200
    assert SMALL.rate(5, 1) == 400
    assert SMALL.rate(8, 2) == 600


def test_lag_is_the_age_of_the_oldest_message_waiting():
    """Twice what is taken for 100 s: 20,000 wait, the oldest since second 50; then nothing comes.

    100 executor-seconds later, at second 200, the last has been taken.
    """
    cluster = Cluster(rate_per_core=50.0, max_executors=2, min_executors=2)
    line = scaling.simulate(steps((400, 100), (0, 200)), cluster, Fixed(0))
    assert line.backlog[9] == 20_000
    assert line.lag_s[9] == pytest.approx(50)
    # At second 150, 30,000 of the 40,000 are taken: the next came at second 75.
    assert line.lag_s[14] == pytest.approx(75)
    assert line.backlog[19] == 0
    assert line.lag_s[19:].max() == 0


def test_nothing_is_lost():
    """Whole numbers, so that sums are exact: what came is what was taken and what waits."""
    load = np.random.default_rng(1).integers(0, 900, 2_000).astype(float)
    line = scaling.simulate(load, SMALL, Managed())
    assert line.backlog.min() == 0
    waiting = np.concatenate([[0.0], line.backlog])
    taken = load * 10 - np.diff(waiting)
    assert taken.min() >= 0
    assert taken.max() <= 10 * SMALL.rate(8, 2)


def test_cost_is_nodes_by_hours_by_price():
    """Two core nodes at 0.12 and three task nodes at 0.12 for two hours."""
    line = scaling.simulate(steps((10, 7_200)), SMALL, Fixed(3))
    assert line.usd == pytest.approx(2 * 2 * 0.12 + 3 * 2 * 0.12)


def test_custom_policy_goes_out_after_its_period_and_rests():
    """A load of 5 executors: with 2, 16.7 % are free; after 300 s a node is asked, it comes 300 s
    later; with it 5 run, 8.3 % are free, and the cool-down of 300 s ends the rest at 890 s.
    """
    line = scaling.simulate(steps((390, 1_800)), SMALL, Custom(max_nodes=2))
    asked_s = 10 * np.flatnonzero(np.diff(line.task_nodes))
    assert line.task_nodes[28] == 0
    assert line.task_nodes[29] == 1, "decided at the end of the first five minutes"
    assert line.executors[58] == 2
    assert line.executors[59] == 5, "the node came, 300 s after second 290"
    # Second 290 + 300 to start + 300 to rest = 890: the look at 890 s may act again.
    assert asked_s.tolist() == [280, 880]
    assert line.task_nodes[-1] == 2, "never more than its limit"


def test_custom_policy_goes_in_when_more_than_three_quarters_are_free():
    """Two task nodes, one executor: 6,144 of 36,864 MB are used, 83 % free: one goes. Then 6,144 of
    24,576 are used, and three quarters free are not more than three quarters: it stays.
    """
    policy = Custom(max_nodes=2)
    load = steps((790, 3_000), (10, 6_000))
    line = scaling.simulate(load, SMALL, policy)
    assert line.task_nodes[299] == 2
    assert line.task_nodes[-1] == 1
    assert line.executors[-1] == 1


def test_custom_policy_at_another_limit_gives_the_last_node_back():
    policy = Custom(max_nodes=2, in_above=0.7)
    line = scaling.simulate(steps((790, 3_000), (10, 6_000)), SMALL, policy)
    assert line.task_nodes[-1] == 0


def test_managed_scaling_goes_out_at_once_and_in_after_five_quiet_minutes():
    """A load of 3.9 executors needs a node from the first second; the node comes at 300 s."""
    line = scaling.simulate(steps((390, 1_000), (10, 2_000)), SMALL, Managed())
    assert line.task_nodes[0] >= 1
    assert line.executors[29] == 2
    assert line.executors[30] > 2
    # Two executors are enough from where 10 a second and what waits, in 100 s, are at most 200.
    enough = next(n for n in range(100, 300) if 10 + line.backlog[n - 1] / 100 <= 200)
    assert line.task_nodes[enough + 28] >= 1
    assert line.task_nodes[enough + 29] == 0, "thirty looks of ten seconds without a need"


def test_managed_scaling_forgets_a_node_on_its_way():
    """A peak of 100 s: the node that it asked for would come at 300 s, is needed till 100 s."""
    line = scaling.simulate(
        steps((250, 100), (10, 1_500)), Cluster(rate_per_core=50.0, drain_s=10_000), Managed()
    )
    assert line.task_nodes[5] == 1
    assert line.task_nodes[-1] == 0
