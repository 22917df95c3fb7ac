"""The Spark session of a job: local with our own jars, or the cluster's under spark-submit."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pyspark.sql import SparkSession

from marketlake.lake.s3_spark import connector_options, encryption_options
from marketlake.lake.session import LOCAL, spark_session
from marketlake.lake.storage import Storage
from marketlake.local.jars import s3_jar_paths, spark_jar_paths
from marketlake.local.java import find_java
from marketlake.settings import environment
from spark_jobs.class_archive import JAVA_OPTIONS, use_archive

_NOISE: Final = "WARNING: Using incubator modules"
_filters: Final[list[subprocess.Popen[bytes]]] = []


def job_session(name: str, storage: Storage, *, light: bool = False) -> SparkSession:
    """Start the session; under ``spark-submit`` master, jars and S3 connector are the cluster's.

    Parameters
    ----------
    storage : Storage
        The lake: one on S3 needs jars of its own, which come when they are first needed.
    light : bool
        As for :func:`local_options`.
    """
    extra = encryption_options(storage)
    if environment.under_spark_submit():
        return spark_session(name, master=None, extra=extra)
    extra |= connector_options(storage) | local_options(light=light)
    jars = [*spark_jar_paths(), *(s3_jar_paths() if storage.on_s3 else ())]
    # pyspark looks for Java in JAVA_HOME and on the PATH only.
    os.environ["JAVA_HOME"] = str(find_java().home)
    with _without_noise():
        return spark_session(name, jars=jars, extra=extra)


def local_options(*, light: bool) -> dict[str, str]:
    """Options of a session on this machine.

    Parameters
    ----------
    light : bool
        No rows pass through the JVM, it only plans: it then compiles its code once and cheaply,
        and not a second time for speed, which took more CPU than all else it did.
    """
    java = [LOCAL[JAVA_OPTIONS], use_archive()]
    if light:
        java.append("-XX:TieredStopAtLevel=1")
    return {
        "spark.python.daemon.module": "spark_jobs.worker_daemon",
        JAVA_OPTIONS: " ".join(java),
    }


@contextmanager
def _without_noise() -> Iterator[None]:
    """Keep one line of the JVM from the user, for which it has no switch.

    What is started meanwhile writes its standard error through a filter, for as long as it lives.
    """
    grep = shutil.which("grep")
    if grep is None:
        yield
        return
    filtered = subprocess.Popen(
        [grep, "--line-buffered", "-av", _NOISE],
        stdin=subprocess.PIPE,
        stdout=2,
        # Ctrl-C in the terminal is not for the filter: it ends with what writes to it.
        start_new_session=True,
    )
    _filters.append(filtered)
    assert filtered.stdin is not None
    ours = os.dup(2)
    os.dup2(filtered.stdin.fileno(), 2)
    filtered.stdin.close()
    try:
        yield
    finally:
        os.dup2(ours, 2)
        os.close(ours)
