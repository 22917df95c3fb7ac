"""New code for a stream that runs: drained, gone on from the checkpoint, rolled back; no loss.

The steps are real processes that run the very archive that was released; Kafka and the pipeline are
real, EMR and S3 are emulated.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from marketlake.emr.packing import pack_application
from marketlake.local.broker import EmbeddedBroker
from marketlake.settings.environment import cache_dir
from tests.marketlake.emr.places import Emulator, deployed_by_hand, emulator
from tests.streaming.lakes import market_messages, publish, send
from tests.yarn.cluster import interpreter

pytestmark = [pytest.mark.slow, pytest.mark.broker, pytest.mark.timeout(1_200)]

_SETTINGS = """
[emr]
poll_s = 0.5
drain_s = 400
health_s = 400
"""


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    folder = tmp_path_factory.mktemp("emr")
    with emulator(folder, "tests.marketlake.emr.emr_with_processes") as running:
        yield running


@pytest.fixture(scope="module")
def code() -> Path:
    """The very archive that a cluster gets, with its kernels compiled."""
    return pack_application(cache_dir() / "packed", interpreter=interpreter()).path


def release(folder: Path, name: str, code: Path, replaced: Mapping[str, str]) -> Path:
    """Make a release of an archive of code, with some modules replaced."""
    path = folder / f"{name}.tar.gz"
    with tarfile.open(code) as former, tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for member in former:
            if _module(member.name) not in replaced:
                archive.addfile(member, former.extractfile(member))
        for relative, text in {**replaced, "RELEASE": name}.items():
            member = tarfile.TarInfo(relative)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


def _module(name: str) -> str:
    """Give the source of a module's bytecode, which nobody compares with it; else the name."""
    return re.sub(r"__pycache__/(\w+)\.[^/]*\.pyc$", r"\1.py", name)


class Market:
    """Publishes a market little by little, so that there is always something to commit."""

    def __init__(self, broker: EmbeddedBroker) -> None:
        self.messages = market_messages(7, 120)
        cut = len(self.messages) // 4
        self.source = publish(broker, self.messages[:cut])
        self._sent, self._broker = cut, broker
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Publish the rest at once."""
        self._done.set()
        self._thread.join()
        self._send(len(self.messages))

    def _go_on(self) -> None:
        while not self._done.wait(0.5) and self._sent < len(self.messages):
            self._send(self._sent + 20)

    def _send(self, upto: int) -> None:
        send(self._broker, self.source.rpartition("/")[2], self.messages[self._sent : upto])
        self._sent = min(upto, len(self.messages))


def step_states(aws: Emulator, cluster: str) -> dict[str, str]:
    steps = aws.client("emr").list_steps(ClusterId=cluster)["Steps"]
    return {step["Id"]: step["Status"]["State"] for step in steps}


def test_releases_of_a_running_stream_lose_nothing(
    aws: Emulator, broker: EmbeddedBroker, code: Path, tmp_path: Path
):
    outputs = deployed_by_hand(aws)
    cluster, lake = outputs["cluster_id"], outputs["lake_uri"]
    settings = tmp_path / "settings.toml"
    settings.write_text(_SETTINGS)
    environment = tmp_path / "environment.tar.gz"
    environment.write_bytes(b"the packages of this machine stand for it")
    common = ("--config", str(settings))
    archives = ("--environment-archive", str(environment), "--application-archive")
    broken = {"streaming/pipeline.py": "raise SystemExit(3)\n"}
    first, second, bad = (
        release(tmp_path, name, code, changed)
        for name, changed in (("first", {}), ("second", {}), ("bad", broken))
    )

    facts = aws.facts("release", *common, *archives, str(first))
    assert (facts["release"], facts["rolled_back"]) == (1, False)

    market = Market(broker)
    job = ("stream", "--source", market.source)
    began = aws.facts("submit", *common, *job)
    assert began["state"] == "RUNNING"
    assert began["job"] == [*job, "--lake", lake]
    assert "is a stream on" in aws.run("submit", *common, *job, fails=True)
    market.start()

    facts = aws.facts("release", *common, *archives, str(second))
    assert (facts["release"], facts["rolled_back"]) == (2, False)
    states = step_states(aws, cluster)
    assert states[began["step"]] == "COMPLETED"
    assert sorted(states.values()) == ["COMPLETED", "RUNNING"]

    facts = aws.facts("release", *common, *archives, str(bad), fails=True)
    assert facts["rolled_back"]
    assert "release 2, runs again" in facts["error"]
    running = [step for step, state in step_states(aws, cluster).items() if state == "RUNNING"]
    assert len(running) == 1
    args = aws.client("emr").describe_step(ClusterId=cluster, StepId=running[0])["Step"]["Config"]
    assert (
        sum(facts_of_second in " ".join(args["Args"]) for facts_of_second in [digest(second)]) == 1
    )

    # The cluster goes, the stream ends in peace, and all that was published is there once.
    market.finish()
    said = aws.run("info", *common)
    assert f"step          {running[0]}" in said
    drained = subprocess.run(
        [sys.executable, "-c", _DRAIN, lake, market.source],
        env={**aws.environment(), **endpoint(aws)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert drained.returncode == 0, drained.stderr
    assert json.loads(drained.stdout.splitlines()[-1]) == len(market.messages)


def digest(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def endpoint(aws: Emulator) -> dict[str, str]:
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    return {"AWS_ENDPOINT_URL": aws.url, "AWS_REGION": "us-east-1", **keys}


_DRAIN = """
import subprocess, sys, time
from marketlake.lake.manifests import Manifests
from marketlake.lake.runs import request_stop, running
from marketlake.lake.storage import Storage
from marketlake.lake.query import open_lake

uri, source = sys.argv[1:]
lake = Storage(uri)
run = running(lake)
request_stop(lake, run, "the test")
while running(lake) is not None:
    time.sleep(0.2)
cli = [sys.executable, "-m", "spark_jobs.cli"]
subprocess.run([*cli, "stream", "--source", source, "--lake", uri, "--until-idle"], check=True)
subprocess.run([*cli, "reconcile", "--lake", uri], check=True)
sql = "SELECT count(*) FROM bronze.events WHERE source NOT LIKE 'marketlake/%'"
print(open_lake(uri).sql(sql).fetchall()[0][0])
"""
