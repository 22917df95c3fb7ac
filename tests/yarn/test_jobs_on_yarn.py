"""The stream and the daily job, in cluster mode on a real YARN, give the lake of a local run.

One lake is filled by four drivers, each of which ends in another way: killed, killed by YARN, asked
by the lake, and at the end of what is there although its step was cancelled.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from marketlake.contracts.tables import SUMMARY_TABLES
from marketlake.emr.spark_submit import Artifacts, spark_submit
from marketlake.feeds.recorded.catalog import Recording, open_recording
from marketlake.lake.compare import lake_differences
from marketlake.lake.query import open_lake
from marketlake.lake.runs import last_run, request_stop
from marketlake.local.broker import EmbeddedBroker
from marketlake.settings import environment
from marketlake.settings.model import load_settings
from spark_jobs.batch_process import DailyJob
from tests.streaming.lakes import (
    COMPARED,
    assert_same,
    assert_same_state,
    fill,
    market_messages,
    publish,
    publish_recording,
)
from tests.yarn.cluster import YarnCluster, end
from tests.yarn.configuration import cluster_site
from tests.yarn.streams import LIMIT_S, PROGRAM, SHOW_CACHE, StreamOnYarn, messages_in

# The first test waits for the packing too, which is done once a release.
pytestmark = [
    pytest.mark.spark,
    pytest.mark.broker,
    pytest.mark.slow,
    pytest.mark.timeout(1_500),
]

PARTS = ("link-books-2021-08-20", "binance-ticks-2024-08-08/spot_ethusdt_20240808.gz")
"""Two venues' books and bars, then quotes, trades and books: every type, in 56,937 messages."""


@pytest.fixture(scope="module")
def source(broker: EmbeddedBroker) -> str:
    """Recorded markets; a simulated one where there are no recordings."""
    folder = environment.data_dir() or Path(__file__).parents[3] / "shared" / "data"
    if not folder.is_dir():
        return publish(broker, market_messages(seed=6, seconds=240, fuzz=40))
    parts = [open_recording(folder / part) for part in PARTS]
    return publish_recording(broker, Recording(sum((p.files for p in parts), ())))[0]


@pytest.fixture(scope="module")
def local(spark: SparkSession, source: str, tmp_path_factory) -> Path:
    """The lake of an undisturbed run without a cluster."""
    lake = tmp_path_factory.mktemp("local") / "lake"
    fill(spark, source, lake)
    return lake


@dataclass(frozen=True)
class Ended:
    """How a step of the stream ended.

    Attributes
    ----------
    status : int
        Exit status of the step; EMR says FAILED of any but 0.
    in_batch : bool
        A batch had been begun, and not been done.
    undone : set of str
        Tables without a batch that had been decided.
    messages : int
        In the lake by then.
    """

    application: str
    status: int
    in_batch: bool
    undone: set[str]
    messages: int


@pytest.fixture(scope="module")
def stream(
    yarn_cluster: YarnCluster, artifacts: Artifacts, spark_settings, source: str, tmp_path_factory
) -> StreamOnYarn:
    attempts = "spark.yarn.maxAppAttempts"
    settings = {**spark_settings, attempts: cluster_site("spark-defaults")[attempts]}
    lake = tmp_path_factory.mktemp("yarn-lake") / "lake"
    return StreamOnYarn(yarn_cluster, artifacts, settings, source, lake)


def ended(stream: StreamOnYarn, application: str, status: int) -> Ended:
    """Look at what a driver has left, before another comes."""
    messages = messages_in(stream.lake)
    return Ended(application, status, stream.is_in_batch, stream.undone, messages)


@pytest.fixture(scope="module")
def killed(stream: StreamOnYarn) -> Ended:
    """The first driver killed, and the second, which YARN started by itself, killed by YARN."""
    step, application = stream.submit("--until-idle")
    try:
        stream.wait_for_batch(application)
        stream.cluster.driver(application).kill()
        stream.wait_for_batch(application)
        assert step.poll() is None, "the step goes on with the second driver"
        stream.cluster.kill(application)
        status = step.wait(LIMIT_S)
    finally:
        end(step)
    return ended(stream, application, status)


