"""``deploy``: from an empty account to a cluster that runs steps; again and again is fine."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from marketlake.emr.adoption import take_over
from marketlake.emr.artifacts import Store, sha256_of
from marketlake.emr.certificates import for_nodes, remove_former, require_openssl
from marketlake.emr.cluster import Cluster, wait_until_ready
from marketlake.emr.configurations import as_json, cluster_configurations
from marketlake.emr.deployment import Deployment, Root
from marketlake.emr.errors import EmrError
from marketlake.emr.jobs import METRICS_PORT
from marketlake.emr.lock import DeploymentLock
from marketlake.emr.probe import probe
from marketlake.emr.releases import Release, Releases, publish
from marketlake.emr.state import make_state_bucket
from marketlake.emr.streams import drain, streams_of
from marketlake.emr.terraform import Change
from marketlake.emr.terraform_process import terraform_program
from marketlake.emr.upgrade import upgrade

_STEPS: Final = (
    "prerequisites",
    "init",
    "validate",
    "plan and apply: data, artifacts, cluster",
    "wait for the cluster",
    "release the jobs",
    "smoke test: a step, read back",
    "ready",
)
_TO_CLUSTER: Final = (
    "lake_bucket",
    "artifacts_bucket",
    "logs_bucket",
    "backup_bucket",
    "kms_key_arn",
    "lake_uri",
    "stream_names",
    "stream_arns",
    "kafka_arn",
    "network",
)
"""Outputs of the data that the cluster's root takes by the same names."""


@dataclass(frozen=True)
class Asked:
    """What the operator asked for.

    Attributes
    ----------
    environment, application : Path or None
        Archives made before.
    replace_cluster : bool
        Let the plan replace a cluster that runs; its streams are drained first.
    variables : dict
        Terraform variables of the cluster, in place of the environment's.
    """

    environment: Path | None = None
    application: Path | None = None
    replace_cluster: bool = False
    variables: dict[str, Any] | None = None


def deploy(deployment: Deployment, asked: Asked) -> None:
    """Make the deployment what the code says, in eight steps.

    Raises
    ------
    EmrError
        With one line. The same command goes on from where it ended.
    """
    _step(deployment, 1)
    _require_tools(deployment)
    with deployment.locked("deploy") as lock:
        _step(deployment, 2)
        deployment.copy_code()
        data, cluster = deployment.data, deployment.cluster
        common = deployment.common_variables
        _both(
            lambda: data.prepare({**common, "force_destroy": False}, deployment.report),
            lambda: cluster.prepare(common, deployment.report),
        )
        _step(deployment, 3)
        _both(data.terraform.validate, cluster.terraform.validate)
        _step(deployment, 4)
        changed = _apply(deployment, lock, "data", data, asked)
        release = _publish(deployment, data.terraform.outputs(), asked)
        variables = _cluster_variables(deployment, data, release, asked)
        cluster.set_variables(variables)
        changed += _apply(deployment, lock, "cluster", cluster, asked)
        remove_former(deployment, variables["certificates_archive"])
        deployment.report.fact(changes=changed)
        _step(deployment, 5)
        ready = _wait(deployment, cluster.terraform.outputs()["cluster_id"])
        _step(deployment, 6)
        lock.check()
        numbered = _release(deployment, release)
        _step(deployment, 7)
        probe(deployment, ready, numbered)
        _step(deployment, 8)


def _both(*works: Callable[[], None]) -> None:
    """Do things side by side; where one fails, the others end first."""
    with ThreadPoolExecutor(len(works)) as pool:
        for done in [pool.submit(work) for work in works]:
            done.result()


def _step(deployment: Deployment, number: int) -> None:
    deployment.report.step(number, len(_STEPS), _STEPS[number - 1])


def _require_tools(deployment: Deployment) -> None:
    program = terraform_program()
    if program is None:
        raise EmrError("terraform is not on PATH: install 1.11 or later")
    deployment.report.say(f"terraform: {program}")
    if deployment.settings.encrypt_between_nodes:
        require_openssl()
    if shutil.which("session-manager-plugin") is None:
        deployment.report.say(
            "session-manager-plugin is not on PATH: deploy goes on, but port forwarding needs it"
        )
    made = make_state_bucket(deployment.aws, deployment.state_bucket)
    verb = "made" if made else "found"
    deployment.report.say(f"state bucket {deployment.state_bucket}: {verb}")


def _apply(
    deployment: Deployment, lock: DeploymentLock, name: str, root: Root, asked: Asked
) -> int:
    """Plan a root and apply that very plan; give how many changes that were."""
    interrupted = deployment.unfinished(name)
    if interrupted:
        deployment.report.say(f"{name}: a change before did not end: going on from what it left")
    total = _plan(deployment, name, root, asked, interrupted=interrupted)
    if not total and not interrupted:
        return 0
    lock.check()
    deployment.begin_change(name)
    try:
        root.apply()
    except EmrError as error:
        # What was left may only be known by something that was made now.
        if not interrupted:
            raise
        deployment.report.say(f"{error}; looking once more for what was left")
        _plan(deployment, name, root, asked, interrupted=True)
        root.apply()
    deployment.end_change(name)
    return total


def _plan(deployment: Deployment, name: str, root: Root, asked: Asked, *, interrupted: bool) -> int:
    counts = take_over(deployment, root) if interrupted else root.terraform.plan()
    said = ", ".join(f"{number} to {what}" for what, number in counts.items() if number)
    deployment.report.say(f"{name}: {said or 'no changes'}")
    for change in root.terraform.changes():
        if change.type == "aws_emr_cluster" and change.removes:
            _make_way(deployment, root, change, asked)
    return sum(counts.values())


