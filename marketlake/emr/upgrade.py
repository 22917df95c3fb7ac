"""``release``: new code for a stream that runs, without losing or repeating a message.

The stream ends after the batch that it is at, and the new code goes on from the same checkpoint.
Where it is not healthy the former code is put back. What is under way stands in the artifacts
bucket, so a release that was killed at any point is finished by the same command.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from marketlake.emr.cluster import Cluster
from marketlake.emr.deployment import Deployment
from marketlake.emr.errors import EmrError
from marketlake.emr.jobs import command_of, lake_of, ready_cluster, start, wait_until_begun
from marketlake.emr.releases import Release, Releases
from marketlake.emr.steps import ENDED, Step, StepLogs, cancel, look, wait
from marketlake.emr.streams import drain, job_of, kill_applications, streams_of
from marketlake.lake.manifests import STREAM, Manifest, Manifests
from marketlake.lake.runs import last_run

_STEPS = 4


class Pending(msgspec.Struct, frozen=True):
    """A release that was begun.

    Attributes
    ----------
    job : tuple of str
        The stream, as behind ``marketlake``.
    former, release : Release
        The code that it ran, and that it is to run.
    """

    job: tuple[str, ...]
    former: Release
    release: Release


def upgrade(deployment: Deployment, releases: Releases, release: Release) -> None:
    """Let the stream of a deployment run other code from where it is.

    Raises
    ------
    EmrError
        If the stream does not end in time (it goes on then), or the new code is not healthy: the
        former is running again, unless the error says otherwise.
    """
    report = deployment.report
    cluster = ready_cluster(deployment)
    pending = _pending(releases)
    if pending is None:
        pending = _begin(deployment, cluster, releases, release)
        if pending is None:
            return
    elif not pending.release.is_code_of(release):
        report.say(f"a release of {pending.release.application} was begun and comes first")
    report.step(2, _STEPS, "the stream ends after its batch")
    step = _running(deployment, cluster, pending)
    if step is not None and not _runs(step, pending, pending.release):
        _drain(deployment, cluster, step)
        step = None
    report.step(3, _STEPS, "the new code goes on from its checkpoint")
    manifest = Manifests(lake_of(pending.job), STREAM).last()
    done = -1 if manifest is None else manifest.sequence
    try:
        step_id = _go_on(deployment, cluster, pending, pending.release, step)
        _require_health(deployment, cluster, pending.job, step_id, done)
    except EmrError as failure:
        _roll_back(deployment, cluster, releases, pending, failure)
    numbered = releases.make_current(pending.release)
    releases.forget_pending()
    report.step(4, _STEPS, "released")
    report.say(f"release {numbered.number}: {numbered.application}")
    report.fact(release=numbered.number, application=numbered.application, rolled_back=False)


def _pending(releases: Releases) -> Pending | None:
    data = releases.pending()
    return None if data is None else msgspec.json.decode(data, type=Pending)


def _begin(
    deployment: Deployment, cluster: Cluster, releases: Releases, release: Release
) -> Pending | None:
    """Note what is to be done; None where there is nothing to wait for."""
    report, former = deployment.report, releases.current()
    streams = streams_of(deployment.aws, cluster.id)
    if len(streams) > 1:
        raise EmrError(
            f"{len(streams)} streams run on {cluster.id}: this command knows one a deployment; "
            "end the others first"
        )
    if not streams or former is None or release.is_code_of(former):
        why = "no stream runs" if not streams else "the stream runs this code"
        numbered = releases.make_current(release)
        report.say(f"{why}: release {numbered.number} is what jobs run from now on")
        report.fact(release=numbered.number, application=numbered.application, rolled_back=False)
        return None
    pending = Pending(tuple(job_of(streams[0])), former, release)
    releases.set_pending(msgspec.json.encode(pending))
    return pending


def _running(deployment: Deployment, cluster: Cluster, pending: Pending) -> Step | None:
    for step in streams_of(deployment.aws, cluster.id):
        if job_of(step) == list(pending.job):
            return step
    return None


def _runs(step: Step, pending: Pending, release: Release) -> bool:
    return list(step.args) == command_of(pending.job, release)


def _drain(deployment: Deployment, cluster: Cluster, step: Step) -> None:
    settings = deployment.settings
    drain(
        deployment.aws,
        cluster.id,
        step,
        who=deployment.aws.identity[1],
        limit_s=settings.drain_s,
        poll_s=settings.poll_s,
        say=deployment.report.say,
    )


def _go_on(
    deployment: Deployment,
    cluster: Cluster,
    pending: Pending,
    release: Release,
    step: Step | None,
) -> str:
    """Start code on the lake and wait until it has begun, or find it started; give its step."""
    if step is not None:
        return step.id
    before = last_run(lake_of(pending.job))
    step_id = start(deployment, cluster, pending.job, release)
    deployment.report.say(f"step {step_id} runs {release.application}")
    wait_until_begun(deployment, cluster, step_id, pending.job, before)
    return step_id


def _require_health(
    deployment: Deployment, cluster: Cluster, job: Sequence[str], step_id: str, done: int
) -> None:
    """See that a stream commits batches in which every message is accounted for.

    Parameters
    ----------
    done : int
        Sequence of the last batch before it began.
    """
    settings, began_s = deployment.settings, time.monotonic()
    manifests, good = Manifests(lake_of(job), STREAM), 0
    while True:
        last = manifests.last()
        while last is not None and done < last.sequence:
            done += 1
            _require_accounted(manifests.read(done))
            good += 1
        if settings.health_batches and good >= settings.health_batches:
            deployment.report.say(f"{good} batches committed, every message accounted for")
            return
        step = look(deployment.aws, cluster.id, step_id)
        if step.state in ENDED:
            logs = StepLogs(deployment.aws, cluster, step_id)
            for line in logs.last_words():
                deployment.report.say(f"| {line}")
            raise EmrError(f"step {step_id} is {step.state}: {step.reason or logs.place}")
        if time.monotonic() - began_s > settings.health_s:
            if not settings.health_batches:
                deployment.report.say(f"it has run for {settings.health_s} s")
                return
            raise EmrError(
                f"{good} of {settings.health_batches} batches (emr.health_batches) within "
                f"{settings.health_s} s (emr.health_s)"
            )
        time.sleep(settings.poll_s)


def _require_accounted(manifest: Manifest) -> None:
    counts = manifest.counts
    read = counts["read"]["messages"]
    found = sum(counts["silver"].values()) + counts["quarantine"]["messages"]
    if read != found:
        raise EmrError(f"batch {manifest.sequence}: {read} messages read, {found} accounted for")


def _roll_back(
    deployment: Deployment,
    cluster: Cluster,
    releases: Releases,
    pending: Pending,
    failure: EmrError,
) -> None:
    """Put the former code back; always raises."""
    report = deployment.report
    report.say(f"not healthy: {failure}")
    report.step(4, _STEPS, "roll back to the former code")
    report.fact(rolled_back=True)
    try:
        step = _running(deployment, cluster, pending)
        if step is not None and not _runs(step, pending, pending.former):
            _end(deployment, cluster, step)
            step = None
        # It was healthy before: that it runs is enough, even where no message comes just now.
        _go_on(deployment, cluster, pending, pending.former, step)
    except EmrError as second:
        raise EmrError(
            f"the new code is not healthy ({failure}), and the former did not come back "
            f"({second}): NO STREAM IS KNOWN TO RUN; see docs/operations.md, release"
        ) from second
    releases.forget_pending()
    raise EmrError(
        f"the new code is not healthy ({failure}): the former, release {pending.former.number}, "
        "runs again from the same checkpoint; nothing was lost"
    ) from failure


def _end(deployment: Deployment, cluster: Cluster, step: Step) -> None:
    """End a stream in peace, else by force: what it had not committed is read again."""
    try:
        _drain(deployment, cluster, step)
    except EmrError as error:
        deployment.report.say(f"{error}; killing it")
        cancel(deployment.aws, cluster.id, step.id)
        settings = deployment.settings
        killer = kill_applications(deployment.aws, cluster.id)
        wait(
            deployment.aws,
            cluster,
            killer,
            limit_s=settings.step_s,
            poll_s=settings.poll_s,
            say=deployment.report.say,
        )
