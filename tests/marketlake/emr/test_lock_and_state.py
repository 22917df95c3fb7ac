"""The lock of a deployment, and its state on the way to the bucket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest

from marketlake.emr.errors import EmrError
from marketlake.emr.lock import DeploymentLock, LockHolder, current_holder
from marketlake.emr.state import StateFile
from marketlake.lake.s3_files import ObjectExistsError, S3Files
from marketlake.settings.model import S3Settings


@pytest.fixture
def place(s3_bucket: str) -> S3Files:
    return S3Files(s3_bucket, "dev", S3Settings())


def lock(place: S3Files, lock_s: int = 60) -> DeploymentLock:
    return DeploymentLock(place, "arn:aws:iam::1:user/ann", "deploy", lock_s)


def test_a_second_holder_is_told_who_and_since_when(place: S3Files):
    with lock(place) as held:
        held.check()
        with pytest.raises(EmrError, match=r"deploy of arn:aws:iam::1:user/ann, process \d+ on"):
            lock(place).__enter__()
    assert current_holder(place) is None
    with lock(place) as again:
        assert again.taken_from is None


def test_of_many_at_one_moment_one_gets_it(place: S3Files):
    place.bucket  # noqa: B018 - found before the threads start
    results: list[str] = []
    gate = threading.Barrier(8)

    def contend() -> None:
        contender = lock(place)
        gate.wait()
        try:
            contender.__enter__()
            results.append("held")
        except EmrError as error:
            results.append(str(error).split(":")[0])

    threads = [threading.Thread(target=contend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["held"] + ["locked"] * 7


_DIE = """
import os, signal, sys
from marketlake.emr.lock import DeploymentLock
from marketlake.lake.s3_files import S3Files
from marketlake.settings.model import S3Settings
DeploymentLock(S3Files(sys.argv[1], "dev", S3Settings()), "ann", "deploy", 3600).__enter__()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_lock_of_a_process_killed_on_this_machine_is_taken_at_once(place: S3Files):
    died = subprocess.run(
        [sys.executable, "-c", _DIE, place.bucket_name], env=os.environ, timeout=60, check=False
    )
    assert died.returncode == -9
    began_s = time.monotonic()
    with lock(place) as held:
        assert held.taken_from is not None
        assert held.taken_from.what == "deploy"
    assert time.monotonic() - began_s < 60


def test_the_lock_of_another_machine_is_taken_when_it_is_stale(place: S3Files):
    elsewhere = LockHolder(
        token="t",
        who="bob",
        what="release",
        since="2030-01-01",
        host="far",
        process=1,
        started=1,
        machine="other machine",
        lasts_s=1,
    )
    place.write("lock.json", msgspec.json.encode(elsewhere))
    with pytest.raises(EmrError, match="release of bob, process 1 on far, since 2030-01-01"):
        lock(place).__enter__()
    # S3 tells times in whole seconds: one for the lease, one for the rounding.
    time.sleep(3.1)
    with lock(place) as held:
        assert held.taken_from == elsewhere


def test_a_lock_is_renewed_and_a_lost_one_stops_the_work(place: S3Files):
    with lock(place, lock_s=3) as held:
        time.sleep(4.5)
        held.check()
        stolen = place.get("lock.json")
        assert stolen is not None
        place.write("lock.json", stolen.data.replace(b"ann", b"bob"))
        time.sleep(2)
        with pytest.raises(EmrError, match="another process has taken it"):
            held.check()


def test_what_is_no_lock_is_told(place: S3Files):
    place.write("lock.json", b"hello")
    with pytest.raises(EmrError, match="is no lock"):
        lock(place).__enter__()


def state(lineage: str, serial: int) -> bytes:
    return json.dumps({"version": 4, "lineage": lineage, "serial": serial}).encode()


def test_a_new_deployment_begins_a_line_and_each_change_is_brought(place: S3Files, tmp_path: Path):
    file = tmp_path / "data.tfstate"
    file.write_bytes(state("of a deployment that is gone", 9))
    carried = StateFile(place, "data.tfstate", file)
    carried.pull()
    begun = json.loads(place.read("data.tfstate"))
    assert (begun["serial"], begun["resources"]) == (0, [])
    assert json.loads(file.read_bytes())["lineage"] == begun["lineage"]
    with carried.followed():
        file.write_bytes(state(begun["lineage"], 1))
        time.sleep(1.6)
        assert json.loads(place.read("data.tfstate"))["serial"] == 1
        file.write_bytes(state(begun["lineage"], 2))
    assert json.loads(place.read("data.tfstate"))["serial"] == 2


def test_what_a_killed_run_had_not_brought_is_brought_by_the_next(place: S3Files, tmp_path: Path):
    file = tmp_path / "data.tfstate"
    place.write("data.tfstate", state("l", 3))
    file.write_bytes(state("l", 5))
    StateFile(place, "data.tfstate", file).pull()
    assert json.loads(place.read("data.tfstate"))["serial"] == 5


@pytest.mark.parametrize("here", [b"", b'{"lineage": "l", "ser', state("l", 2), state("x", 9)])
def test_else_the_bucket_is_right(place: S3Files, tmp_path: Path, here: bytes):
    file = tmp_path / "data.tfstate"
    place.write("data.tfstate", state("l", 3))
    file.write_bytes(here)
    StateFile(place, "data.tfstate", file).pull()
    assert file.read_bytes() == state("l", 3)


def test_a_state_that_another_wrote_meanwhile_is_not_overwritten(place: S3Files, tmp_path: Path):
    file = tmp_path / "data.tfstate"
    carried = StateFile(place, "data.tfstate", file)
    carried.pull()
    other = state("theirs", 7)
    place.write("data.tfstate", other)
    file.write_bytes(state("ours", 1))
    with pytest.raises(EmrError, match="was changed by another"):
        carried.push()
    assert place.read("data.tfstate") == other
    with pytest.raises(ObjectExistsError):
        place.put_if("data.tfstate", b"", None)


def test_what_a_state_owns_is_told_by_type_and_id(place: S3Files, tmp_path: Path):
    file = tmp_path / "data.tfstate"
    carried = StateFile(place, "data.tfstate", file)
    assert carried.owned() == frozenset()
    instances = [{"attributes": {"id": "subnet-1"}}, {"attributes": {"id": "subnet-2"}}]
    looked_at = {"mode": "data", "type": "aws_vpc", "instances": [{"attributes": {"id": "vpc-1"}}]}
    subnets = {"mode": "managed", "type": "aws_subnet", "instances": instances}
    file.write_text(json.dumps({"resources": [subnets, looked_at]}))
    assert carried.owned() == {("aws_subnet", "subnet-1"), ("aws_subnet", "subnet-2")}
    file.write_text(file.read_text()[:40])
    with pytest.raises(EmrError, match="is no state of Terraform"):
        carried.owned()
