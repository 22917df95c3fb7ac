"""The last step of a deploy, on a real YARN: a step is given to EMR, and its answer read back."""

from __future__ import annotations

import json
import os
import platform
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pyspark
import pytest

from marketlake.emr.aws import Aws
from marketlake.emr.deployment import Deployment
from marketlake.emr.jobs import ready_cluster
from marketlake.emr.probe import probe
from marketlake.emr.releases import Release
from marketlake.emr.reporting import Report
from marketlake.emr.spark_submit import Artifacts
from marketlake.lake import s3_bucket
from marketlake.lake.s3_spark import connector_options
from marketlake.lake.storage import Storage
from marketlake.local.jars import s3_jar_paths
from marketlake.settings.model import EmrSettings, Settings
from tests.marketlake.emr.places import REGION, ROOT, Emulator, deployed_by_hand, emulator
from tests.yarn.cluster import SPARK_HOME, YarnCluster
from tests.yarn.emr_on_yarn import STEP_ENVIRONMENT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

AWS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture
def aws(
    yarn_cluster: YarnCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Emulator]:
    """EMR, whose steps run on the YARN here."""
    master = {
        **yarn_cluster.environment,
        "PATH": f"{SPARK_HOME / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "SPARK_CONF_DIR": str(tmp_path / "conf"),
    }
    monkeypatch.setenv(STEP_ENVIRONMENT, json.dumps(master))
    with emulator(tmp_path, "tests.yarn.emr_on_yarn") as running:
        for name, value in {**AWS, "AWS_ENDPOINT_URL": running.url}.items():
            monkeypatch.setenv(name, value)
        # Other modules' emulators have a bucket of that name, too.
        s3_bucket._found.cache_clear()
        yield running


def test_smoke_test_of_a_deployment(
    aws: Emulator, artifacts: Artifacts, spark_settings: dict[str, str], tmp_path: Path
):
    outputs = deployed_by_hand(aws)
    told_by_cluster(tmp_path / "conf", aws, outputs["lake_uri"], spark_settings)
    said: list[str] = []
    settings = Settings(emr=EmrSettings(poll_s=0.5))
    place = Deployment("dev", settings, Aws(REGION, aws.url), ROOT, Report(said.append))
    answer = probe(place, ready_cluster(place), release_of(artifacts))
    assert answer == {
        "id": answer["id"],
        "driver": socket.gethostname(),
        "executors": [socket.gethostname()],
        "spark": pyspark.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    assert any("read back: Spark" in line for line in said)
    left = aws.client("s3").list_objects_v2(Bucket=outputs["lake_bucket"])
    assert left["KeyCount"] == 0, "a lake that is proven is left as it was"


def told_by_cluster(folder: Path, aws: Emulator, lake: str, settings: dict[str, str]) -> None:
    """Write what EMR's own configuration would say: jars, connector, and rights to the bucket."""
    jars = [f"local:{SPARK_HOME}/jars/*", *(f"local:{jar}" for jar in s3_jar_paths())]
    rights = {**AWS, "AWS_ENDPOINT_URL": aws.url}
    defaults = {
        **settings,
        **connector_options(Storage(lake)),
        "spark.yarn.jars": ",".join(jars),
        **{f"spark.yarn.appMasterEnv.{name}": value for name, value in rights.items()},
        **{f"spark.executorEnv.{name}": value for name, value in rights.items()},
    }
    folder.mkdir()
    lines = [f"{name} {value}\n" for name, value in defaults.items()]
    (folder / "spark-defaults.conf").write_text("".join(lines))


def release_of(artifacts: Artifacts) -> Release:
    """Give archives of this machine as a release."""
    code = msgspec.to_builtins(artifacts)
    return Release(number=1, environment_sha256="", at="", by="", **code)
