"""Where the tests of the operator's commands run: emulators, their clients, and the commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localstack_client.session import Session

from marketlake.settings.environment import cache_dir
from tests.local_servers import free_port, wait_for
from tests.processes import MARKETLAKE, Process

ROOT = Path(__file__).parents[3]
REGION = "us-east-1"
ACCOUNT = "123456789012"
SIDE_BY_SIDE = {"TF_CLI_ARGS_apply": "-parallelism=20"}
"""Most of an apply here is the provider's waiting for what an emulator has at once."""


@dataclass(frozen=True)
class Emulator:
    """A server that stands for AWS, and a folder for what the commands keep."""

    url: str
    folder: Path

    def client(self, service: str) -> Any:
        """Give a client by localstack's sessions, as a person at the emulator would."""
        host = self.url.removeprefix("http://")
        return Session(localstack_host=host, region_name=REGION).client(service)

    def environment(self) -> dict[str, str]:
        """Variables of the commands: work folders of their own, the jars of this machine."""
        cache = {"MARKETLAKE_CACHE": str(self.folder / "cache")}
        jars = self.folder / "cache" / "jars"
        if not jars.exists():
            jars.parent.mkdir(parents=True, exist_ok=True)
            jars.symlink_to(cache_dir() / "jars")
        return {**os.environ, **cache, **SIDE_BY_SIDE, "PYTHONPATH": str(ROOT)}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command of ``marketlake emr`` in a process group of its own."""
        command = [sys.executable, "-m", "spark_jobs.cli", "emr", arguments[0]]
        return subprocess.Popen(
            [*command, "--endpoint-url", self.url, *arguments[1:]],
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, fails: bool = False) -> str:
        """Run a command to its end, as a fork that need not import all anew; give what it said."""
        command = ["emr", arguments[0], "--endpoint-url", self.url, *arguments[1:]]
        with tempfile.NamedTemporaryFile("r", dir=self.folder, errors="replace") as said:
            process = Process(
                MARKETLAKE, *command, environment=self.environment(), said=Path(said.name)
            )
            try:
                code = process.wait(500)
            finally:
                process.bury()
            text = said.read()
        assert code == (1 if fails else 0), text
        return text

    def facts(self, *arguments: str, fails: bool = False) -> dict[str, Any]:
        """Run a command with ``--json``; give its facts."""
        said = self.run(arguments[0], "--json", *arguments[1:], fails=fails)
        return next(json.loads(line) for line in said.splitlines() if line.startswith("{"))


@contextmanager
def emulator(folder: Path, module: str = "tests.infrastructure.aws_emulator") -> Iterator[Emulator]:
    """Run an emulator as a process."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    own = {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "PYTHONPATH": str(ROOT),
        "PYSPARK_PYTHON": sys.executable,
    }
    with (folder / "emulator.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module, "--port", str(port)],
            env={**os.environ, **own},
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
        try:
            wait_for(port, process)
            yield Emulator(url, folder)
        finally:
            process.terminate()
            process.wait()


def deployed_by_hand(aws: Emulator, *, stage: str = "dev") -> dict[str, str]:
    """Make what the commands need of a deployment, without Terraform: buckets, cluster, states.

    Returns
    -------
    dict
        The outputs of both roots.
    """
    s3, emr, prefix = aws.client("s3"), aws.client("emr"), f"marketlake-{stage}"
    outputs = {f"{kind}_bucket": f"{prefix}-{kind}-{uuid.uuid4().hex[:8]}" for kind in _BUCKETS}
    state = f"{prefix}-state-{ACCOUNT}-{REGION}"
    for name in (*outputs.values(), state):
        s3.create_bucket(Bucket=name)
    outputs["lake_uri"] = f"s3a://{outputs['lake_bucket']}/lake"
    outputs["stream_prefix"] = f"{prefix}-market"
    outputs["cluster_id"] = emr.run_job_flow(
        Name=prefix,
        LogUri=f"s3://{outputs['logs_bucket']}/emr/",
        ReleaseLabel="emr-spark-8.0.0",
        Instances={
            "InstanceCount": 1,
            "MasterInstanceType": "m5.xlarge",
            "KeepJobFlowAliveWhenNoSteps": True,
        },
        StepConcurrencyLevel=5,
        Tags=[{"Key": "project", "Value": "marketlake"}, {"Key": "environment", "Value": stage}],
        JobFlowRole="node",
        ServiceRole="service",
    )["JobFlowId"]
    for root in ("data", "cluster"):
        values = {name: {"value": value} for name, value in outputs.items()}
        body = json.dumps({"lineage": "x", "serial": 1, "outputs": values})
        s3.put_object(Bucket=state, Key=f"{stage}/{root}.tfstate", Body=body)
    return outputs


_BUCKETS = ("lake", "artifacts", "logs", "backup")
