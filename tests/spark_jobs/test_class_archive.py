"""The archive of the JVM's classes: mapped where it fits, and no more than absent where not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from marketlake.local.java import find_java
from spark_jobs.class_archive import archive_path, use_archive


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETLAKE_CACHE", str(tmp_path))


def java(*options: str) -> subprocess.CompletedProcess[str]:
    command = [str(find_java().executable), *options, "-version"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)


def test_without_an_archive_there_is_no_option():
    assert use_archive() == ""


def test_an_archive_that_fits_is_mapped():
    java("-Xshare:auto", f"-XX:ArchiveClassesAtExit={archive_path()}", "-Xlog:cds*=off")
    loaded = java(*use_archive().split(), "-Xlog:class+load").stdout
    assert "shared objects file (top)" in loaded


def test_one_that_does_not_fit_is_not_told():
    archive_path().write_bytes(b"of another Java")
    said = java(*use_archive().split())
    assert said.stdout == ""
    assert said.stderr == java().stderr.replace(", sharing", "")
