"""S3 servers for tests: moto, versitygw, buckets of one's own, and a proxy that makes S3 fail.

moto imitates AWS; versitygw is a server that people run, keeps objects on a disk and checks every
signature. Each is a process of its own: delta-rs holds Python's lock while it asks for a list, and
would wait for ever for a server in its own process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from marketlake.settings import environment
from tests.local_servers import free_port, wait_for

VERSITYGW = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"

REGION = "us-east-1"
NO_AWS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""Variables with which no process reaches the real AWS."""


@dataclass(frozen=True)
class S3Server:
    """A server that answers at a URL."""

    url: str

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which the AWS tools find it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str = "s3"):
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def new_bucket(self) -> str:
        """Make a bucket that no other test has."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=name)
        return name

    def require_rights(self, *, on: bool) -> None:
        """Let the server judge signatures and rights from now on, or not."""
        count = "0" if on else "1000000000"
        request = urllib.request.Request(
            f"{self.url}/moto-api/reset-auth",
            data=count.encode(),
            headers={"Content-Type": "text/plain"},
            method="POST",
        )
        urllib.request.urlopen(request, timeout=10).close()


@contextmanager
def moto() -> Iterator[S3Server]:
    """Run moto's server."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-p", str(port)]
    # It judges no rights until it is told to.
    with _running(command, port, {"INITIAL_NO_AUTH_ACTION_COUNT": "1000000000"}):
        yield S3Server(f"http://127.0.0.1:{port}")


@contextmanager
def versitygw(folder: Path) -> Iterator[S3Server]:
    """Run versitygw over a folder; skip what needs it where it is not installed."""
    port, program = free_port(), _versitygw()
    objects, metadata = (folder / name for name in ("objects", "metadata"))
    for place in (objects, metadata):
        place.mkdir(parents=True)
    server = S3Server(f"http://127.0.0.1:{port}")
    credentials = {
        f"ROOT_{name}": server.environment[f"AWS_{long}"]
        for name, long in (
            ("ACCESS_KEY", "ACCESS_KEY_ID"),
            ("SECRET_KEY", "SECRET_ACCESS_KEY"),
        )
    }
    command = [program, "--port", f"127.0.0.1:{port}", "--region", REGION, "--quiet"]
    # Not every disk keeps attributes of files.
    command += ["posix", "--sidecar", str(metadata), str(objects)]
    with _running(command, port, credentials):
        yield server


def _versitygw() -> str:
    folder = environment.cache_dir() / "go"
    found = shutil.which("versitygw") or shutil.which("versitygw", path=str(folder))
    if found is None:
        # Minutes of compiling are not for a test to begin.
        pytest.skip(f"no versitygw: GOBIN={folder} go install {VERSITYGW}")
    return found


@contextmanager
def faulty(server: S3Server, *, seed: int, rate: float, slow_s: float = 2.0) -> Iterator[S3Server]:
    """Run a proxy before a server that lets a part of the requests fail, or wait."""
    port = free_port()
    proxy = Path(__file__).with_name("s3_fault_proxy.py")
    options = ["--port", str(port), "--upstream", server.url, "--seed", str(seed)]
    faults = ["--rate", str(rate), "--slow-s", str(slow_s)]
    with _running([sys.executable, str(proxy), *options, *faults], port, {}):
        yield S3Server(f"http://127.0.0.1:{port}")


@contextmanager
def _running(command: list[str], port: int, extra: Mapping[str, str]) -> Iterator[None]:
    process = subprocess.Popen(
        command,
        env={**os.environ, **extra},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port, process)
        yield
    finally:
        process.terminate()
        process.wait()
