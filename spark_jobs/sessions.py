"""The Spark session of a job: local with our own jars, or the cluster's under spark-submit."""

from __future__ import annotations

import os

from pyspark.sql import SparkSession

from marketlake.lake.session import spark_session
from marketlake.local.jars import spark_jar_paths
from marketlake.local.java import find_java
from marketlake.settings import environment


def job_session(name: str) -> SparkSession:
    """Start the session; under ``spark-submit`` master and jars are the cluster's."""
    if environment.under_spark_submit():
        return spark_session(name, master=None)
    # pyspark looks for Java in JAVA_HOME and on the PATH only.
    os.environ["JAVA_HOME"] = str(find_java().home)
    return spark_session(name, jars=spark_jar_paths())
