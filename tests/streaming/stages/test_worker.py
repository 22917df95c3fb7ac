"""Workers are spared what Spark would make them do around every task."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile
from zipimport import zipimporter

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from streaming.stages.worker import lighten


def test_archives_are_forgotten_and_still_imported_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "packed.zip"
    with ZipFile(archive, "w") as file:
        file.writestr("packed_early.py", "value = 1")
        file.writestr("packed_late.py", "value = 2")
    monkeypatch.syspath_prepend(str(archive))
    assert importlib.import_module("packed_early").value == 1
    assert str(archive) in sys.path_importer_cache
    lighten()
    assert not [f for f in sys.path_importer_cache.values() if isinstance(f, zipimporter)]
    assert importlib.import_module("packed_late").value == 2


def test_jars_leave_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jar = str(tmp_path / "spark-core.jar")
    monkeypatch.syspath_prepend(jar)
    lighten()
    assert jar not in sys.path
    assert jar not in sys.path_importer_cache


def test_workers_keep_the_memory_of_a_batch(spark: SparkSession) -> None:
    def environment(_batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        names = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MIMALLOC_PURGE_DELAY")
        yield pa.RecordBatch.from_pydict({"value": [os.environ.get(name) for name in names]})

    rows = spark.range(1, numPartitions=1).mapInArrow(environment, "value STRING").collect()
    assert [row["value"] for row in rows] == [str(32 << 20), str(1 << 30), "-1"]
