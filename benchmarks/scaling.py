"""What two ways of scaling would do with a recorded load: nodes over time, cost and lag.

A model, not a measurement: no cluster is asked. `simulate` steps through a load of messages a
second. Spark wants as many executors as drain it; they need nodes; nodes take minutes to come.

**Custom policy**: every five minutes, the least that EMR allows, the mean of YARN's free memory of
those five minutes is looked at: out below 25 %, in above 75 %, and nothing during a cool-down.

**Managed scaling**: AWS documents that it looks every 5 to 10 seconds at what YARN is asked for,
not its formula. The model: out at once to what the waiting executors need, in to the most that was
needed during `in_after_s`.

Run: ``python benchmarks/scaling.py`` with ``MARKETLAKE_DATA``; prints a table and, with ``--csv
FILE``, the nodes of each minute.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow.parquet as pq

from marketlake.settings import environment

STEP_S = 10
"""Seconds a step: the finest that managed scaling looks at."""


@dataclass(frozen=True)
class Cluster:
    """What nodes give and cost: two m5.large that are always there, and m5.xlarge on spot.

    The sizes of driver and executors are the defaults of the cluster's settings.

    Attributes
    ----------
    core_mb, task_mb : int
        YARN's memory of a node, as EMR sets it for m5.large and m5.xlarge.
    rate_per_core : float
        Messages a second that a core takes.
    start_s : int
        From the request of a node to its first container.
    drain_s : int
        Spark asks for as many executors as would take the backlog in so long.
    release_s : int
        An executor without work is given back after so long.
    core_usd_h, task_usd_h : float
        Price of a node an hour, EMR's part included.
    """

    core_nodes: int = 2
    max_task_nodes: int = 8
    core_mb: int = 6_144
    task_mb: int = 12_288
    master_mb: int = 2_048
    executor_mb: int = 4_096
    executor_cores: int = 2
    core_vcpus: int = 2
    task_vcpus: int = 4
    min_executors: int = 1
    max_executors: int = 8
    rate_per_core: float = 32_700.0
    start_s: int = 300
    drain_s: int = 60
    release_s: int = 60
    core_usd_h: float = 0.12
    task_usd_h: float = 0.12

    def rate(self, executors: int, task_nodes: int) -> float:
        """Messages a second that executors take; YARN counts memory, so they may share cores."""
        there = self.core_nodes * self.core_vcpus + task_nodes * self.task_vcpus
        return self.rate_per_core * min(executors * self.executor_cores, there)

    def room(self, task_nodes: int) -> int:
        """Executors that fit; one core node holds the application master too."""
        core = (self.core_mb - self.master_mb) // self.executor_mb
        core += (self.core_nodes - 1) * (self.core_mb // self.executor_mb)
        return core + task_nodes * (self.task_mb // self.executor_mb)

    def nodes_for(self, executors: int) -> int:
        """Task nodes that so many executors need beside the core nodes."""
        needed = math.ceil((executors - self.room(0)) / (self.task_mb // self.executor_mb))
        return min(max(needed, 0), self.max_task_nodes)

    def free_share(self, executors: int, task_nodes: int) -> float:
        """Part of YARN's memory that is free."""
        memory_mb = self.core_nodes * self.core_mb + task_nodes * self.task_mb
        return 1 - (self.master_mb + executors * self.executor_mb) / memory_mb


class Policy(Protocol):
    """Decides, a step at a time, how many task nodes there should be."""

    def target(self, now_s: int, asked: int, free_share: float, needed: int) -> int:
        """Give the task nodes wanted, where `asked` are there or on their way."""


@dataclass
class Fixed:
    """Always as many."""

    nodes: int

    def target(self, now_s: int, asked: int, free_share: float, needed: int) -> int:  # noqa: ARG002
        return self.nodes


