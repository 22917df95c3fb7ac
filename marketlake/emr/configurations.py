"""What EMR is told of its applications: Spark as a laptop has it, and what a cluster has beside.

`DEFAULTS` of :mod:`marketlake.lake.session` hold for every session of ours, wherever it runs. Here
stands what differs on a cluster, or makes sense there alone; docs/adr/0014 has the reasons.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from marketlake.lake.session import DEFAULTS
from marketlake.settings.model import ClusterSettings, Settings

Configurations = list[dict[str, Any]]
"""As EMR takes them: a list of ``{"Classification": …, "Properties": {…}}``."""

# Applications that are not ours, notebooks above all: our own sessions say in DEFAULTS what they
# want, and a session wins over the cluster.
_SPARK: Final[Mapping[str, str]] = {
    "spark.sql.adaptive.enabled": "true",
    # On a cluster that is shared, few tasks of the size asked for, and not as many as there are
    # cores.
    "spark.sql.adaptive.coalescePartitions.parallelismFirst": "false",
    "spark.sql.adaptive.advisoryPartitionSizeInBytes": str(128 << 20),
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.streaming.stateStore.providerClass": (
        "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
    ),
    # Nodes come and go: what a leaving one holds moves, and its loss is no failure of the job.
    "spark.dynamicAllocation.enabled": "true",
    "spark.shuffle.service.enabled": "true",
    "spark.decommission.enabled": "true",
    "spark.executor.failuresValidityInterval": "1h",
    "spark.yarn.am.attemptFailuresValidityInterval": "1h",
    # A stream runs for months, and its events would be one file of as many gigabytes.
    "spark.eventLog.rolling.enabled": "true",
    "spark.eventLog.rolling.maxFileSize": "128m",
    "spark.history.fs.cleaner.enabled": "true",
    "spark.history.fs.eventLog.rolling.maxFilesToRetain": "8",
    # Between driver, executors and shuffle service, whether or not EMR was given certificates.
    "spark.authenticate": "true",
    "spark.network.crypto.enabled": "true",
    "spark.io.encryption.enabled": "true",
}

_YARN: Final[Mapping[str, str]] = {
    # Application masters on core nodes alone, which are on demand: by the name that EMR documents,
    # and by that of Hadoop itself.
    "yarn.node-labels.enabled": "true",
    "yarn.node-labels.am.default-node-label-expression": "CORE",
    "yarn.resourcemanager.node-labels.am.default-node-label-expression": "CORE",
    "yarn.nodemanager.pmem-check-enabled": "true",
    # Address space is no memory: Python's and Java's maps alone would have containers killed.
    "yarn.nodemanager.vmem-check-enabled": "false",
    # Else YARN lists the unpacked environment, thousands of files, before it starts a container.
    "yarn.nodemanager.log-container-debug-info.enabled": "false",
    # Logs of a stream reach S3 while it runs.
    "yarn.log-aggregation-enable": "true",
    "yarn.nodemanager.log-aggregation.roll-monitoring-interval-seconds": "3600",
    "spark.authenticate": "true",
}

_S3A: Final[Mapping[str, str]] = {
    # The profile of the node and nothing else: no key in a variable or a file is looked for.
    "fs.s3a.aws.credentials.provider": (
        "org.apache.hadoop.fs.s3a.auth.IAMInstanceCredentialsProvider"
    ),
}

_SCHEDULER: Final[Mapping[str, str]] = {
    # Drivers are a third of the memory of a small cluster: with a tenth, one stream would be all.
    "yarn.scheduler.capacity.maximum-am-resource-percent": "0.5",
    # A queue has nothing of a label that it was not given: no application master would ever start.
    **{
        f"yarn.scheduler.capacity.{queue}.accessible-node-labels{of}": value
        for queue in ("root", "root.default")
        for of, value in (("", "*"), (".CORE.capacity", "100"))
    },
}

_LIVY: Final[Mapping[str, str]] = {
    # A notebook that was left open holds executors, and keeps an idle cluster from ending.
    "livy.server.session.timeout": "1h",
}

_GLUE: Final[Mapping[str, str]] = {
    "hive.metastore.client.factory.class": (
        "com.amazonaws.glue.catalog.metastore.AWSGlueDataCatalogHiveClientFactory"
    ),
}


def cluster_configurations(settings: Settings) -> Configurations:
    """Make EMR's configurations from the settings of the code.

    Parameters
    ----------
    settings : Settings
        All settings; those of the section ``cluster`` count.

    Returns
    -------
    list of dict
        One for each application; all values are texts, as EMR asks.
    """
    cluster = settings.cluster
    attempts = str(cluster.master_attempts)
    properties: dict[str, Mapping[str, str]] = {
        "spark-defaults": {
            **DEFAULTS,
            **_SPARK,
            **_sizes(cluster),
            "spark.yarn.maxAppAttempts": attempts,
        },
        "delta-defaults": {"delta.enabled": "true"},
        "yarn-site": {**_YARN, "yarn.resourcemanager.am.max-attempts": attempts},
        "capacity-scheduler": _SCHEDULER,
        "core-site": _S3A,
        "livy-conf": _LIVY,
    }
    if cluster.glue_catalog:
        properties["spark-hive-site"] = _GLUE
    return [
        {"Classification": name, "Properties": dict(values)} for name, values in properties.items()
    ]


def _sizes(cluster: ClusterSettings) -> dict[str, str]:
    return {
        "spark.dynamicAllocation.minExecutors": str(cluster.min_executors),
        "spark.dynamicAllocation.initialExecutors": str(cluster.min_executors),
        "spark.dynamicAllocation.maxExecutors": str(cluster.max_executors),
        "spark.executor.cores": str(cluster.executor_cores),
        "spark.executor.memory": f"{cluster.executor_heap_mb}m",
        "spark.executor.memoryOverhead": f"{cluster.executor_python_mb}m",
        "spark.driver.memory": f"{cluster.driver_heap_mb}m",
        "spark.driver.memoryOverhead": f"{cluster.driver_python_mb}m",
    }


def as_json(configurations: Configurations) -> str:
    """Write them as the file that EMR and Terraform read; the same each time for the same."""
    return json.dumps(configurations, indent=2, ensure_ascii=False) + "\n"
