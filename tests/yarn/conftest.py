"""What the tests on YARN share: one cluster, and what it is given, packed once a machine."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from marketlake.emr.packing import cluster_jars, main_file, pack_application, pack_environment
from marketlake.emr.spark_submit import Artifacts
from marketlake.settings import environment
from tests.yarn.cluster import SPARK_HOME, YarnCluster, interpreter, yarn
from tests.yarn.configuration import DISK


@pytest.fixture(scope="session")
def yarn_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[YarnCluster]:
    with yarn(tmp_path_factory.mktemp("yarn")) as running:
        yield running


@pytest.fixture(scope="session")
def artifacts() -> Artifacts:
    """The very archives that a cluster gets, on the Python of this machine."""
    folder = environment.cache_dir() / "packed"
    with ThreadPoolExecutor(2) as pool:
        packed = [
            pool.submit(packer, folder, interpreter=interpreter())
            for packer in (pack_environment, pack_application)
        ]
    environment_archive, application = (done.result() for done in packed)
    return Artifacts(
        environment=f"{DISK}{environment_archive.path}",
        application=f"{DISK}{application.path}",
        main=f"{DISK}{main_file()}",
        jars=tuple(f"{DISK}{jar}" for jar in cluster_jars(delta=True)),
    )


@pytest.fixture(scope="session")
def spark_settings(yarn_cluster: YarnCluster) -> dict[str, str]:
    """What a cluster's own configuration would say; small, since all of it is on this machine."""
    return {
        "spark.yarn.jars": f"local:{SPARK_HOME}/jars/*",
        "spark.yarn.stagingDir": f"{DISK}{yarn_cluster.folder}",
        "spark.driver.memory": "1g",
        # They live for seconds: compiling them for speed costs more than it gives.
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
        "spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1",
        "spark.executor.memory": "1g",
        "spark.executor.instances": "1",
        "spark.executor.cores": "2",
        "spark.dynamicAllocation.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.ui.enabled": "false",
        "spark.yarn.maxAppAttempts": "1",
        "spark.yarn.report.interval": "500ms",
        "spark.yarn.am.waitTime": "60s",
        "spark.yarn.scheduler.heartbeat.interval-ms": "500",
    }