@dataclass
class Custom:
    """The policy of the requirements on YARN's free memory."""

    max_nodes: int
    out_below: float = 0.25
    in_above: float = 0.75
    step_nodes: int = 1
    period_s: int = 300
    cool_down_s: int = 300
    start_s: int = 300
    _seen: list[float] = field(default_factory=list)
    _resting_until_s: int = 0

    def target(self, now_s: int, asked: int, free_share: float, needed: int) -> int:  # noqa: ARG002
        self._seen.append(free_share)
        if (now_s + STEP_S) % self.period_s:
            return asked
        mean, self._seen = sum(self._seen) / len(self._seen), []
        if now_s < self._resting_until_s:
            return asked
        wanted = asked
        if mean < self.out_below:
            wanted = min(asked + self.step_nodes, self.max_nodes)
        elif mean > self.in_above:
            wanted = max(asked - self.step_nodes, 0)
        if wanted != asked:
            # The cool-down begins when the nodes are there.
            takes_s = self.start_s if wanted > asked else 0
            self._resting_until_s = now_s + takes_s + self.cool_down_s
        return wanted


@dataclass
class Managed:
    """A model of EMR's managed scaling."""

    in_after_s: int = 300
    _needed: deque[int] = field(default_factory=deque)

    def target(self, now_s: int, asked: int, free_share: float, needed: int) -> int:  # noqa: ARG002
        self._needed.append(needed)
        if len(self._needed) > self.in_after_s // STEP_S:
            self._needed.popleft()
        if needed > asked:
            return needed
        full = len(self._needed) == self.in_after_s // STEP_S
        return min(asked, max(self._needed)) if full else asked


@dataclass(frozen=True)
class Timeline:
    """What happened; arrays of a value a step.

    Attributes
    ----------
    task_nodes : numpy.ndarray
        Task nodes paid for, those on their way included.
    lag_s : numpy.ndarray
        Age of the oldest message not taken yet.
    usd : float
        Core and task nodes over the whole time.
    """

    task_nodes: np.ndarray
    executors: np.ndarray
    backlog: np.ndarray
    lag_s: np.ndarray
    usd: float


def simulate(load: Sequence[float] | np.ndarray, cluster: Cluster, policy: Policy) -> Timeline:
    """Step through a load.

    Parameters
    ----------
    load : sequence of float
        Messages a second in each step of `STEP_S`.
    """
    steps = len(load)
    nodes, executors = np.zeros(steps, np.int64), np.zeros(steps, np.int64)
    backlog, taken = np.zeros(steps), np.zeros(steps)
    first = policy.target(0, 0, 1.0, 0) if isinstance(policy, Fixed) else 0
    there, coming = first, deque[tuple[int, int]]()
    running, waiting, idle_s = cluster.min_executors, 0.0, 0
    for step, rate in enumerate(load):
        now_s = step * STEP_S
        while coming and coming[0][0] <= now_s:
            there += coming.popleft()[1]
        need = (rate + waiting / cluster.drain_s) / cluster.rate(1, 0)
        wanted = min(max(math.ceil(need), cluster.min_executors), cluster.max_executors)
        idle_s = idle_s + STEP_S if wanted < running else 0
        if wanted >= running or idle_s >= cluster.release_s:
            running, idle_s = wanted, 0
        running = min(running, cluster.room(there))
        done = min(waiting + rate * STEP_S, cluster.rate(running, there) * STEP_S)
        waiting += rate * STEP_S - done
        asked = there + sum(count for _, count in coming)
        free = cluster.free_share(running, there)
        target = policy.target(now_s, asked, free, cluster.nodes_for(wanted))
        if target > asked:
            coming.append((now_s + cluster.start_s, target - asked))
        elif target < asked:
            there, coming = _fewer(there, coming, asked - target)
        nodes[step], executors[step] = there + sum(c for _, c in coming), running
        backlog[step], taken[step] = waiting, done
    hours = STEP_S / 3_600
    usd = hours * (
        steps * cluster.core_nodes * cluster.core_usd_h + nodes.sum() * cluster.task_usd_h
    )
    return Timeline(nodes, executors, backlog, _lag_s(np.asarray(load, float), taken), float(usd))


