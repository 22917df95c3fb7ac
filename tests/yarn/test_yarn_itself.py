"""What YARN does with containers: how it ends them, and on which nodes it puts drivers."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.yarn.cluster import YarnCluster, labelled_yarn

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

STUBBORN = """
import os, signal, sys, time
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(time.monotonic()))
with open(sys.argv[1], "a", buffering=1) as told:
    print(os.getpid(), file=told)
    while True:
        time.sleep(0.002)
        if asked:
            print(time.monotonic() - asked[0], file=told)
"""


def test_container_has_a_quarter_of_a_second(yarn_cluster: YarnCluster, tmp_path: Path):
    """Of a program that does not end when it is asked to."""
    program, told = tmp_path / "stubborn.py", tmp_path / "told"
    program.write_text(STUBBORN)
    command = shlex.join([sys.executable, str(program), str(told)])
    application = yarn_cluster.run_alone(command)
    wait_until(lambda: told.exists() and told.read_text().endswith("\n"))
    process = psutil.Process(int(told.read_text()))
    yarn_cluster.kill(application)
    wait_until(lambda: not process.is_running())
    lived_s = float(told.read_text().rpartition("\n")[0].split("\n")[-1])
    # It is ended whatever it does, and not before that. How much longer it lives hangs on how busy
    # the machine is: what the node itself waits, it says.
    assert lived_s > 0.2
    assert yarn_cluster.node_setting("yarn.nodemanager.sleep-delay-before-sigkill.ms") == "250"


def test_masters_stay_on_core_nodes(tmp_path: Path):
    with labelled_yarn(tmp_path / "yarn") as cluster:
        applications = [cluster.run_alone("sleep 600") for _ in range(4)]
        wait_until(lambda: all(cluster.containers(app) for app in applications))
        assert {cluster.node_of(app) for app in applications} == {"core"}


def wait_until(seen: Callable[[], bool]) -> None:
    ends_s = time.monotonic() + 120
    while not seen():
        assert time.monotonic() < ends_s
        time.sleep(0.01)