@pytest.fixture(scope="module")
def drained(stream: StreamOnYarn, killed: Ended) -> Ended:
    """The third driver, asked by the lake to end."""
    step, application = stream.submit()
    try:
        stream.wait_for_batch(application)
        run = last_run(stream.storage)
        assert run is not None
        request_stop(stream.storage, run, "a test")
        status = step.wait(LIMIT_S)
    finally:
        end(step)
    return ended(stream, application, status)


@pytest.fixture(scope="module")
def finished(stream: StreamOnYarn, drained: Ended) -> Ended:
    """The fourth, whose step was cancelled, at the end of what is there."""
    former = stream.run
    step, application = stream.submit("--until-idle")
    try:
        stream.wait_for(application, lambda: stream.run != former)
        # What EMR sends to the process of a step that is cancelled.
        step.terminate()
        status = step.wait(LIMIT_S)
    finally:
        end(step)
    stream.wait_for_end(application)
    return ended(stream, application, status)


def test_yarn_starts_a_killed_driver_again(stream: StreamOnYarn, killed: Ended):
    drivers = [c.name for c in stream.cluster.containers(killed.application) if is_first(c)]
    assert len(drivers) == 2


def test_application_killed_by_yarn_in_a_batch_is_a_failed_step(
    stream: StreamOnYarn, killed: Ended
):
    assert stream.cluster.application(killed.application)["finalStatus"] == "KILLED"
    assert "RECEIVED SIGNAL TERM" in stream.cluster.output(killed.application)
    assert killed.in_batch
    assert killed.status != 0


def test_driver_asked_by_the_lake_ends_in_peace(
    stream: StreamOnYarn, killed: Ended, drained: Ended, local: Path
):
    assert stream.cluster.application(drained.application)["finalStatus"] == "SUCCEEDED"
    assert (drained.status, drained.undone) == (0, set())
    assert killed.messages < drained.messages < messages_in(local)


def test_driver_outlives_its_cancelled_step(stream: StreamOnYarn, finished: Ended):
    assert finished.status != 0
    assert stream.cluster.application(finished.application)["finalStatus"] == "SUCCEEDED"
    assert finished.undone == set()


def test_stream_ended_in_every_way_equals_a_local_run(
    stream: StreamOnYarn, finished: Ended, local: Path
):
    assert_same(local, stream.lake)
    assert_same_state(local, stream.lake)


def test_executors_load_the_packed_kernels_and_compile_none(
    stream: StreamOnYarn, killed: Ended, drained: Ended, finished: Ended
):
    # All of them: what one had compiled, the next would load.
    applications = {a.application for a in (killed, drained, finished)}
    output = "".join(stream.cluster.output(application) for application in applications)
    loaded = re.findall(r"\[cache\] data loaded from '(.*?)'", output)
    assert len(set(loaded)) > 50
    assert all("/application/" in path for path in loaded)
    assert re.findall(r"\[cache\] data saved to '(.*?)'", output) == []


def test_daily_job_on_yarn_equals_a_local_run(
    stream: StreamOnYarn, spark_settings, local: Path, finished: Ended, tmp_path: Path
):
    here, there = tmp_path / "here", tmp_path / "there"
    shutil.copytree(local, here)
    shutil.copytree(stream.lake, there)
    days = open_lake(str(here)).sql("SELECT max(date) FROM gold.bars").fetchall()
    day: date = days[0][0]
    DailyJob(str(here), day, load_settings()).run(rewrite=True)
    job = ["batch", "process", "--lake", str(there), "--date", str(day), "--rewrite"]
    command = spark_submit(
        job, stream.artifacts, settings=spark_settings, environment=SHOW_CACHE, program=PROGRAM
    )
    application = stream.cluster.run(command, tmp_path / "daily.log")
    assert lake_differences(str(here), str(there), [*COMPARED, *SUMMARY_TABLES]) == []
    assert "[cache] data saved" not in stream.cluster.output(application)


def is_first(container: Path) -> bool:
    """Tell whether a container is the first of its attempt: the driver's."""
    return container.name.endswith("_000001")