def _fewer(
    there: int, coming: deque[tuple[int, int]], surplus: int
) -> tuple[int, deque[tuple[int, int]]]:
    """Take nodes away: first those that are still on their way."""
    left = deque(coming)
    while surplus and left:
        when, count = left.pop()
        cut = min(count, surplus)
        surplus -= cut
        if count > cut:
            left.append((when, count - cut))
    return there - surplus, left


def _lag_s(load: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Give, at each step's end, how long ago the oldest message not taken had come."""
    ends_s = np.arange(1, len(load) + 1) * float(STEP_S)
    came = np.concatenate([[0.0], np.cumsum(load * STEP_S)])
    # A message more than was taken: where nothing waits, that is the one to come.
    came_at_s = np.interp(np.cumsum(taken), came, np.concatenate([[0.0], ends_s]))
    lag_s = np.maximum(ends_s - came_at_s, 0.0)
    lag_s[np.cumsum(load * STEP_S) - np.cumsum(taken) < 0.5] = 0.0
    return lag_s


def recorded_load(folder: Path, median_rate: float) -> np.ndarray:
    """Give thirteen days' load: trades a minute of BTC-USDT at Binance.US in March 2023.

    They give the shape, quiet nights and the USDC depeg's days included; `median_rate`, messages
    a second, gives the size.
    """
    table = pq.read_table(folder / "depeg-2023-03" / "binanceus_btcusdt.parquet")
    trades = table["trades"].to_numpy().astype(float)
    return np.repeat(trades / np.median(trades) * median_rate, 60 // STEP_S)


def policies(cluster: Cluster) -> dict[str, Policy]:
    """Give what is compared."""
    limit = cluster.max_task_nodes
    enough = cluster.nodes_for(cluster.max_executors)
    return {
        "core nodes alone": Fixed(0),
        "custom policy": Custom(limit, start_s=cluster.start_s),
        "custom policy, 2 nodes a time": Custom(limit, step_nodes=2, start_s=cluster.start_s),
        "managed scaling (model)": Managed(),
        f"{enough} task nodes always": Fixed(enough),
    }


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--median-rate", type=float, default=60_000, help="messages a second")
    parser.add_argument("--rate-per-core", type=float, default=Cluster.rate_per_core)
    parser.add_argument("--max-executors", type=int, default=Cluster.max_executors)
    parser.add_argument("--csv", type=Path, help="write the task nodes of each minute")
    options = parser.parse_args()
    folder = environment.data_dir()
    if folder is None:
        sys.stderr.write("scaling: set MARKETLAKE_DATA to the folder of recorded data\n")
        return 1
    cluster = replace(
        Cluster(), rate_per_core=options.rate_per_core, max_executors=options.max_executors
    )
    load = recorded_load(folder, options.median_rate)
    days = len(load) * STEP_S / 86_400
    print(f"{days:.1f} days, messages/s: median {np.median(load):,.0f}, ", end="")
    print(f"99 % {np.percentile(load, 99):,.0f}, most {load.max():,.0f}\n")
    print(
        "| policy | task nodes, mean | most | changes | lag 99 % | most | over 60 s | $ a month |"
    )
    print("|---|---|---|---|---|---|---|---|")
    rows = {}
    for name, policy in policies(cluster).items():
        line = simulate(load, cluster, policy)
        rows[name] = line.task_nodes[:: 60 // STEP_S]
        cells = (
            f"{line.task_nodes.mean():.2f}",
            f"{line.task_nodes.max()}",
            f"{np.count_nonzero(np.diff(line.task_nodes))}",
            f"{np.percentile(line.lag_s, 99):,.0f} s",
            f"{line.lag_s.max():,.0f} s",
            f"{100 * (line.lag_s > 60).mean():.2f} %",
            f"{line.usd / days * 30:,.0f}",
        )
        print(f"| {name} | {' | '.join(cells)} |")
    if options.csv is not None:
        with options.csv.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["minute", *rows])
            writer.writerows(enumerate(zip(*rows.values(), strict=True)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
