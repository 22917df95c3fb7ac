"""Jobs as steps: the command line of one, completed by what the deployment knows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from marketlake.emr.cluster import READY, Cluster, describe
from marketlake.emr.deployment import Deployment
from marketlake.emr.errors import EmrError
from marketlake.emr.releases import Release, Releases
from marketlake.emr.spark_submit import spark_submit
from marketlake.emr.steps import ENDED, StepLogs, look, submit, wait
from marketlake.emr.streams import TAG, job_of, option, streams_of
from marketlake.lake.runs import Run, last_run
from marketlake.lake.storage import Storage
from marketlake.settings.model import S3Settings

METRICS_PORT: Final = 9464
"""Where the stream's driver shows its metrics on the loopback, for the metrics agent."""
_WITHOUT_LAKE: Final = frozenset({"replay", "feed"})


def completed(deployment: Deployment, job: Sequence[str]) -> list[str]:
    """Give a job with the deployment's lake, and a stream with its source, where it names none."""
    words = list(job)
    if words[0] not in _WITHOUT_LAKE and option(words, "--lake") is None:
        words += ["--lake", deployment.required("data", "lake_uri")]
    if words[0] == "stream" and option(words, "--source") is None:
        prefix = deployment.required("data", "stream_prefix")
        words += ["--source", f"kinesis:{deployment.aws.region}/{prefix}"]
    return words


def command_of(job: Sequence[str], release: Release) -> list[str]:
    """Give the command line of a job; the stream's carries what it is watched and found by."""
    if job[0] != "stream":
        return spark_submit(job, release.artifacts)
    return spark_submit(
        job,
        release.artifacts,
        settings={"spark.yarn.tags": TAG},
        environment={"MARKETLAKE_OBSERVABILITY__METRICS_PORT": str(METRICS_PORT)},
    )


def start(deployment: Deployment, cluster: Cluster, job: Sequence[str], release: Release) -> str:
    """Submit a job; give the id of its step."""
    named = next((n for n, word in enumerate(job) if word.startswith("-")), len(job))
    digest = release.application.rpartition("/")[2][:8]
    name = f"marketlake {' '.join(job[:named])} ({digest})"
    return submit(deployment.aws, cluster.id, name, command_of(job, release))


def ready_cluster(deployment: Deployment) -> Cluster:
    """Give the cluster of a deployment.

    Raises
    ------
    EmrError
        If there is none that takes steps.
    """
    cluster_id = deployment.required("cluster", "cluster_id")
    cluster = describe(deployment.aws, cluster_id)
    if cluster.state not in READY:
        raise EmrError(
            f"cluster {cluster_id} is {cluster.state} ({cluster.reason or 'no reason told'}): "
            "scripts/deploy-emr.sh deploy makes one that takes steps"
        )
    return cluster


def run_job(deployment: Deployment, job: Sequence[str], *, waits: bool) -> None:
    """Submit a job and, where asked, wait for its end; of a stream, until it has begun."""
    cluster = ready_cluster(deployment)
    release = Releases(deployment.required("data", "artifacts_bucket"), deployment.account)
    words = completed(deployment, job)
    if words[0] == "stream":
        _refuse_second(deployment, cluster, words)
    before = last_run(lake_of(words)) if words[0] == "stream" else None
    step_id = start(deployment, cluster, words, release.required())
    say = deployment.report.say
    say(f"step {step_id} on {cluster.id}: marketlake {' '.join(words)}")
    deployment.report.fact(step=step_id, cluster_id=cluster.id, job=words)
    if not waits:
        return
    if words[0] == "stream" and "--until-idle" not in words:
        wait_until_begun(deployment, cluster, step_id, words, before)
        return
    poll_s = deployment.settings.poll_s
    step = wait(deployment.aws, cluster, step_id, limit_s=None, poll_s=poll_s, say=say)
    deployment.report.fact(state=step.state)


def _refuse_second(deployment: Deployment, cluster: Cluster, job: Sequence[str]) -> None:
    lake = option(job, "--lake")
    for step in streams_of(deployment.aws, cluster.id):
        if option(job_of(step), "--lake") == lake:
            raise EmrError(
                f"step {step.id} is a stream on {lake} already; new code for it comes by "
                "scripts/deploy-emr.sh release"
            )


def wait_until_begun(
    deployment: Deployment,
    cluster: Cluster,
    step_id: str,
    job: Sequence[str],
    before: Run | None,
) -> Run:
    """Wait until a stream has said in its lake that it runs.

    Parameters
    ----------
    before : Run or None
        The last run of the lake when the step was submitted.

    Raises
    ------
    EmrError
        If its step ends before, or it takes longer than ``emr.health_s``.
    """
    settings, say = deployment.settings, deployment.report.say
    storage = lake_of(job)
    began_s = time.monotonic()
    logs = StepLogs(deployment.aws, cluster, step_id)
    while True:
        step = look(deployment.aws, cluster.id, step_id)
        run = last_run(storage)
        if run is not None and not run.ended and (before is None or run.id != before.id):
            say(f"run {run.id} has begun on {run.host} after {time.monotonic() - began_s:.0f} s")
            deployment.report.fact(run=run.id, state=step.state)
            return run
        if step.state in ENDED:
            for line in [*logs.new_lines(), *logs.last_words()]:
                say(f"| {line}")
            raise EmrError(
                f"the stream of step {step_id} is {step.state} before it began: "
                f"{step.reason or 'EMR says no why'}; its logs: {logs.place}"
            )
        if time.monotonic() - began_s > settings.health_s:
            raise EmrError(
                f"the stream of step {step_id} has not begun within {settings.health_s} s "
                f"(emr.health_s); it is {step.state}. Its logs: {logs.place}"
            )
        time.sleep(settings.poll_s)


def lake_of(job: Sequence[str]) -> Storage:
    """Give the lake that a job writes."""
    lake = option(job, "--lake")
    if lake is None:
        raise EmrError(f"marketlake {' '.join(job)} names no --lake")
    return Storage(lake, S3Settings())