def _make_way(deployment: Deployment, root: Root, change: Change, asked: Asked) -> None:
    """Let the streams of a cluster that is to be replaced end in peace."""
    cluster_id = root.terraform.outputs().get("cluster_id", "")
    if not asked.replace_cluster:
        changed = ", ".join(root.terraform.planned()[change.address].replaced_for)
        why = f" (changed: {changed})" if changed else ""
        raise EmrError(
            f"this would end cluster {cluster_id} and make a new one{why}; if so meant, say "
            "--replace-cluster: its streams are drained first, and are to be submitted again"
        )
    drain_streams(deployment, cluster_id)


def drain_streams(deployment: Deployment, cluster_id: str) -> None:
    """Let every stream of a cluster end after its batch.

    Raises
    ------
    EmrError
        If one does not.
    """
    settings = deployment.settings
    for step in streams_of(deployment.aws, cluster_id):
        deployment.report.say(f"draining {step.name} ({step.id})")
        drain(
            deployment.aws,
            cluster_id,
            step,
            who=deployment.aws.identity[1],
            limit_s=settings.drain_s,
            poll_s=settings.poll_s,
            say=deployment.report.say,
        )


def store_of(deployment: Deployment, bucket: str) -> Store:
    """Give the artifacts bucket."""
    return Store(deployment.aws, bucket, deployment.account, deployment.report.say)


def _publish(deployment: Deployment, outputs: dict[str, Any], asked: Asked) -> Release:
    return publish(
        store_of(deployment, outputs["artifacts_bucket"]),
        deployment.checkout,
        deployment.aws.identity[1],
        environment=asked.environment,
        application=asked.application,
    )


def _cluster_variables(
    deployment: Deployment, data: Root, release: Release, asked: Asked
) -> dict[str, Any]:
    outputs = data.terraform.outputs()
    artifacts = outputs["artifacts_bucket"]
    store = store_of(deployment, artifacts)
    scripts = sorted((deployment.checkout / "bootstrap").glob("*.sh"))
    if not scripts:
        raise EmrError(f"{deployment.checkout}/bootstrap has no scripts: run this in a checkout")
    folder = f"bootstrap/{sha256_of(*scripts)}"
    for script in scripts:
        store.upload(script, f"{folder}/{script.name}")
    configurations = deployment.work / "configurations.json"
    configurations.write_text(as_json(cluster_configurations(deployment.all_settings)))
    certificates = for_nodes(deployment, replaces=asked.replace_cluster)
    return {
        **deployment.common_variables,
        **{name: outputs[name] for name in _TO_CLUSTER if name in outputs},
        "environment_archive": release.environment,
        "application_archive": release.application,
        "certificates_archive": certificates,
        "bootstrap_prefix": f"s3://{artifacts}/{folder}",
        "bootstrap_actions": _bootstrap_actions(deployment, artifacts, release, certificates),
        "configurations_file": str(configurations),
        **(asked.variables or {}),
    }


def _bootstrap_actions(
    deployment: Deployment, artifacts: str, release: Release, certificates: str | None
) -> list[dict[str, Any]]:
    """Give the scripts that each node runs, in their order, with their arguments."""
    settings, region = deployment.settings, deployment.aws.region
    environment = [release.environment, release.environment_sha256]
    # The agent's figures travel as log lines, to the group of the stream.
    agent = [deployment.stage, region, str(METRICS_PORT), f"/{deployment.prefix}/stream"]
    actions = [
        {"name": "environment.sh", "args": environment},
        {"name": "gpu.sh", "args": []},
        {"name": "metrics-agent.sh", "args": agent},
    ]
    if settings.zeppelin_archive is not None and settings.zeppelin_sha512 is not None:
        notes = f"s3://{artifacts}/zeppelin"
        zeppelin = [settings.zeppelin_archive, settings.zeppelin_sha512, notes]
        # Livy speaks TLS where the nodes have certificates.
        trusted = [certificates] if certificates is not None else []
        actions.append({"name": "zeppelin.sh", "args": [*zeppelin, *trusted]})
    return actions


def _wait(deployment: Deployment, cluster_id: str) -> Cluster:
    settings = deployment.settings
    cluster = wait_until_ready(
        deployment.aws,
        cluster_id,
        limit_s=settings.ready_s,
        poll_s=settings.poll_s,
        say=deployment.report.say,
    )
    deployment.report.fact(cluster_id=cluster.id, cluster_state=cluster.state)
    return cluster


def _release(deployment: Deployment, release: Release) -> Release:
    bucket = deployment.required("data", "artifacts_bucket")
    numbered = Releases(bucket, deployment.account).make_current(release)
    deployment.report.say(f"release {numbered.number}: {numbered.application}")
    deployment.report.fact(release=numbered.number, application=numbered.application)
    return numbered


def release(deployment: Deployment, asked: Asked, number: int | None) -> None:
    """Bring the code of the checkout, or a former release, to the stream that runs.

    Parameters
    ----------
    number : int or None
        Of the former release.
    """
    bucket = deployment.required("data", "artifacts_bucket")
    with deployment.locked("release"):
        deployment.report.step(1, 4, "code")
        releases = Releases(bucket, deployment.account)
        if number is None:
            found = _publish(deployment, {"artifacts_bucket": bucket}, asked)
        else:
            found = releases.of_number(number)
        upgrade(deployment, releases, found)
