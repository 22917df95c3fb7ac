"""Kinesis on this machine: moto for most of it, kinesalite for shards that split and merge."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from marketlake.contracts.events import TOPICS, topic_of
from marketlake.kinesis.client import KinesisAccess
from marketlake.settings import environment
from tests.local_servers import free_port
from tests.s3_servers import moto

REGION = "us-east-1"
KINESALITE = "kinesalite@3.3.3"
_NPM_PATIENCE_S = 120


@contextmanager
def moto_that_looks_who_asks() -> Iterator[str]:
    """Run a moto that knows nobody; give its URL."""
    with moto() as server:
        server.require_rights(on=True)
        yield server.url


@contextmanager
def kinesalite_server(folder: Path) -> Iterator[str]:
    """Run kinesalite; give its URL. Its clock is ahead by the milliseconds in ``folder/clock``."""
    script = _kinesalite()
    clock = folder / "clock"
    clock.write_text("0")
    shift = folder / "shift.js"
    shift.write_text(
        "const fs = require('fs'), now = Date.now\n"
        f"Date.now = () => now() + Number(fs.readFileSync({str(clock)!r}, 'utf8') || 0)\n"
    )
    port = free_port()
    fast = ["--createStreamMs", "0", "--deleteStreamMs", "0", "--updateStreamMs", "0"]
    arguments = ["node", "-r", str(shift), str(script), "--port", str(port), "--shardLimit", "999"]
    process = subprocess.Popen(
        [*arguments, *fast],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"AWS_REGION": REGION},
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url)
        yield url
    finally:
        process.kill()
        process.wait()


def _kinesalite() -> Path:
    """Install kinesalite once a machine; skip what needs it where that cannot be done."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("no node and npm: kinesalite cannot run")
    folder = environment.cache_dir() / "npm"
    script = folder / "node_modules" / "kinesalite" / "cli.js"
    if not script.exists():
        folder.mkdir(parents=True, exist_ok=True)
        install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), KINESALITE]
        try:
            subprocess.run(install, check=True, capture_output=True, timeout=_NPM_PATIENCE_S)
        except (subprocess.SubprocessError, OSError) as error:
            pytest.skip(f"npm cannot install {KINESALITE}: {error}")
    return script


def _wait_for(url: str) -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(url, timeout=1)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"nothing answers at {url}")


def access_to(url: str) -> KinesisAccess:
    return KinesisAccess(REGION, url)


def create_streams(client: Any, prefix: str, shards: int = 1) -> list[str]:
    """Create the four streams of a prefix."""
    streams = [topic_of(event_type, prefix) for event_type in TOPICS]
    for stream in streams:
        client.create_stream(StreamName=stream, ShardCount=shards)
    for stream in streams:
        wait_until_active(client, stream)
    return streams


def wait_until_active(client: Any, stream: str) -> None:
    for _ in range(400):
        summary = client.describe_stream_summary(StreamName=stream)
        if summary["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE":
            return
        time.sleep(0.01)
    raise RuntimeError(f"{stream} does not become active")


def records_of(client: Any, stream: str) -> list[dict[str, Any]]:
    """All records of a stream, shard by shard."""
    records = []
    for shard in client.list_shards(StreamName=stream)["Shards"]:
        iterator = client.get_shard_iterator(
            StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while iterator:
            answer = client.get_records(ShardIterator=iterator)
            records += answer["Records"]
            if not answer["Records"]:
                break
            iterator = answer.get("NextShardIterator")
    return records
