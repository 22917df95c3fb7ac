"""Manifests come back as they were; a damaged one says so."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from marketlake.lake.datafiles import DataFile
from marketlake.lake.errors import LakeError
from marketlake.lake.manifests import Manifest, ManifestInput, Manifests
from marketlake.lake.storage import Storage


def data_file(name):
    partition = {"market": "spot", "date": "2025-01-15"}
    return DataFile("gold/bars", name, 10, 2, "ab" * 32, partition, '{"numRecords": 2}')


def manifest(sequence, **changes):
    values = {
        "sequence": sequence,
        "kind": "batch",
        "spark_batch": sequence - 1,
        "source": "kafka:cluster",
        "ingest_time_us": 1_736_949_600_000_000,
        "inputs": {
            "market.trades-0": ManifestInput("market.trades", 0, 42, -(2**62), 2**53 + 1, True),
            "market.bars-1": ManifestInput("market.bars", 1, 7, 5, 6, False),
        },
        "files": [data_file("a.parquet"), data_file("ü.parquet")],
        "state_files": {"market.trades-0": [data_file("s.parquet"), data_file("t.parquet")]},
        "replaced_state_files": [data_file("r.parquet")],
        "counts": {"market.trades-0": {"read": 3, "silver": 2, "quarantined": 1}},
    }
    return Manifest(**{**values, **changes})


@pytest.fixture
def manifests(tmp_path: Path) -> Manifests:
    return Manifests(Storage(str(tmp_path)), "market")


def path_of(manifests, tmp_path, sequence):
    return tmp_path / manifests.folder / f"{sequence:012d}.json"


def test_a_manifest_comes_back_as_it_was(manifests):
    assert manifests.last() is None
    assert manifests.sequences() == []
    for sequence in (0, 1, 2, 10):
        manifests.write(manifest(sequence))
    assert manifests.sequences() == [0, 1, 2, 10]
    assert manifests.read(2) == manifest(2)
    assert manifests.last() == manifest(10)


def test_a_batch_is_decided_once(manifests):
    manifests.write(manifest(3))
    with pytest.raises(LakeError, match="another writer"):
        manifests.write(manifest(3, kind="other"))
    assert manifests.read(3) == manifest(3)


def test_a_manifest_of_another_release_is_refused_with_one_line(manifests, tmp_path):
    manifests.write(manifest(3))
    path = path_of(manifests, tmp_path, 3)
    of_before = json.loads(path.read_bytes())
    # As the first release wrote it: one file a state.
    of_before |= {
        "version": 1,
        "state_files": {"market.trades-0": msgspec.to_builtins(data_file("s"))},
    }
    path.write_text(json.dumps(of_before))
    with pytest.raises(
        LakeError, match="has version 1, this release reads 2: run the release"
    ) as e:
        manifests.last()
    assert "\n" not in str(e.value)


def test_pipelines_do_not_see_each_other(manifests, tmp_path):
    manifests.write(manifest(3))
    assert Manifests(Storage(str(tmp_path)), "other").last() is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: b"\x00" * len(data),
        lambda data: data.replace(b'"kafka:cluster"', b"17"),
        lambda data: data.replace(b'"sequence"', b'"sequenze"'),
        lambda data: data.replace(b"kafka:cluster", b"kafka\xff\xfecluster"),
    ],
    ids=["cut", "empty", "zeros", "type", "field", "not utf-8"],
)
def test_a_damaged_manifest_is_one_clear_line(manifests, tmp_path, damage):
    manifests.write(manifest(3))
    path = path_of(manifests, tmp_path, 3)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(LakeError, match=r"manifest .*000000000003\.json is damaged .*restore") as e:
        manifests.last()
    assert "\n" not in str(e.value)


def test_an_absent_manifest_is_named(manifests):
    with pytest.raises(LakeError, match=r"cannot read .*000000000009\.json"):
        manifests.read(9)


def test_unfinished_files_are_no_manifests(manifests, tmp_path):
    manifests.write(manifest(0))
    (tmp_path / manifests.folder / ".000000000001.json.abc.tmp").write_bytes(b"{")
    (tmp_path / manifests.folder / "notes.txt").write_bytes(b"")
    assert manifests.sequences() == [0]
