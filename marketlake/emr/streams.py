"""Streams that run on a cluster: found, asked to end, and seen to have ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from marketlake.emr.aws import Aws
from marketlake.emr.errors import EmrError
from marketlake.emr.steps import ENDED, Step, look, steps_of, submit
from marketlake.lake.runs import request_stop, running, withdraw_stop
from marketlake.lake.storage import Storage
from marketlake.settings.model import S3Settings

TAG: Final = "marketlake-stream"
"""Tag of the stream's applications on YARN, by which one that does not end is found."""


def job_of(step: Step) -> list[str]:
    """Give the arguments of ``marketlake`` in the command line of a step; none of another's."""
    for index, word in enumerate(step.args):
        if word.endswith("/main.py"):
            return list(step.args[index + 1 :])
    return []


def option(job: Sequence[str], name: str) -> str | None:
    """Give the value of an option of a job, as ``--lake X`` or ``--lake=X``."""
    for index, word in enumerate(job):
        if word == name and index + 1 < len(job):
            return job[index + 1]
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return None


def streams_of(aws: Aws, cluster_id: str) -> list[Step]:
    """Give the steps of a cluster that are streams, and have not ended."""
    found = steps_of(aws, cluster_id, under_way=True)
    return [step for step in found if job_of(step)[:1] == ["stream"]]


def drain(
    aws: Aws,
    cluster_id: str,
    step: Step,
    *,
    who: str,
    limit_s: float,
    poll_s: float,
    say: Callable[[str], None],
) -> None:
    """Let a stream end after the batch that it is at, and wait for it.

    Raises
    ------
    EmrError
        If it has not ended in time: the request is then withdrawn, and the stream goes on.
    """
    lake = option(job_of(step), "--lake")
    if lake is None:
        raise EmrError(f"step {step.id} is a stream without --lake: it cannot be asked to end")
    storage = Storage(lake, S3Settings())
    asked, began_s = "", time.monotonic()
    while look(aws, cluster_id, step.id).state not in ENDED:
        run = running(storage)
        # One that is only starting has not told its name yet; another's may still stand there.
        if run is not None and run.id != asked:
            say(f"asked run {run.id} of {run.host} on {lake} to end after its batch")
            request_stop(storage, run, who)
            asked = run.id
        if time.monotonic() - began_s > limit_s:
            withdraw_stop(storage)
            raise EmrError(
                f"the stream of step {step.id} has not ended within {limit_s:.0f} s "
                "(emr.drain_s); it was left running, and nothing was changed"
            )
        time.sleep(min(poll_s, 2.0))
    state = look(aws, cluster_id, step.id).state
    say(f"it has ended ({state}) after {time.monotonic() - began_s:.0f} s")


def kill_applications(aws: Aws, cluster_id: str) -> str:
    """Submit a step that kills streams on YARN; what they had not committed is read again.

    Returns
    -------
    str
        Id of the step.
    """
    listed = f"yarn application -list -appTags {TAG} -appStates RUNNING,ACCEPTED,SUBMITTED"
    kill = f"{listed} | awk '/^application_/{{print $1}}' | xargs -r -n1 yarn application -kill"
    return submit(aws, cluster_id, "kill streams", ["bash", "-c", f"set -o pipefail; {kill}"])
