"""Finding a Java: the real one of this machine, and programs that answer as bad ones do."""

import shutil
from pathlib import Path

import pytest

from marketlake.local import java
from marketlake.local.errors import LocalError

GOOD = """cat >&2 <<'X'
    java.home = /somewhere/jdk
    java.specification.version = {version}
X
"""
LACKS_MODULE = "echo 'Error: Module jdk.incubator.vector not found' >&2; exit 1"
JAVA_8 = "echo 'Unrecognized option: --add-modules' >&2; exit 1"


@pytest.fixture(autouse=True)
def _fresh_search():
    java.find_java.cache_clear()
    yield
    java.find_java.cache_clear()


def fake_java(home: Path, body: str) -> Path:
    executable = home / "bin" / "java"
    executable.parent.mkdir(parents=True)
    executable.write_text(f"#!/bin/sh\n{body}\n")
    executable.chmod(0o755)
    return executable


def test_this_machines_java_is_usable():
    found = java.find_java()
    assert 17 <= found.version <= 23
    assert (found.home / "bin" / "java").is_file()


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (LACKS_MODULE, "lacks the module jdk.incubator.vector"),
        (JAVA_8, "older than Java 9"),
        (GOOD.format(version="11"), "is Java 11"),
        (GOOD.format(version="1.8"), "is Java 8"),
        (GOOD.format(version="24"), "is Java 24"),
        ("exit 3", "exit status 3 to -version"),
    ],
)
def test_an_unusable_java_is_told_by_its_fault(tmp_path, body, fault):
    assert java.probe(fake_java(tmp_path, body)) == fault


def test_a_file_that_is_no_program_is_told(tmp_path):
    executable = fake_java(tmp_path, "")
    executable.chmod(0o644)
    assert str(java.probe(executable)).startswith("does not run")


def test_java_home_comes_first(tmp_path, monkeypatch):
    executable = fake_java(tmp_path, GOOD.format(version="21"))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert java.find_java() == java.Java(executable, Path("/somewhere/jdk"), 21)


def test_a_bad_java_home_is_passed_over(tmp_path, monkeypatch):
    fake_java(tmp_path / "old", JAVA_8)
    good = fake_java(tmp_path / "good", GOOD.format(version="17"))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "old"))
    monkeypatch.setenv("PATH", str(good.parent), prepend=":")
    assert java.find_java().executable == good


def test_the_usual_folders_are_searched_with_no_environment_at_all(tmp_path, monkeypatch):
    good = fake_java(tmp_path / "jvm" / "java-17", GOOD.format(version="17"))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(java, "_USUAL_PLACES", (f"{tmp_path}/jvm/*/bin/java",))
    assert java.find_java().executable == good


def test_none_gives_one_line_with_each_fault_and_what_to_type(tmp_path, monkeypatch):
    old = fake_java(tmp_path, JAVA_8)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr(java, "_USUAL_PLACES", ())
    with pytest.raises(LocalError) as caught:
        java.find_java()
    assert str(caught.value) == (
        f"no Java 17 to 23 found (tried {old}: older than Java 9); "
        "type: export JAVA_HOME=<folder of a Java 17>"
    )
