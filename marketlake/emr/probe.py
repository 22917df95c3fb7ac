"""A real step on a cluster, and its answer read back from the lake."""

from __future__ import annotations

import json
import uuid
from typing import Any, Final

from marketlake.emr.cluster import Cluster
from marketlake.emr.deployment import Deployment
from marketlake.emr.errors import EmrError
from marketlake.emr.releases import Release
from marketlake.emr.spark_submit import spark_submit
from marketlake.emr.steps import submit, wait
from marketlake.lake.storage import Storage
from marketlake.settings.model import S3Settings

_PLACE: Final = "_marketlake/probes"
"""Where the job ``batch probe`` leaves its answer, in the lake."""


def probe(deployment: Deployment, cluster: Cluster, release: Release) -> dict[str, Any]:
    """Let a cluster prove that jobs run there.

    Returns
    -------
    dict
        What the job saw; empty where an emulator completed the step, and nothing ran.

    Raises
    ------
    EmrError
        If the step fails, or leaves no answer.
    """
    aws, say, identity = deployment.aws, deployment.report.say, uuid.uuid4().hex[:12]
    lake = deployment.required("data", "lake_uri")
    job = ["batch", "probe", "--lake", lake, "--id", identity]
    step_id = submit(
        aws, cluster.id, f"marketlake probe {identity}", spark_submit(job, release.artifacts)
    )
    settings = deployment.settings
    wait(aws, cluster, step_id, limit_s=settings.step_s, poll_s=settings.poll_s, say=say)
    storage = Storage(lake, S3Settings(bucket_owner=deployment.account))
    folder = f"{_PLACE}/{identity}"
    if storage.size(f"{folder}/answer.json") < 0:
        if deployment.emulated:
            say("EMULATED: the emulator said that the step completed; nothing ran, and it is not")
            say("read back. What a real step does is shown by the tests of YARN")
            deployment.report.fact(probe=None)
            return {}
        raise EmrError(
            f"step {step_id} completed but left no {folder}/answer.json in {lake}: see that the "
            "cluster writes this lake, and the log of the step"
        )
    answer: dict[str, Any] = json.loads(storage.read(f"{folder}/answer.json"))
    storage.files.delete_all(folder)
    say(
        f"read back: Spark {answer['spark']}, Python {answer['python']}, driver on "
        f"{answer['driver']}, executors on {', '.join(answer['executors'])}"
    )
    deployment.report.fact(probe=answer)
    return answer
