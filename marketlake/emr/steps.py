"""Steps of a cluster: given to it, waited for, their logs shown as they come."""

from __future__ import annotations

import gzip
import re
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from marketlake.emr.aws import Aws, told
from marketlake.emr.cluster import Cluster
from marketlake.emr.errors import EmrError

ENDED: Final = frozenset({"COMPLETED", "FAILED", "CANCELLED", "INTERRUPTED"})
UNDER_WAY: Final = ("PENDING", "RUNNING", "CANCEL_PENDING")
RUNNER: Final = "command-runner.jar"
_TAIL_LINES: Final = 20
_APPLICATION: Final = re.compile(r"\bapplication_\d+_\d+\b")


@dataclass(frozen=True)
class Step:
    """A step as EMR describes it.

    Attributes
    ----------
    args : tuple of str
        The command line that it runs.
    """

    id: str
    name: str
    state: str
    reason: str
    args: tuple[str, ...]
    created: datetime | None
    ended: datetime | None


def submit(aws: Aws, cluster_id: str, name: str, args: Sequence[str]) -> str:
    """Give a cluster a command line to run as a step.

    Returns
    -------
    str
        Id of the step.
    """
    with told(f"give cluster {cluster_id} the step {name!r}"):
        answer = aws.emr.add_job_flow_steps(
            JobFlowId=cluster_id,
            Steps=[
                {
                    "Name": name,
                    # Other steps run beside it: they are no business of a failure of this one.
                    "ActionOnFailure": "CONTINUE",
                    "HadoopJarStep": {"Jar": RUNNER, "Args": list(args)},
                }
            ],
        )
    return str(answer["StepIds"][0])


def look(aws: Aws, cluster_id: str, step_id: str) -> Step:
    """Ask EMR for a step."""
    with told(f"describe step {step_id} of {cluster_id}"):
        answer = aws.emr.describe_step(ClusterId=cluster_id, StepId=step_id)["Step"]
    return _step(answer)


def steps_of(aws: Aws, cluster_id: str, *, under_way: bool = False) -> list[Step]:
    """List the steps of a cluster, the newest first; only those not ended where asked for."""
    states: dict[str, Any] = {"StepStates": list(UNDER_WAY)} if under_way else {}
    with told(f"list the steps of {cluster_id}"):
        pages = aws.emr.get_paginator("list_steps").paginate(ClusterId=cluster_id, **states)
        found = [_step(item) for page in pages for item in page["Steps"]]
    # Not every emulator keeps to the states asked for.
    return [step for step in found if not under_way or step.state in UNDER_WAY]


def cancel(aws: Aws, cluster_id: str, step_id: str) -> None:
    """Ask EMR to end a step; its application on YARN may outlive it."""
    with told(f"cancel step {step_id} of {cluster_id}"):
        aws.emr.cancel_steps(
            ClusterId=cluster_id, StepIds=[step_id], StepCancellationOption="SEND_INTERRUPT"
        )


def wait(
    aws: Aws,
    cluster: Cluster,
    step_id: str,
    *,
    limit_s: float | None,
    poll_s: float,
    say: Callable[[str], None],
) -> Step:
    """Wait for the end of a step, and show its log as EMR brings it to S3.

    Parameters
    ----------
    limit_s : float or None
        None to wait for as long as it takes.

    Raises
    ------
    EmrError
        If it fails, with the last lines that its driver said; or takes longer than ``limit_s``.
    """
    began_s, seen = time.monotonic(), ""
    logs = StepLogs(aws, cluster, step_id)
    while True:
        step = look(aws, cluster.id, step_id)
        waited_s = time.monotonic() - began_s
        if step.state != seen:
            seen = step.state
            say(f"step {step_id} ({step.name}) is {seen} after {waited_s:.0f} s")
        for line in logs.new_lines():
            say(f"| {line}")
        if step.state in ENDED:
            break
        if limit_s is not None and waited_s > limit_s:
            raise EmrError(
                f"step {step_id} ({step.name}) is still {step.state} after {waited_s:.0f} s; it "
                f"goes on. Its logs: {logs.place}"
            )
        time.sleep(poll_s)
    if step.state != "COMPLETED":
        for line in logs.last_words():
            say(f"| {line}")
        raise EmrError(
            f"step {step_id} ({step.name}) is {step.state}: {step.reason or 'EMR says no why'}; "
            f"its logs: {logs.place}"
        )
    return step


def _step(answer: dict[str, Any]) -> Step:
    status = answer["Status"]
    timeline = status.get("Timeline", {})
    details = status.get("FailureDetails", {})
    reasons = (details.get("Message"), status.get("StateChangeReason", {}).get("Message"))
    return Step(
        id=answer["Id"],
        name=answer["Name"],
        state=status["State"],
        reason=next((reason for reason in reasons if reason), ""),
        args=tuple(answer.get("Config", {}).get("Args", ())),
        created=timeline.get("CreationDateTime"),
        ended=timeline.get("EndDateTime"),
    )


class StepLogs:
    """The logs of a step below the log folder of its cluster.

    EMR brings them every few minutes and at the end, each time the whole file, compressed. What the
    driver itself says, in cluster mode, is in the log of its container.
    """

    def __init__(self, aws: Aws, cluster: Cluster, step_id: str) -> None:
        self._aws = aws
        bucket, _, prefix = cluster.log_uri.partition("://")[2].partition("/")
        self._bucket = bucket
        self._cluster = f"{prefix}{'' if not prefix or prefix.endswith('/') else '/'}{cluster.id}/"
        self._step = f"{self._cluster}steps/{step_id}/"
        self._shown: dict[str, int] = {}
        self._sizes: dict[str, int] = {}

    @property
    def place(self) -> str:
        """Folder of the logs."""
        return f"s3://{self._bucket}/{self._step}"

    def new_lines(self) -> list[str]:
        """Give the lines that came since the last call."""
        if not self._bucket:
            return []
        lines: list[str] = []
        for key, size in self._objects(self._step).items():
            if key.endswith(("stderr.gz", "stdout.gz")) and size != self._sizes.get(key):
                self._sizes[key] = size
                text = self._read(key)
                lines += text[self._shown.get(key, 0) :]
                self._shown[key] = len(text)
        return lines

    def last_words(self) -> list[str]:
        """Give the end of the driver's own log, where it is known which application that was."""
        if not self._bucket:
            return []
        for key in self._objects(self._step):
            for line in self._read(key) if key.endswith("stderr.gz") else ():
                if found := _APPLICATION.search(line):
                    return self._driver(found.group())
        return []

    def _driver(self, application: str) -> list[str]:
        folder = f"{self._cluster}containers/{application}/"
        # The first container of an attempt is its driver's.
        first = [key for key in self._objects(folder) if re.search(r"_0*1/std(out|err)", key)]
        return [line for key in sorted(first) for line in self._read(key)[-_TAIL_LINES:]]

    def _objects(self, prefix: str) -> dict[str, int]:
        with told(f"list the logs s3://{self._bucket}/{prefix}"):
            pages = self._aws.s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix
            )
            return {
                item["Key"]: item["Size"] for page in pages for item in page.get("Contents", ())
            }

    def _read(self, key: str) -> list[str]:
        with told(f"read the log s3://{self._bucket}/{key}"):
            data = self._aws.s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        try:
            return gzip.decompress(data).decode(errors="replace").splitlines()
        except (OSError, EOFError, zlib.error):
            # Cut off in the midst of being brought: the next look has it whole.
            return []
