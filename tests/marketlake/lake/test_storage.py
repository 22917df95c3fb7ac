"""Files of a lake, on disk and on S3: whole or not at all, and new where they must be new."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from marketlake.lake.errors import LakeError
from marketlake.lake.storage import Storage


@pytest.fixture
def local(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "lake"))


@pytest.fixture(params=["local", "s3_bucket", "s3_bucket without a prefix", "versitygw_bucket"])
def storage(request: pytest.FixtureRequest) -> Storage:
    if request.param == "local":
        return request.getfixturevalue("local")
    name, _, bare = request.param.partition(" ")
    bucket = request.getfixturevalue(name)
    return Storage(f"s3a://{bucket}" if bare else f"s3a://{bucket}/a/lake")


def files(storage: Storage) -> list[str]:
    return sorted(file.path.rpartition("/")[2] for file in storage.walk(""))


def test_a_file_is_written_read_measured_and_replaced(storage):
    storage.write("a/b/c.bin", b"one")
    assert storage.read("a/b/c.bin") == b"one"
    assert storage.size("a/b/c.bin") == 3
    assert storage.exists("a/b/c.bin")
    storage.write("a/b/c.bin", b"two!")
    assert storage.read("a/b/c.bin") == b"two!"
    assert files(storage) == ["c.bin"]


def test_a_new_file_must_not_exist_and_the_old_one_stays(storage):
    storage.write_new("m/1.json", b"first")
    with pytest.raises(LakeError, match="exists already: another writer works on this lake") as e:
        storage.write_new("m/1.json", b"second")
    assert "\n" not in str(e.value)
    assert storage.read("m/1.json") == b"first"
    assert files(storage) == ["1.json"]


def test_of_many_writers_of_one_new_file_one_wins(storage):
    def attempt(i):
        try:
            storage.write_new("m/1.json", bytes([i]) * 10_000)
        except LakeError:
            return None
        return i

    with ThreadPoolExecutor(8) as pool:
        winners = [i for i in pool.map(attempt, range(16)) if i is not None]
    assert len(winners) == 1
    assert storage.read("m/1.json") == bytes(winners) * 10_000


def test_a_folder_lists_its_files_sorted_without_hidden_ones(storage):
    for name in ("m/2.json", "m/10.json", "m/.3.json.tmp", "m/deeper/4.json", "mm/5.json"):
        storage.write(name, b"")
    assert storage.list("m") == ["10.json", "2.json"]
    assert storage.folders("m") == ["deeper"]
    assert storage.folders("") == ["m", "mm"]
    assert storage.list("absent") == storage.folders("absent") == []


def test_what_is_absent_has_no_size_and_cannot_be_read(storage):
    assert storage.size("x") == -1
    assert not storage.exists("x")
    with pytest.raises(LakeError, match=r"cannot read .*/x: ([Nn]o such (file|object))"):
        storage.read("x")


def test_a_folder_exists_where_a_file_is_in_it(storage):
    storage.write("m/deeper/4.json", b"")
    assert storage.exists("m")
    assert storage.exists("m/deeper")
    assert not storage.exists("m/deep")


def test_files_are_walked_with_size_and_age_and_removed(storage):
    before = time.time()
    for i in range(3):
        storage.write(f"m/{i}", bytes(i))
    storage.write("other", b"")
    found = sorted(storage.walk("m"), key=lambda file: file.path)
    assert [(file.path, file.size_bytes) for file in found] == [("m/0", 0), ("m/1", 1), ("m/2", 2)]
    assert all(abs(file.modified_s - before) < 5 for file in found)
    storage.delete(["m/0", "m/2", "m/absent"])
    assert storage.list("m") == ["1"]
    storage.delete_all("m")
    assert not storage.exists("m")
    assert storage.exists("other")


@pytest.mark.parametrize("method", ["write", "write_new"])
def test_a_place_that_cannot_be_written_is_named_and_nothing_is_left(local, method):
    storage = local
    storage.write("taken", b"a file, no folder")
    with pytest.raises(LakeError, match=r"cannot write .*/taken/x.*check that the disk") as e:
        getattr(storage, method)("taken/x", b"")
    assert "\n" not in str(e.value)
    assert files(storage) == ["taken"]


def test_a_lake_is_a_path_or_a_file_uri(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Storage("lake").local_root == tmp_path / "lake"
    assert Storage(f"file://{tmp_path}/lake").local_root == tmp_path / "lake"
    assert Storage("lake").path("gold/bars") == f"{tmp_path}/lake/gold/bars"
    assert Storage("s3a://bucket/a/lake").path("gold/bars") == "s3a://bucket/a/lake/gold/bars"
    assert Storage("s3://bucket/").path("gold/bars") == "s3a://bucket/gold/bars"
    with pytest.raises(LakeError, match="s3a://bucket/lake is no folder on this machine"):
        _ = Storage("s3a://bucket/lake").local_root
    for uri in ("gs://bucket/lake", "s3a:///lake"):
        with pytest.raises(LakeError, match=f"{uri} is no place known"):
            Storage(uri).path("x")
