"""The weekly check: what runs and should not, and what the month costs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from marketlake.emr.aws import Aws, told
from marketlake.emr.certificates import CertificatesError, of_cluster
from marketlake.emr.cluster import Cluster, active_clusters
from marketlake.emr.deployment import Deployment
from marketlake.emr.steps import UNDER_WAY, steps_of

_HOUR_S: Final = 3_600
_DAY_S: Final = 86_400


@dataclass(frozen=True)
class Finding:
    """Something that somebody should look at.

    Attributes
    ----------
    kind : str
        ``idle``, ``old``, ``unknown``, ``certificates``, ``unattached`` or ``cost``.
    """

    kind: str
    what: str
    why: str


def weekly_check(deployment: Deployment, *, now: datetime | None = None) -> list[Finding]:
    """Look at all clusters of the account and region, and at what the deployment costs.

    Parameters
    ----------
    now : datetime, optional
        UTC; for a check of another moment.
    """
    moment = now or datetime.now(UTC)
    findings = [
        finding
        for cluster in active_clusters(deployment.aws)
        for finding in _of_cluster(deployment, cluster, moment)
    ]
    findings += _unattached(deployment)
    findings += _cost(deployment, moment.date())
    for found in findings:
        deployment.report.say(f"{found.kind}: {found.what}: {found.why}")
    if not findings:
        deployment.report.say("nothing to look at")
    deployment.report.fact(findings=[asdict(found) for found in findings])
    return findings


def _of_cluster(deployment: Deployment, cluster: Cluster, now: datetime) -> list[Finding]:
    settings, what = deployment.settings, f"cluster {cluster.id} ({cluster.name}, {cluster.state})"
    if cluster.tags.get("project") != settings.name:
        return [Finding("unknown", what, "it has no tag project of ours: ask whose it is")]
    findings = []
    age_days = _age_s(cluster.created, now) / _DAY_S
    if age_days > settings.age_days:
        why = f"{age_days:.0f} days old (emr.age_days): replace it, for patches of today"
        findings.append(Finding("old", what, why))
    steps = steps_of(deployment.aws, cluster.id)
    if not any(step.state in UNDER_WAY for step in steps):
        ended = [step.ended for step in steps if step.ended is not None]
        idle_h = _age_s(max([*ended, cluster.ready or now]), now) / _HOUR_S
        if idle_h > settings.idle_hours:
            why = f"no step for {idle_h:.1f} h (emr.idle_hours): end it with destroy"
            findings.append(Finding("idle", what, why))
    return [*findings, *_certificates(deployment, cluster, what, now)]


def _certificates(
    deployment: Deployment, cluster: Cluster, what: str, now: datetime
) -> list[Finding]:
    """Say in time that a cluster's nodes will refuse each other, or that none can join it."""
    try:
        found = of_cluster(deployment.aws, cluster)
    except CertificatesError as error:
        return [Finding("certificates", what, str(error))]
    if found is None or found.days_left(now) >= deployment.settings.certificate_warn_days:
        return []
    why = f"they end on {found.ends:%Y-%m-%d}: deploy --replace-cluster before"
    return [Finding("certificates", what, why)]


def _age_s(moment: datetime | None, now: datetime) -> float:
    return 0.0 if moment is None else (now - moment).total_seconds()


def _unattached(deployment: Deployment) -> list[Finding]:
    """Name what costs although nothing uses it: volumes, addresses, broken uploads."""
    ec2, findings = deployment.aws.client("ec2"), []
    with told("list volumes and addresses"):
        volumes = ec2.describe_volumes(Filters=[{"Name": "status", "Values": ["available"]}])
        addresses = ec2.describe_addresses()["Addresses"]
    for volume in volumes["Volumes"]:
        why = f"{volume['Size']} GB that no machine uses: remove it, or say whose it is"
        findings.append(Finding("unattached", f"volume {volume['VolumeId']}", why))
    for address in addresses:
        if "AssociationId" not in address:
            what = f"address {address.get('PublicIp')}"
            findings.append(Finding("unattached", what, "no machine uses it: release it"))
    return findings


def month_cost_usd(aws: Aws, project: str, environment: str, today: date) -> float | None:
    """Cost so far of this month's resources by their tags, in USD; None where AWS knows none yet.

    Raises
    ------
    EmrError
        If Cost Explorer may not be asked, or is not turned on.
    """
    first, tomorrow = today.replace(day=1), today + timedelta(days=1)
    tagged: list[dict[str, Any]] = [
        {"Tags": {"Key": key, "Values": [value]}}
        for key, value in (("project", project), ("environment", environment))
    ]
    with told("ask Cost Explorer"):
        answer = aws.client("ce").get_cost_and_usage(
            TimePeriod={"Start": f"{first:%Y-%m-%d}", "End": f"{tomorrow:%Y-%m-%d}"},
            Granularity="MONTHLY",
            Metrics=["UnblendedCost"],
            Filter={"And": tagged},
        )
    results = answer.get("ResultsByTime", [])
    if not results:
        return None
    return sum(float(r["Total"]["UnblendedCost"]["Amount"]) for r in results if r.get("Total"))


def _cost(deployment: Deployment, today: date) -> list[Finding]:
    settings = deployment.settings
    cost = month_cost_usd(deployment.aws, settings.name, deployment.stage, today)
    deployment.report.fact(month_usd=cost, limit_usd=settings.month_usd)
    if cost is None:
        deployment.report.say("Cost Explorer knows nothing of this month yet")
        return []
    deployment.report.say(f"this month so far: {cost:,.2f} USD of {settings.month_usd:,.2f}")
    if cost <= settings.month_usd:
        return []
    why = f"{cost:,.2f} USD so far, the limit is {settings.month_usd:,.2f} (emr.month_usd)"
    return [Finding("cost", f"{deployment.prefix} this month", why)]
