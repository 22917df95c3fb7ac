"""The stream and the daily job, in cluster mode on a real YARN, give the lake of a local run."""

from __future__ import annotations

import re
import shutil
import time
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from marketlake.contracts.tables import SUMMARY_TABLES
from marketlake.emr.spark_submit import Artifacts, spark_submit
from marketlake.feeds.recorded.catalog import Recording, open_recording
from marketlake.lake.compare import lake_differences
from marketlake.lake.manifests import Manifests
from marketlake.lake.query import open_lake
from marketlake.lake.storage import Storage
from marketlake.local.broker import EmbeddedBroker
from marketlake.settings import environment
from marketlake.settings.model import load_settings
from spark_jobs.batch_process import DailyJob
from streaming.pipeline import PIPELINE
from tests.streaming.lakes import (
    COMPARED,
    assert_same,
    assert_same_state,
    fill,
    market_messages,
    publish,
    publish_recording,
)
from tests.yarn.cluster import SPARK_HOME, YarnCluster, end

# The first test waits for the packing too, which is done once a release.
pytestmark = [
    pytest.mark.spark,
    pytest.mark.broker,
    pytest.mark.slow,
    pytest.mark.timeout(1_500),
]

PARTS = ("link-books-2021-08-20", "binance-ticks-2024-08-08/spot_ethusdt_20240808.gz")
"""Two venues' books and bars, then quotes, trades and books: every type, in 56,937 messages."""
OFFSETS = 4_000
PROGRAM = str(SPARK_HOME / "bin" / "spark-submit")
SHOW_CACHE = {"NUMBA_DEBUG_CACHE": "1"}


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


@pytest.fixture(scope="module")
def killed(
    yarn_cluster: YarnCluster, artifacts: Artifacts, spark_settings, source: str, tmp_path_factory
) -> tuple[Path, str]:
    """A lake whose stream YARN killed half-way and that was submitted again, and the last run."""
    folder = tmp_path_factory.mktemp("yarn-lake")
    lake, log = folder / "lake", folder / "submit.log"
    job = ["stream", "--source", source, "--lake", str(lake), "--until-idle"]
    command = spark_submit(
        [*job, "--max-offsets", str(OFFSETS)],
        artifacts,
        settings=spark_settings,
        environment=SHOW_CACHE,
        program=PROGRAM,
    )
    first = yarn_cluster.start(command, log)
    try:
        wait_for_batches(lake, 4, yarn_cluster)
        yarn_cluster.kill(yarn_cluster.applications("RUNNING")[-1]["id"])
        assert first.wait(60) != 0, "a killed application is told as failed"
    finally:
        end(first)
    assert yarn_cluster.applications()[-1]["finalStatus"] == "KILLED"
    assert batches(lake) < 14, "it was to be killed half-way"
    return lake, yarn_cluster.run(command, folder / "again.log")


def batches(lake: Path) -> int:
    return len(Manifests(Storage(str(lake)), PIPELINE).sequences()) if lake.exists() else 0


def wait_for_batches(lake: Path, count: int, cluster: YarnCluster) -> None:
    ends_s = time.monotonic() + 400
    while batches(lake) < count:
        assert not cluster.applications("FAILED", "FINISHED"), cluster.errors()
        assert time.monotonic() < ends_s, cluster.errors()
        time.sleep(0.1)


def test_stream_killed_on_yarn_and_submitted_again_equals_a_local_run(local: Path, killed):
    lake, _ = killed
    assert_same(local, lake)
    assert_same_state(local, lake)


def test_executors_load_the_packed_kernels_and_compile_none(yarn_cluster: YarnCluster, killed):
    _, application = killed
    output = yarn_cluster.output(application)
    loaded = re.findall(r"\[cache\] data loaded from '(.*?)'", output)
    assert len(set(loaded)) > 50
    assert all("/application/" in path for path in loaded)
    assert re.findall(r"\[cache\] data saved to '(.*?)'", output) == []


def test_daily_job_on_yarn_equals_a_local_run(
    yarn_cluster: YarnCluster,
    artifacts: Artifacts,
    spark_settings,
    local: Path,
    killed,
    tmp_path: Path,
):
    here, there = tmp_path / "here", tmp_path / "there"
    shutil.copytree(local, here)
    shutil.copytree(killed[0], there)
    days = open_lake(str(here)).sql("SELECT max(date) FROM gold.bars").fetchall()
    day: date = days[0][0]
    DailyJob(str(here), day, load_settings()).run(rewrite=True)
    job = ["batch", "process", "--lake", str(there), "--date", str(day), "--rewrite"]
    command = spark_submit(
        job, artifacts, settings=spark_settings, environment=SHOW_CACHE, program=PROGRAM
    )
    application = yarn_cluster.run(command, tmp_path / "daily.log")
    assert lake_differences(str(here), str(there), [*COMPARED, *SUMMARY_TABLES]) == []
    assert "[cache] data saved" not in yarn_cluster.output(application)
