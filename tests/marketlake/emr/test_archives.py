"""Archives: the same bytes for the same content, and whole or not there."""

from __future__ import annotations

import hashlib
import os
import tarfile
from pathlib import Path

import pytest

from marketlake.emr.archives import pack, packed_before, remember


def folder_with(root: Path, text: str = "x = 1\n") -> Path:
    (root / "b").mkdir(parents=True)
    (root / "b" / "code.py").write_text(text)
    (root / "run").write_text("#!/bin/sh\n")
    (root / "run").chmod(0o700)
    (root / "a").symlink_to("/usr/bin/python3.11")
    return root


def test_same_content_gives_the_same_bytes(tmp_path: Path):
    first = folder_with(tmp_path / "one")
    second = folder_with(tmp_path / "two")
    os.utime(second / "b" / "code.py", (1, 1))
    (second / "b" / "code.py").chmod(0o666)
    other = folder_with(tmp_path / "three", "x = 2\n")
    packed = [
        pack(folder, tmp_path / f"{n}.tar.gz") for n, folder in enumerate((first, second, other))
    ]
    assert packed[0].sha256 == packed[1].sha256
    assert packed[0].path.read_bytes() == packed[1].path.read_bytes()
    assert packed[0].sha256 != packed[2].sha256
    assert packed[0].sha256 == hashlib.sha256(packed[0].path.read_bytes()).hexdigest()
    assert packed[0].size_bytes == packed[0].path.stat().st_size


def test_archive_tells_nothing_of_who_packed_it(tmp_path: Path):
    archive = pack(folder_with(tmp_path / "tree"), tmp_path / "tree.tar.gz")
    with tarfile.open(archive.path) as tar:
        members = {member.name: member for member in tar}
    assert list(members) == ["a", "b", "b/code.py", "run"]
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members.values()} == {
        (0, 0, "", "", 315_532_800)
    }
    assert members["a"].linkname == "/usr/bin/python3.11"
    assert (members["run"].mode, members["b/code.py"].mode) == (0o755, 0o644)


def test_failure_leaves_the_archive_of_before(tmp_path: Path):
    tree = folder_with(tmp_path / "tree")
    archive = pack(tree, tmp_path / "tree.tar.gz")
    before = archive.path.read_bytes()
    (tmp_path / ".tree.tar.gz.partial").mkdir()
    with pytest.raises(OSError, match="partial"):
        pack(tree, archive.path)
    assert archive.path.read_bytes() == before


def test_what_was_packed_of_other_inputs_or_harmed_is_not_taken(tmp_path: Path):
    archive = pack(folder_with(tmp_path / "tree"), tmp_path / "tree.tar.gz")
    assert packed_before(archive.path, "inputs") is None
    remember(archive, "inputs")
    assert packed_before(archive.path, "inputs") == archive
    assert packed_before(archive.path, "others") is None
    archive.path.write_bytes(archive.path.read_bytes()[:-1])
    assert packed_before(archive.path, "inputs") is None
