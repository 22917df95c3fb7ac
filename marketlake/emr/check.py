"""``test``: the code as it stands here, and the cluster as it stands there."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from marketlake.emr.aws import told
from marketlake.emr.certificates import of_cluster
from marketlake.emr.cluster import describe
from marketlake.emr.configurations import cluster_configurations
from marketlake.emr.deployment import Deployment, checkout_root
from marketlake.emr.errors import EmrError
from marketlake.emr.jobs import ready_cluster
from marketlake.emr.probe import probe
from marketlake.emr.releases import Releases
from marketlake.emr.reporting import Report
from marketlake.emr.terraform import Terraform, formatted
from marketlake.settings import environment
from marketlake.settings.model import Settings

_SHELL: Final = ("scripts/*.sh", "bootstrap/*.sh")
_WORDS: Final = 25


@dataclass(frozen=True)
class Finding:
    """What came of a check: ``ok``, ``failed`` or ``skipped``, and why."""

    check: str
    outcome: str
    why: str = ""


def check_code(settings: Settings, report: Report) -> list[Finding]:
    """Check the code of the operator's side, without a cloud."""
    checkout = checkout_root()
    work = environment.cache_dir() / "emr" / "check"
    shutil.rmtree(work / "terraform", ignore_errors=True)
    terraform = checkout / "infrastructure" / "terraform"
    roots = _roots(checkout)
    checks: list[tuple[str, Callable[[], str | None]]] = [
        ("terraform fmt", lambda: _formatted(terraform)),
        *((f"terraform validate {name}", _validator(root, work)) for name, root in roots),
        ("shellcheck", lambda: _shellcheck(checkout)),
        ("configurations", lambda: _configurations(settings)),
    ]
    return _checked(checks, report)


def check_cluster(deployment: Deployment) -> list[Finding]:
    """Check the cluster that is deployed: state, alarms, and a step run and read back."""
    say = deployment.report.say
    if not deployment.outputs("cluster").get("cluster_id"):
        say("no cluster is deployed there")
        return [Finding("cluster", "skipped", "none is deployed")]
    checks: list[tuple[str, Callable[[], str | None]]] = [
        ("cluster takes steps", lambda: _state(deployment)),
        ("no alarm rings", lambda: _alarms(deployment)),
        ("certificates of the nodes", lambda: _certificates(deployment)),
        ("a step, read back", lambda: _probe(deployment)),
    ]
    return _checked(checks, deployment.report)


def _checked(checks: list[tuple[str, Callable[[], str | None]]], report: Report) -> list[Finding]:
    """Run checks; each gives why it was skipped, or raises what is wrong."""
    findings = []
    for name, check in checks:
        try:
            skipped = check()
            found = Finding(name, "skipped" if skipped else "ok", skipped or "")
        except EmrError as error:
            found = Finding(name, "failed", str(error))
        findings.append(found)
        report.say(f"{found.check}: {found.outcome}{f' ({found.why})' if found.why else ''}")
    return findings


def _roots(checkout: Path) -> list[tuple[str, Path]]:
    """Name the roots, one of those whose code is the same: their values are no part of it."""
    envs = checkout / "infrastructure" / "terraform" / "envs"
    distinct: dict[tuple[str, ...], tuple[str, Path]] = {}
    for root in sorted(path for path in envs.glob("*/*") if path.is_dir()):
        code = tuple(sorted(str(file.resolve()) for file in root.glob("*.tf")))
        distinct.setdefault(code, (f"{root.parent.name}/{root.name}", root))
    return list(distinct.values())


def _formatted(folder: Path) -> None:
    if wrong := formatted(folder):
        raise EmrError(f"{', '.join(wrong)}: run terraform fmt -recursive")


def _validator(root: Path, work: Path) -> Callable[[], str | None]:
    def validate() -> None:
        # Neither backend nor credentials are needed, and the checkout stays as it is.
        copied = work / "terraform"
        if not copied.exists():
            ignored = shutil.ignore_patterns("*.tfstate*", ".terraform", "logs")
            shutil.copytree(root.parents[2], copied, ignore=ignored)
        folder = copied / "envs" / root.parent.name / root.name
        terraform = Terraform(folder, {"TF_DATA_DIR": str(work / "data")})
        terraform.init()
        terraform.validate()

    return validate


def _shellcheck(checkout: Path) -> str | None:
    program = shutil.which("shellcheck")
    if program is None:
        return "shellcheck is not installed"
    scripts = [str(script) for pattern in _SHELL for script in sorted(checkout.glob(pattern))]
    done = subprocess.run([program, *scripts], capture_output=True, text=True, check=False)
    if done.returncode:
        said = " ".join(done.stdout.split()[:_WORDS])
        raise EmrError(f"{said} …: run shellcheck {' '.join(_SHELL)}")
    return None


def _configurations(settings: Settings) -> None:
    made = json.loads(json.dumps(cluster_configurations(settings)))
    for item in made:
        if not item.get("Classification"):
            raise EmrError(f"a configuration without Classification: {item}")


def _state(deployment: Deployment) -> None:
    cluster = ready_cluster(deployment)
    deployment.report.fact(cluster_id=cluster.id, cluster_state=cluster.state)


def _alarms(deployment: Deployment) -> None:
    with told("read the alarms"):
        pages = (
            deployment.aws.client("cloudwatch")
            .get_paginator("describe_alarms")
            .paginate(AlarmNamePrefix=f"{deployment.prefix}-", StateValue="ALARM")
        )
        ringing = [alarm["AlarmName"] for page in pages for alarm in page["MetricAlarms"]]
    if ringing:
        raise EmrError(f"{', '.join(ringing)}: see its part of docs/operations.md")


def _certificates(deployment: Deployment) -> str | None:
    cluster = describe(deployment.aws, deployment.required("cluster", "cluster_id"))
    found = of_cluster(deployment.aws, cluster)
    if found is None:
        return "EMR does not encrypt between nodes"
    if found.days_left(datetime.now(UTC)) < deployment.settings.certificate_warn_days:
        raise EmrError(f"they end on {found.ends:%Y-%m-%d}: deploy --replace-cluster before")
    return None


def _probe(deployment: Deployment) -> str | None:
    release = Releases(deployment.required("data", "artifacts_bucket"), deployment.account)
    answer: dict[str, Any] = probe(deployment, ready_cluster(deployment), release.required())
    return None if answer else "EMULATED: the step ran nothing, there was nothing to read back"
