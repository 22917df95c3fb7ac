"""One writer at a time, on disk and on S3: two contenders, a dead holder, an overtaken one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from marketlake.lake.errors import LakeError
from marketlake.lake.lease import lease
from marketlake.lake.s3_files import S3Files
from marketlake.lake.s3_lease import LeaseHolder
from marketlake.lake.storage import Storage
from marketlake.settings.model import S3Settings

LEASE_S = 3
PATH = "_marketlake/stream.lease"
_HOLD = """
import sys, time
from marketlake.lake.lease import lease
from marketlake.lake.storage import Storage
from marketlake.settings.model import S3Settings
with lease(Storage(sys.argv[1], S3Settings(lease_s=int(sys.argv[2]))), "stream"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def on_s3(s3_bucket: str) -> Storage:
    return lake_in(s3_bucket)


def lake_in(bucket: str) -> Storage:
    return Storage(f"s3a://{bucket}/lake", S3Settings(lease_s=LEASE_S))


@pytest.fixture(params=["local", "s3_bucket", "versitygw_bucket"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param != "local":
        return lake_in(request.getfixturevalue(request.param))
    return Storage(str(tmp_path / "lake"))


def holder_of(storage: Storage) -> LeaseHolder:
    return msgspec.json.decode(storage.read(PATH), type=LeaseHolder)


def hold_elsewhere(storage: Storage, lease_s: int = LEASE_S) -> subprocess.Popen[str]:
    """Let another process take the lease and keep it."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, storage.uri, str(lease_s)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def wait_until(done: Callable[[], bool], limit_s: float = 60.0) -> None:
    ends_s = time.monotonic() + limit_s
    while not done():
        assert time.monotonic() < ends_s
        time.sleep(0.05)


def check_until_lost(check: Callable[[], None], passed_s: list[float] | None = None) -> None:
    """Check again and again, and note when each that passed had begun."""
    while True:
        began_s = time.monotonic()
        check()
        if passed_s is not None:
            passed_s.append(began_s)
        time.sleep(0.02)


def test_a_second_process_is_refused_while_the_first_lives_and_not_when_it_was_killed(storage):
    process = hold_elsewhere(storage, lease_s=60)
    try:
        with (
            pytest.raises(LakeError, match=f"process {process.pid} .*writes lake") as e,
            lease(storage, "stream"),
        ):
            pass
        assert "\n" not in str(e.value)
        with lease(storage, "market_summary"):
            pass
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    # Seen from the same machine: the 60 s of the dead one are not waited for.
    started_s = time.monotonic()
    with lease(storage, "stream") as check:
        check()
    assert time.monotonic() - started_s < 50


def test_it_can_be_taken_again_and_by_one_at_a_time(storage):
    for _ in range(3):
        with lease(storage, "stream") as check:
            check()
            with (
                pytest.raises(LakeError, match=f"process {os.getpid()} "),
                lease(storage, "stream"),
            ):
                pass
            check()


def test_of_many_that_come_at_once_one_has_it(storage):
    inside, most = [0], [0]
    lock = threading.Lock()

    def attempt(_: int) -> bool:
        try:
            with lease(storage, "stream"):
                with lock:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                time.sleep(0.5)
                with lock:
                    inside[0] -= 1
        except LakeError:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        held = list(pool.map(attempt, range(6)))
    assert any(held)
    assert most == [1]


def test_it_is_renewed_while_it_is_held(on_s3):
    with lease(on_s3, "stream") as check:
        first = holder_of(on_s3)
        wait_until(lambda: holder_of(on_s3).renewal >= first.renewal + 4)
        check()
    assert holder_of(on_s3).token == ""


def elsewhere(storage: Storage, lease_s: int = LEASE_S) -> LeaseHolder:
    """A holder on another machine, of whose process nothing can be seen from here."""
    holder = LeaseHolder(
        token="other",
        process=4711,
        started=1,
        host="far.example",
        machine="another machine",
        lasts_s=lease_s,
    )
    storage.write(PATH, msgspec.json.encode(holder))
    return holder


def test_a_holder_on_another_machine_that_is_not_renewed_is_waited_out(on_s3):
    elsewhere(on_s3)
    started_s = time.monotonic()
    with lease(on_s3, "stream") as check:
        check()
    assert time.monotonic() - started_s >= LEASE_S
    assert holder_of(on_s3).host != "far.example"


def test_a_holder_on_another_machine_that_is_renewed_is_not_overtaken(on_s3):
    holder = elsewhere(on_s3)
    stop = threading.Event()

    def renew() -> None:
        n = 0
        while not stop.wait(1.0):
            n += 1
            on_s3.write(PATH, msgspec.json.encode(msgspec.structs.replace(holder, renewal=n)))

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        with (
            pytest.raises(LakeError, match=r"process 4711 on far\.example writes lake s3a://"),
            lease(on_s3, "stream"),
        ):
            pass
    finally:
        stop.set()
        thread.join()


def test_one_that_was_overtaken_learns_of_it_before_it_commits(on_s3):
    with lease(on_s3, "stream") as check:
        check()
        elsewhere(on_s3)

        with pytest.raises(LakeError, match="was lost: another process has taken it; nothing more"):
            check_until_lost(check)
    # What another holds is not given back.
    assert holder_of(on_s3).token == "other"


def test_one_that_cannot_renew_stops_before_its_lease_ends_for_others(on_s3, monkeypatch):
    put_if = S3Files.put_if
    written_s: list[float] = []

    def failing(files: S3Files, relative: str, data: bytes, etag: str | None) -> str:
        if written_s and relative == PATH and etag:
            raise LakeError("S3 does not answer")
        if etag is None and written_s:
            return put_if(files, relative, data, etag)
        answer = put_if(files, relative, data, etag)
        written_s.append(time.monotonic())
        return answer

    monkeypatch.setattr(S3Files, "put_if", failing)
    passed_s: list[float] = []
    with (
        lease(on_s3, "stream") as check,
        pytest.raises(LakeError, match=f"could not be renewed for {LEASE_S} s"),
    ):
        check_until_lost(check, passed_s)
    assert passed_s[-1] - written_s[0] < LEASE_S


def test_clocks_that_are_wrong_do_not_matter(on_s3, monkeypatch):
    # Neither side asks the time of day: what a clock of the machine says is not looked at.
    monkeypatch.setattr(time, "time", lambda: 0.0)
    with lease(on_s3, "stream") as check:
        check()
    elsewhere(on_s3)
    with lease(on_s3, "stream") as check:
        check()


def test_a_server_that_ignores_conditions_is_refused(on_s3, monkeypatch):
    put = S3Files._put
    monkeypatch.setattr(S3Files, "_put", lambda files, path, data, **_: put(files, path, data))
    with pytest.raises(LakeError, match="ignores If-None-Match"), lease(on_s3, "stream"):
        pass


def test_an_object_that_is_no_lease_is_told(on_s3):
    on_s3.write(PATH, b"4711")
    with (
        pytest.raises(LakeError, match=r"stream\.lease is no lease .*remove it"),
        lease(on_s3, "stream"),
    ):
        pass
