"""The emulator of AWS, with steps that are real processes on this machine.

A step of ``spark-submit`` brings the application archive from S3, unpacks it, and runs its
``main.py`` with the job's arguments, on a local Spark: YARN alone is left out. What it says goes to
the log folder of the cluster when it ends, as EMR does.

    python -m tests.marketlake.emr.emr_with_processes --port 5555
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3
from moto.core.utils import utcnow
from moto.emr.models import Cluster, Step
from moto.server import main as moto_server

from tests.infrastructure import aws_emulator, emulated_emr

_NAME = "tests.marketlake.emr.emr_with_processes"
_TOLD = "spark.yarn.appMasterEnv."
_ENDED = {"COMPLETED", "FAILED", "CANCELLED", "INTERRUPTED"}
_processes: dict[str, subprocess.Popen[bytes]] = {}


def advance(cluster: Cluster) -> None:
    """Start what is pending, and see what has ended."""
    for step in cluster.steps:
        process = _processes.get(step.id)
        if process is None and step.state not in _ENDED:
            _processes[step.id] = _start(cluster, step)
            step.start_date_time, step.state = utcnow(), "RUNNING"
        elif process is not None and step.state == "CANCELLED":
            process.kill()
        elif process is not None and step.state == "RUNNING" and process.poll() is not None:
            step.state = "FAILED" if process.returncode else "COMPLETED"
            step.end_date_time = utcnow()


def _start(cluster: Cluster, step: Step) -> subprocess.Popen[bytes]:
    place = f"{cluster.log_uri.rstrip('/')}/{cluster.id}/steps/{step.id}"
    command = [sys.executable, "-m", _NAME, "--step", place, *step.args]
    return subprocess.Popen(command)


def run_step(place: str, args: list[str]) -> int:
    """Run what a step says; give its exit status."""
    s3 = boto3.client("s3")
    if args[0] == "spark-submit":
        command, variables = _unpacked(s3, args, Path.cwd() / "application")
    else:
        command, variables = args, {}
    done = subprocess.run(
        command,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    bucket, _, key = place.partition("://")[2].partition("/")
    s3.put_object(Bucket=bucket, Key=f"{key}/stderr.gz", Body=gzip.compress(done.stdout))
    return done.returncode


def _unpacked(s3: Any, args: list[str], folder: Path) -> tuple[list[str], dict[str, str]]:
    archives = args[args.index("--archives") + 1].split(",")
    application = next(a.partition("#")[0] for a in archives if a.endswith("#application"))
    main = next(n for n, word in enumerate(args) if word.endswith("/main.py"))
    # One place for all releases, as in a container.
    shutil.rmtree(folder, ignore_errors=True)
    with tarfile.open(fileobj=BytesIO(_read(s3, application))) as archive:
        archive.extractall(folder, filter="data")
    (folder / "main.py").write_bytes(_read(s3, args[main]))
    told = (word.removeprefix(_TOLD).partition("=") for word in args if word.startswith(_TOLD))
    # Beside its folder, as in a container: the path to the code is relative.
    return [sys.executable, str(folder / "main.py"), *args[main + 1 :]], {
        name: text for name, _, text in told
    }


def _read(s3: Any, uri: str) -> bytes:
    bucket, _, key = uri.partition("://")[2].partition("/")
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def main() -> None:
    """Run the server, or a step."""
    if sys.argv[1:2] == ["--step"]:
        sys.exit(run_step(sys.argv[2], sys.argv[3:]))
    emulated_emr._advance = advance
    aws_emulator.register()
    moto_server()


if __name__ == "__main__":
    main()
