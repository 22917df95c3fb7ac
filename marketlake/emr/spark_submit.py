"""The command line by which a job is submitted to a cluster; no other place knows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from marketlake.emr.packing_steps import KERNEL_ENVIRONMENT

_CODE: Final = "./application"
"""Where YARN unpacks our code, beside each container's working folder."""
_PYTHON: Final = "./environment/bin/python"


@dataclass(frozen=True)
class Artifacts:
    """What a job needs of us, each as a URI that the cluster can read.

    Attributes
    ----------
    environment, application : str
        The archives that `marketlake.emr.packing` makes.
    main : str
        The program, ``main.py``.
    jars : tuple of str
        What the cluster's Spark lacks.
    """

    environment: str
    application: str
    main: str
    jars: tuple[str, ...] = ()


def spark_submit(
    job: Sequence[str],
    artifacts: Artifacts,
    *,
    settings: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    program: str = "spark-submit",
) -> list[str]:
    """Build the command that runs a job in cluster mode, on YARN.

    Parameters
    ----------
    job : sequence of str
        The job and its arguments, as behind ``marketlake``: ``["stream", "--source", …]``.
    settings : mapping, optional
        Further settings of Spark, such as ``spark.yarn.tags``; they win over those here.
    environment : mapping, optional
        Variables of the driver and of the executors, such as
        ``MARKETLAKE_OBSERVABILITY__METRICS_PORT``. They stand in the command and in the logs:
        nothing secret.

    Returns
    -------
    list of str
        The program and its arguments, nothing quoted.
    """
    variables = {**KERNEL_ENVIRONMENT, "PYTHONPATH": _CODE, **(environment or {})}
    conf = {
        "spark.pyspark.python": _PYTHON,
        # The code is there before the first worker is forked, so that all share what it imports.
        "spark.python.daemon.module": "spark_jobs.worker_daemon",
        **{f"spark.yarn.appMasterEnv.{name}": text for name, text in variables.items()},
        **{f"spark.executorEnv.{name}": text for name, text in variables.items()},
        **(settings or {}),
    }
    command = [program, "--master", "yarn", "--deploy-mode", "cluster"]
    command += ["--name", f"marketlake {' '.join(_words(job))}"]
    archives = (f"{artifacts.environment}#environment", f"{artifacts.application}#application")
    command += ["--archives", ",".join(archives)]
    if artifacts.jars:
        command += ["--jars", ",".join(artifacts.jars)]
    for key, value in conf.items():
        command += ["--conf", f"{key}={value}"]
    return [*command, artifacts.main, *job]


def _words(job: Sequence[str]) -> list[str]:
    """Give the name of a job, which comes before its options."""
    named = next((n for n, word in enumerate(job) if word.startswith("-")), len(job))
    return list(job[:named])
