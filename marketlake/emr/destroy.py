"""``destroy``: a cluster, or with its data all of a deployment, in an order that loses nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Final

from marketlake.emr.adoption import take_into_state
from marketlake.emr.aws import told
from marketlake.emr.certificates import remove_former
from marketlake.emr.cluster import active_clusters
from marketlake.emr.deploy import drain_streams
from marketlake.emr.deployment import Deployment, Root, bucket_exists
from marketlake.emr.errors import EmrError
from marketlake.emr.streams import streams_of
from marketlake.emr.terraform import Change

_PROTECTED: Final = "terraform_data.guard"
_ANY_VALUES: Final = MappingProxyType(
    {
        "lake_uri": "s3a://none/none",
        "lake_bucket": "none",
        "artifacts_bucket": "none",
        "logs_bucket": "none",
        "backup_bucket": "none",
        "kms_key_arn": "none",
        "stream_names": {},
        "stream_arns": {},
        "environment_archive": "s3://none/none",
        "application_archive": "s3://none/none",
        "bootstrap_prefix": "s3://none/none",
    }
)
"""A plan to destroy asks for the values of variables, and makes nothing of them."""


@dataclass(frozen=True)
class Left:
    """Something that still stands; ``expected`` where it was to be kept."""

    what: str
    expected: bool


@dataclass(frozen=True)
class Removal:
    """What is to go.

    Attributes
    ----------
    data : bool
        Lake, streams and keys too; else only what can be made anew.
    prod : bool
        The operator said that this may be the production environment.
    kill_streams : bool
        End the cluster though a stream does not end in peace; what it had not committed is read
        again by the next.
    """

    data: bool = False
    prod: bool = False
    kill_streams: bool = False


def destroy(deployment: Deployment, removal: Removal, confirm: Callable[[str], bool]) -> None:
    """Remove the cluster, and with ``removal.data`` everything.

    Parameters
    ----------
    confirm : callable
        Asked with the name that has to be typed.

    Raises
    ------
    EmrError
        If it was not confirmed, is refused, or something is left.
    """
    report = deployment.report
    if deployment.stage == "prod" and not removal.prod:
        raise EmrError("this is prod: say --prod where that is meant")
    if not bucket_exists(deployment.aws, deployment.state_bucket):
        report.echo("nothing is deployed there")
        report.fact(removed=0, left=[])
        return
    with deployment.locked("destroy") as lock:
        report.step(1, 4, "plan")
        data, cluster = _prepared(deployment)
        for name, root in (("data", data), ("cluster", cluster)):
            # What nobody owns would be left, and nobody told of it.
            if deployment.unfinished(name):
                take_into_state(deployment, root)
        counted = cluster.terraform.plan(destroy=True)["remove"] if _managed(cluster) else 0
        planned = cluster.terraform.changes() if counted else []
        _show(deployment, data, planned, removal, confirm)
        report.step(2, 4, "streams end after their batch")
        _drain(deployment, cluster, removal)
        lock.check()
        report.step(3, 4, "destroy")
        if counted:
            # What is planned now is what was shown: only the steps of streams ended in between.
            _apply_removal(deployment, cluster)
        deployment.end_change("cluster")
        if data.terraform.outputs().get("artifacts_bucket"):
            remove_former(deployment, None)
        removed = counted + (_destroy_data(deployment, data) if removal.data else 0)
        report.fact(removed=removed)
        report.step(4, 4, "what is left")
        left = _left(deployment, data, cluster, removal)
    _tell_left(deployment, left)


def _show(
    deployment: Deployment,
    data: Root,
    planned: list[Change],
    removal: Removal,
    confirm: Callable[[str], bool],
) -> None:
    """Show what would go, and have it confirmed."""
    shown = [f"- {c.address}" for c in planned]
    if removal.data:
        shown += [f"- {address}" for address in data.terraform.resources()]
    for line in shown:
        deployment.report.say(line)
    kept = "" if removal.data else "; lake, streams and keys are kept"
    deployment.report.say(f"{len(shown)} resources would go{kept}")
    if shown and not confirm(deployment.prefix):
        raise EmrError("not confirmed: nothing was changed")


def _tell_left(deployment: Deployment, left: list[Left]) -> None:
    report = deployment.report
    report.fact(left=[asdict(item) for item in left])
    for item in left:
        report.say(f"{item.what}{'' if item.expected else '  <- should be gone'}")
    if not left:
        report.say("nothing")
    unexpected = [item.what for item in left if not item.expected]
    if unexpected:
        raise EmrError(
            f"{len(unexpected)} things are left that should be gone: {', '.join(unexpected)}"
        )


def _prepared(deployment: Deployment) -> tuple[Root, Root]:
    deployment.copy_code()
    data, cluster = deployment.data, deployment.cluster
    data.prepare({**deployment.common_variables, "force_destroy": True}, deployment.report)
    outputs = {n: value for n, value in data.terraform.outputs().items() if value is not None}
    nothing = deployment.work / "no-configurations.json"
    nothing.write_text("[]")
    variables = {**_ANY_VALUES, **outputs, "configurations_file": str(nothing)}
    cluster.prepare({**deployment.common_variables, **variables}, deployment.report)
    return data, cluster


def _drain(deployment: Deployment, cluster: Root, removal: Removal) -> None:
    cluster_id = cluster.terraform.outputs().get("cluster_id")
    if not cluster_id or not any(c.id == cluster_id for c in active_clusters(deployment.aws)):
        deployment.report.say("no cluster runs")
        return
    if not streams_of(deployment.aws, cluster_id):
        deployment.report.say("no stream runs")
        return
    try:
        drain_streams(deployment, cluster_id)
    except EmrError as error:
        if not removal.kill_streams:
            raise EmrError(
                f"{error}. To end the cluster all the same say --kill-streams"
            ) from error
        deployment.report.say(f"{error}; killed with the cluster, as asked")
    with told(f"allow the end of cluster {cluster_id}"):
        deployment.aws.emr.set_termination_protection(
            JobFlowIds=[cluster_id], TerminationProtected=False
        )


def _destroy_data(deployment: Deployment, data: Root) -> int:
    """Remove lake, streams and keys: buckets with what they hold."""
    for address in data.terraform.resources():
        if address.startswith(_PROTECTED):
            data.terraform.forget(address)
    data.state.push()
    # S3 deletes a bucket with objects only where Terraform was told so before.
    if any(data.terraform.plan().values()):
        data.apply()
    for address in data.terraform.resources():
        if address.startswith(_PROTECTED):
            data.terraform.forget(address)
    removed = data.terraform.plan(destroy=True, refresh=False)["remove"]
    _apply_removal(deployment, data)
    deployment.end_change("data")
    return removed


def _apply_removal(deployment: Deployment, root: Root) -> None:
    """Remove what is planned; once again what could not go before something else had gone."""
    try:
        root.apply()
    except EmrError as error:
        deployment.report.say(f"{error}; trying what is left once more")
        root.terraform.plan(destroy=True)
        root.apply()


def _left(deployment: Deployment, data: Root, cluster: Root, removal: Removal) -> list[Left]:
    """List what still stands, by the states and by asking AWS itself."""
    keeps = not removal.data
    left = [Left(address, expected=False) for address in _managed(cluster)]
    left += [Left(address, expected=keeps) for address in _managed(data)]
    for found in active_clusters(deployment.aws):
        if found.name == deployment.prefix:
            left.append(Left(f"cluster {found.id} {found.state}", found.state == "TERMINATING"))
    for name in _buckets(deployment):
        ours = name == deployment.state_bucket
        left.append(Left(f"bucket {name}{' (states and lock)' if ours else ''}", keeps or ours))
    left += [Left(f"stream {name}", expected=keeps) for name in _kinesis(deployment)]
    return left


def _managed(root: Root) -> list[str]:
    """Addresses in the state, without what Terraform only looks at."""
    return [a for a in root.terraform.resources() if not re.search(r"(^|\.)data\.", a)]


def _buckets(deployment: Deployment) -> list[str]:
    with told("list buckets"):
        found = deployment.aws.s3.list_buckets()["Buckets"]
    return [item["Name"] for item in found if item["Name"].startswith(f"{deployment.prefix}-")]


def _kinesis(deployment: Deployment) -> list[str]:
    with told("list streams"):
        pages = deployment.aws.client("kinesis").get_paginator("list_streams").paginate()
        names = [name for page in pages for name in page["StreamNames"]]
    return [name for name in names if name.startswith(f"{deployment.prefix}-")]
