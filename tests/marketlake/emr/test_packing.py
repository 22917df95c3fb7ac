"""What is packed for a cluster, looked at in the very archives; tests/yarn runs them."""

from __future__ import annotations

import re
import sys
import tarfile
from pathlib import Path

import pytest

from marketlake.emr import packing
from marketlake.emr.packing import cluster_jars, main_file
from marketlake.emr.packing_steps import PackingError
from marketlake.settings import environment
from tests.yarn.cluster import interpreter

MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.fixture(scope="module")
def packed_folder() -> Path:
    return environment.cache_dir() / "packed"


def test_environment_is_a_link_to_the_clusters_python_without_spark(packed_folder: Path):
    archive = packing.pack_environment(packed_folder, interpreter=interpreter())
    with tarfile.open(archive.path) as tar:
        members = {member.name: member for member in tar}
        cfg = tar.extractfile("pyvenv.cfg").read().decode()
    assert members["bin/python"].linkname == interpreter()
    assert f"home = {Path(interpreter()).parent}\n" in cfg
    assert {name for name in members if name.startswith("bin/")} == {
        "bin/python",
        "bin/python3",
        f"bin/python{MINOR}",
    }
    site = f"lib/python{MINOR}/site-packages"
    tops = {name.removeprefix(f"{site}/").partition("/")[0] for name in members}
    assert {"numba", "numpy", "pyarrow", "deltalake", "confluent_kafka"} <= tops
    assert not {"pyspark", "py4j", "delta", "marketlake", "pytest", "moto"} & tops
    assert f"{site}/numba/__pycache__/__init__.cpython-{MINOR.replace('.', '')}.pyc" in members


def test_application_has_our_code_and_kernels_that_say_nothing_of_this_run(packed_folder: Path):
    archive = packing.pack_application(packed_folder, interpreter=interpreter())
    addresses, kernels = set(), 0
    with tarfile.open(archive.path) as tar:
        names = tar.getnames()
        for name in names:
            if name.endswith(".nbc"):
                kernels += 1
                found = re.findall(rb" at 0x([0-9a-f]+)>", tar.extractfile(name).read())
                addresses |= {int(text, 16) for text in found}
    assert kernels > 50
    assert addresses <= {0}
    assert {name.partition("/")[0] for name in names} == {"marketlake", "streaming", "spark_jobs"}
    assert "spark_jobs/main.py" in names
    assert "marketlake/lake/log4j2.properties" in names
    again = packing.pack_application(packed_folder, interpreter=interpreter())
    assert again == archive


@pytest.mark.parametrize("name", ["python3.11", "/usr/bin/python3", "/usr/bin/python3.11 -E"])
def test_interpreter_has_to_say_its_version(tmp_path: Path, name: str):
    with pytest.raises(PackingError, match="does not say its version"):
        packing.pack_environment(tmp_path, interpreter=name)


def test_kernels_of_another_python_are_refused(tmp_path: Path):
    with pytest.raises(PackingError, match=rf"this is Python {MINOR}, the cluster's is 3\.99"):
        packing.pack_application(tmp_path, interpreter="/usr/bin/python3.99")


def test_packages_that_cannot_be_fetched_are_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert packing.main(["--to", str(tmp_path)]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert told.err.startswith("package: the packages cannot be installed: ERROR:")
    assert [path.name for path in tmp_path.iterdir()] == [".environment.tar.gz.lock"]


def test_packing_without_room_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "file").write_text("no folder")
    assert packing.main(["--to", str(tmp_path / "file" / "in")]) == 1
    assert "Not a directory" in capsys.readouterr().err


def test_cluster_gets_the_jars_that_it_lacks():
    names = {jar.name.partition("-")[0] for jar in cluster_jars()}
    assert not any(name.startswith("io.delta") for name in names)
    assert any("kafka" in jar.name for jar in cluster_jars())
    both = {jar.name for jar in cluster_jars(delta=True)} - {jar.name for jar in cluster_jars()}
    assert both
    assert all(name.startswith("io.delta_") for name in both)


def test_main_file_runs_the_launcher():
    assert "from spark_jobs.cli import main" in main_file().read_text()
