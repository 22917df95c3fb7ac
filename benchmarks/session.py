"""The Spark session of every contender on Spark: the pipeline's own, on two cores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pyspark.sql import SparkSession

from marketlake.lake.session import spark_session
from marketlake.local.jars import spark_jar_paths

CORES: Final = 2


def bench_session(name: str, extra: Mapping[str, str] | None = None) -> SparkSession:
    """Start the session."""
    return spark_session(name, master=f"local[{CORES}]", jars=spark_jar_paths(), extra=extra)
