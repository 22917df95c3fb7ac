"""The JVM's classes, read and checked once a machine, so that each Spark session need not.

``python -m spark_jobs.class_archive`` starts a session, runs a small stream and lets the JVM write
the classes it had loaded to a file in the cache (application class-data sharing). A local session
whose JVM maps that file is there in half the time. Without one, or with one that another Java or
another pyspark wrote, it starts as ever. Run by ``scripts/setup``.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyspark
from pyspark.sql import DataFrame, SparkSession

from marketlake.lake.session import LOCAL, spark_session
from marketlake.local.errors import LocalError
from marketlake.local.jars import spark_jar_paths
from marketlake.local.java import find_java
from marketlake.settings import environment

JAVA_OPTIONS: Final = "spark.driver.extraJavaOptions"
_WRITE_S: Final = 300.0


def archive_path() -> Path:
    """Name the archive of this Java and this pyspark, which need not exist."""
    java = find_java()
    key = f"{java.home} {java.version} {pyspark.__version__} {pyspark.__file__}"
    return environment.cache_dir() / f"spark-{hashlib.sha256(key.encode()).hexdigest()[:16]}.jsa"


def use_archive() -> str:
    """Give the JVM's options that map the archive; none where there is no archive."""
    archive = archive_path()
    # What the JVM finds wrong with the file, it says on standard output, and goes on without.
    quiet = "-Xshare:auto -Xlog:cds*=off -Xlog:class+path=off"
    return f"-XX:SharedArchiveFile={archive} {quiet}" if archive.is_file() else ""


def write_archive() -> Path:
    """Write the archive, in place of an earlier one.

    Raises
    ------
    LocalError
        If the JVM wrote none.
    """
    archive = archive_path()
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix="classes-") as folder:
        written = Path(folder) / archive.name
        dump = f"{LOCAL[JAVA_OPTIONS]} -XX:ArchiveClassesAtExit={written} -Xlog:cds*=off"
        os.environ["JAVA_HOME"] = str(find_java().home)
        spark = spark_session("classes", jars=spark_jar_paths(), extra={JAVA_OPTIONS: dump})
        _use(spark, folder)
        if _end(spark) != 0 or not written.is_file():
            raise LocalError("the JVM wrote no archive of its classes")
        written.replace(archive)
    return archive


def _use(spark: SparkSession, folder: str) -> None:
    """Let the JVM load what a stream needs."""

    def batch(frame: DataFrame, _number: int) -> None:
        frame.mapInArrow(_same, frame.schema).collect()

    stream = spark.readStream.format("rate").load().writeStream.foreachBatch(batch)
    query = stream.option("checkpointLocation", f"{folder}/checkpoint").start()
    query.processAllAvailable()
    query.stop()


def _same(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
    return batches


def _end(spark: SparkSession) -> int:
    """End the JVM and wait for it, which writes on its way out; give its exit status."""
    gateway = spark.sparkContext._gateway  # noqa: SLF001 - pyspark has no other way to its process
    spark.stop()
    if gateway is None:
        raise LocalError("the JVM of Spark is not there")
    gateway.shutdown()
    gateway.proc.stdin.close()
    return int(gateway.proc.wait(_WRITE_S))


def main() -> int:
    """Write the archive; give the exit status."""
    try:
        write_archive()
    except LocalError as error:
        sys.stderr.write(f"marketlake: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
