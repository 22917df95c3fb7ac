"""bootstrap/environment.sh, run for real: from HTTP and S3, twice, and with what may go wrong."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from marketlake.emr.archives import Archive, pack
from marketlake.emr.packing import pack_environment
from marketlake.settings import environment
from tests.bootstrap.sandbox import Node, closed_port
from tests.s3_servers import S3Server
from tests.yarn.cluster import interpreter

SCRIPT = "environment.sh"
MODULES = ("deltalake", "numba", "numpy", "pandas", "pyarrow")


@pytest.fixture(scope="session")
def packed() -> Archive:
    """The environment that clusters get, on this machine's Python."""
    return pack_environment(environment.cache_dir() / "packed", interpreter=interpreter())


def small(folder: Path, python: str | None, padding: bytes = b"") -> Archive:
    """An archive of the same layout without packages."""
    stage = folder / "stage"
    site = stage / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    site.mkdir(parents=True)
    (stage / "padding").write_bytes(padding)
    if python is not None:
        (stage / "bin").mkdir()
        (stage / "bin" / "python").symlink_to(python)
    (stage / "pyvenv.cfg").write_text(f"home = {Path(interpreter()).parent}\n")
    for module in MODULES:
        (site / f"{module}.py").write_text("")
    archive = pack(stage, folder / "small.tar.gz")
    shutil.rmtree(stage)
    return archive


def test_packed_environment_is_unpacked_runs_and_stays(node: Node, packed: Archive):
    told = node.succeeds(SCRIPT, packed.path.as_uri(), packed.sha256)
    assert packed.sha256 in told
    code = "import sys, numba, pyarrow, marketlake"
    python = node.home / "current" / "bin" / "python"
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert "No module named 'marketlake'" in done.stderr, "packages are there, our code is not"
    before = node.tree()
    assert "is there" in node.succeeds(SCRIPT, packed.path.as_uri(), packed.sha256)
    assert node.tree() == before


def test_archive_is_fetched_over_http_and_the_latest_is_current(node: Node, shelf):
    folder, url = shelf
    first = small(folder, interpreter(), b"1")
    node.succeeds(SCRIPT, f"{url}/small.tar.gz", first.sha256)
    second = small(folder, interpreter(), b"2")
    node.succeeds(SCRIPT, f"{url}/small.tar.gz", second.sha256)
    assert (node.home / "current" / "padding").read_bytes() == b"2"
    node.succeeds(SCRIPT, f"{url}/small.tar.gz", first.sha256)
    assert (node.home / "current" / "padding").read_bytes() == b"1"
    assert sorted(path.name for path in (node.home / "environments").iterdir()) == sorted(
        [first.sha256, second.sha256]
    )


def test_archive_is_fetched_from_s3(node: Node, shelf, s3_server: S3Server):
    if shutil.which("aws") is None:
        pytest.skip("no aws on PATH: the node's own program is wanted")
    archive = small(shelf[0], interpreter())
    bucket = s3_server.new_bucket()
    s3_server.client().upload_file(str(archive.path), bucket, "environments/small.tar.gz")
    node.variables |= s3_server.environment
    node.succeeds(SCRIPT, f"s3://{bucket}/environments/small.tar.gz", archive.sha256)
    assert (node.home / "current" / "bin" / "python").exists()
    assert f"s3://{bucket}/absent" in node.fails(SCRIPT, f"s3://{bucket}/absent", "0" * 64)


def test_wrong_digest_is_refused_and_leaves_nothing(node: Node, shelf):
    archive = small(shelf[0], interpreter())
    line = node.fails(SCRIPT, f"{shelf[1]}/small.tar.gz", "0" * 64)
    assert f"has SHA-256 {archive.sha256}, not {'0' * 64}" in line
    assert list((node.home / "environments").iterdir()) == []
    assert not (node.home / "current").exists()


def test_no_network(node: Node):
    line = node.fails(SCRIPT, f"http://127.0.0.1:{closed_port()}/small.tar.gz", "0" * 64)
    assert "cannot fetch http://127.0.0.1" in line


def test_absent_archive(node: Node, shelf):
    assert "404" in node.fails(SCRIPT, f"{shelf[1]}/small.tar.gz", "0" * 64)


@pytest.mark.parametrize(
    ("padding", "complaint"),
    [(b"\0" * 200_000, "cannot unpack"), (bytes(range(256)) * 4, "")],
    ids=["while unpacking", "enough room"],
)
def test_full_disk(full_node: Node, shelf, padding: bytes, complaint: str):
    archive = small(shelf[0], interpreter(), padding)
    run = full_node.fails if complaint else full_node.succeeds
    assert complaint in run(SCRIPT, f"{shelf[1]}/small.tar.gz", archive.sha256)
    if complaint:
        assert list((full_node.home / "environments").iterdir()) == []


def test_disk_full_while_fetching(full_node: Node, shelf):
    (shelf[0] / "large.tar.gz").write_bytes(b"\1" * 300_000)
    assert "cannot fetch" in full_node.fails(SCRIPT, f"{shelf[1]}/large.tar.gz", "0" * 64)


def test_node_without_the_python_it_links_to(node: Node, shelf):
    node.provide("dnf", "echo 'No match for argument: python3.77' >&2; exit 1")
    archive = small(shelf[0], "/usr/bin/python3.77")
    line = node.fails(SCRIPT, f"{shelf[1]}/small.tar.gz", archive.sha256)
    assert "/usr/bin/python3.77 is absent and dnf cannot install it (No match" in line


def test_archive_that_is_none(node: Node, shelf):
    archive = small(shelf[0], None)
    line = node.fails(SCRIPT, f"{shelf[1]}/small.tar.gz", archive.sha256)
    assert "is no packed environment" in line


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "2 arguments are needed"),
        (("file:///a", "abc"), "'abc' is no SHA-256"),
        (("ftp://a/b", "0" * 64), "is no URI of s3, https, http or file"),
    ],
)
def test_wrong_arguments(node: Node, arguments: tuple[str, ...], complaint: str):
    assert complaint in node.fails(SCRIPT, *arguments)


def test_folder_that_cannot_be_made(node: Node):
    node.home.parent.mkdir(exist_ok=True)
    node.home.write_text("a file stands there")
    assert "cannot make" in node.fails(SCRIPT, "file:///a", "0" * 64)
