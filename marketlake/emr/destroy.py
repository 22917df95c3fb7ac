"""``destroy``: a cluster, or with its data all of a deployment, in an order that loses nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from marketlake.emr.aws import told
from marketlake.emr.cluster import active_clusters
from marketlake.emr.deploy import drain_streams
from marketlake.emr.deployment import Deployment, Root, bucket_exists
from marketlake.emr.errors import EmrError
from marketlake.emr.streams import streams_of

_PROTECTED = "terraform_data.guard"
_BY_US = "destroy"


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
    with deployment.locked(_BY_US) as lock:
        report.step(1, 4, "plan")
        data, cluster = _prepared(deployment)
        counted = cluster.terraform.plan(destroy=True)["remove"]
        shown = [f"- {c.address}" for c in cluster.terraform.changes()]
        if removal.data:
            shown += [f"- {address}" for address in data.terraform.resources()]
        for line in shown:
            report.say(line)
        kept = "" if removal.data else "; lake, streams and keys are kept"
        report.say(f"{len(shown)} resources would go{kept}")
        if not shown:
            report.fact(removed=0)
        elif not confirm(deployment.prefix):
            raise EmrError("not confirmed: nothing was changed")
        report.step(2, 4, "streams end after their batch")
        _drain(deployment, cluster, removal)
        lock.check()
        report.step(3, 4, "destroy")
        if counted:
            # What is planned now is what was shown: only the steps of streams ended in between.
            deployment.begin_change()
            cluster.apply()
            deployment.end_change()
        removed = counted
        if removal.data:
            removed += _destroy_data(deployment, data)
        report.fact(removed=removed)
        report.step(4, 4, "what is left")
        left = _left(deployment, data, cluster, removal)
    report.fact(left=left)
    unexpected = [item for item in left if not item["expected"]]
    for item in left:
        report.say(f"{item['what']}{'' if item['expected'] else '  <- should be gone'}")
    if not left:
        report.say("nothing")
    if unexpected:
        raise EmrError(
            f"{len(unexpected)} things are left that should be gone: "
            + ", ".join(item["what"] for item in unexpected)
        )


def _prepared(deployment: Deployment) -> tuple[Root, Root]:
    deployment.copy_code()
    data, cluster = deployment.data, deployment.cluster
    data.prepare({**deployment.common_variables, "force_destroy": True}, deployment.report)
    outputs = data.terraform.outputs()
    # A plan to destroy asks for the values of variables as any other.
    archives = {name: "s3://none/none" for name in ("environment_archive", "application_archive")}
    nothing = deployment.work / "no-configurations.json"
    nothing.write_text("[]")
    variables = {
        "lake_uri": "s3a://none/none",
        **{name: "none" for name in ("lake_bucket", "artifacts_bucket", "logs_bucket")},
        **{name: "none" for name in ("backup_bucket", "kms_key_arn")},
        "stream_names": {},
        "stream_arns": {},
        **{name: value for name, value in outputs.items() if value is not None},
        **archives,
        "bootstrap_prefix": "s3://none/none",
        "configurations_file": str(nothing),
    }
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
    removed = data.terraform.plan(destroy=True)["remove"]
    deployment.begin_change()
    data.apply()
    deployment.end_change()
    return removed


def _left(
    deployment: Deployment, data: Root, cluster: Root, removal: Removal
) -> list[dict[str, Any]]:
    """List what still stands, by the states and by asking AWS itself."""
    report: list[dict[str, Any]] = []

    def add(what: str, *, expected: bool) -> None:
        report.append({"what": what, "expected": expected})

    for address in cluster.terraform.resources():
        add(address, expected=address.startswith("data.") or ".data." in address)
    for address in data.terraform.resources():
        kept = not removal.data or address.startswith("data.") or ".data." in address
        add(f"{address} (data)", expected=kept)
    for found in active_clusters(deployment.aws):
        if found.tags.get("environment") == deployment.stage and found.name == deployment.prefix:
            add(f"cluster {found.id}, {found.state}", expected=found.state == "TERMINATING")
    for name in _buckets(deployment):
        add(f"bucket {name}", expected=not removal.data or name == deployment.state_bucket)
    for stream in _kinesis(deployment):
        add(f"stream {stream}", expected=not removal.data)
    return [item for item in report if not item["what"].startswith(("data.", "module.data"))]


def _buckets(deployment: Deployment) -> list[str]:
    with told("list buckets"):
        found = deployment.aws.s3.list_buckets()["Buckets"]
    return [item["Name"] for item in found if item["Name"].startswith(f"{deployment.prefix}-")]


def _kinesis(deployment: Deployment) -> list[str]:
    with told("list streams"):
        pages = deployment.aws.client("kinesis").get_paginator("list_streams").paginate()
        names = [name for page in pages for name in page["StreamNames"]]
    return [name for name in names if name.startswith(f"{deployment.prefix}-")]
