"""The Spark session: its configuration stands here, for a laptop and for a cluster."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

SPARK_ERRORS: Final = (PySparkException, Py4JError)
"""What Spark's Python side raises: of a plan, a task, a query, or for want of a JVM."""

DEFAULTS: Final[Mapping[str, str]] = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    # Rows cross to Python in large Arrow batches: the cost a batch dominates small ones.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "125000",
    "spark.sql.execution.pyspark.udf.faulthandler.enabled": "true",
    "spark.python.worker.faulthandler.enabled": "true",
    # The answers of tasks are a few rows; planning them anew at run time costs more than it saves.
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.streaming.metricsEnabled": "false",
    "spark.serializer": "org.apache.spark.serializer.KryoSerializer",
    # Memory that a batch needed, the next one needs again. Given back in between, the kernel clears
    # each page anew: up to 1.2 of 9 s of the workers' CPU.
    "spark.executorEnv.MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "spark.executorEnv.MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "spark.executorEnv.MIMALLOC_PURGE_DELAY": "-1",
}

CHECKPOINTS: Final = "spark.sql.streaming.checkpointFileManagerClass"
"""What writes the checkpoint of a query: its name hangs on where that lies."""

_LOG_SETTINGS: Final = Path(__file__).with_name("log4j2.properties")

LOCAL: Final[Mapping[str, str]] = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.memory": "3g",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.sql.shuffle.partitions": "2",
    # Delta reads a table's log in 50 tasks by default; on a laptop most of that is their start.
    "spark.databricks.delta.snapshotPartitions": "2",
    # The default starts processes to ask and set the rights of each file: 130 ms a batch.
    CHECKPOINTS: ("org.apache.spark.sql.execution.streaming.FileSystemBasedCheckpointFileManager"),
    "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile=file:{_LOG_SETTINGS}",
}


def spark_session(
    name: str,
    *,
    master: str | None = "local[*]",
    jars: Sequence[Path] = (),
    extra: Mapping[str, str] | None = None,
) -> SparkSession:
    """Start or get the Spark session.

    Parameters
    ----------
    master : str or None
        None under ``spark-submit``, where the cluster's own configuration holds.
    jars : sequence of Path
        Local jar files. Not packages: those put every jar on the Python path of each task.
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName(name)
    options = dict(DEFAULTS)
    if master is not None:
        builder = builder.master(master)
        options |= LOCAL
    if jars:
        options["spark.jars"] = ",".join(str(jar) for jar in jars)
    for key, value in {**options, **(extra or {})}.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()
