"""``info``: what is deployed and how it is reached; changes nothing, and tells no secret."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from marketlake.emr.aws import told
from marketlake.emr.certificates import encrypts_between_nodes
from marketlake.emr.cluster import READY, Cluster, describe
from marketlake.emr.deployment import Deployment
from marketlake.emr.lock import current_holder
from marketlake.emr.releases import Releases
from marketlake.emr.steps import Step, steps_of
from marketlake.emr.streams import job_of

_STEPS_SHOWN: Final = 5


@dataclass(frozen=True)
class Page:
    """A page that a service of the cluster serves on its master node.

    Attributes
    ----------
    port : int
        Where it is, and where it is forwarded to.
    tls_port : int or None
        Where it is instead, with TLS, on a cluster whose nodes have certificates.
    """

    name: str
    port: int
    tls_port: int | None = None
    path: str = "/"


PAGES: Final = (
    Page("Zeppelin", 8890),
    Page("Spark (a running driver)", 4040, 4440),
    Page("Spark history", 18080, 18480),
    Page("YARN", 8088, 8090, "/cluster"),
    Page("HDFS", 9870, 9871),
)


def info(deployment: Deployment) -> None:
    """Tell what stands where; nothing deployed is an answer too."""
    report = deployment.report
    data, cluster = deployment.outputs("data"), deployment.outputs("cluster")
    report.fact(deployed=bool(data), data=_plain(data), cluster=_plain(cluster))
    if not data:
        report.echo("nothing is deployed there")
        return
    holder = current_holder(deployment.place)
    if holder is not None:
        report.echo(f"locked by {holder}")
    report.echo(f"lake          {data.get('lake_uri')}")
    for name, stream in sorted((data.get("stream_names") or {}).items()):
        report.echo(f"stream        {name}: {stream}")
    if data.get("kafka_bootstrap"):
        report.echo(f"kafka         {data['kafka_bootstrap']}")
    current = Releases(data["artifacts_bucket"], deployment.account).current()
    if current is not None:
        report.echo(f"release       {current.number}, of {current.at}: {current.application}")
        report.fact(release=current.number, application=current.application)
    if cluster.get("cluster_id"):
        _cluster(deployment, describe(deployment.aws, cluster["cluster_id"]))
    else:
        report.echo("cluster       none: scripts/deploy-emr.sh deploy makes one")
    if cluster.get("dashboard_name"):
        report.echo(f"dashboard     {cluster['dashboard_name']} (CloudWatch)")


def _cluster(deployment: Deployment, cluster: Cluster) -> None:
    report = deployment.report
    hours = cluster.age_s / 3600
    report.echo(
        f"cluster       {cluster.id} {cluster.name}, {cluster.release}: {cluster.state}, "
        f"{hours:.1f} h old"
    )
    report.fact(cluster_id=cluster.id, cluster_state=cluster.state)
    if cluster.state not in READY:
        report.echo(f"              {cluster.reason or 'no reason told'}")
        return
    steps = steps_of(deployment.aws, cluster.id)
    for step in steps[:_STEPS_SHOWN]:
        report.echo(f"step          {step.id} {step.name}: {step.state}{_what(step)}")
    report.fact(steps=[{"id": s.id, "name": s.name, "state": s.state} for s in steps])
    node = master_instance(deployment, cluster.id) or "INSTANCE"
    tls = encrypts_between_nodes(deployment.aws, cluster)
    lines = {page.name: forward_line(deployment, node, page, tls=tls) for page in PAGES}
    report.fact(port_forwarding=lines)
    report.echo("pages, each after its line (needs the session-manager-plugin):")
    for page in PAGES:
        scheme = "https" if tls and page.tls_port else "http"
        report.echo(f"  {page.name}: {scheme}://localhost:{page.port}{page.path}")
        report.echo(f"    {lines[page.name]}")


def master_instance(deployment: Deployment, cluster_id: str) -> str | None:
    """Give the EC2 id of the master node; None where EMR tells none."""
    with told(f"find the master of {cluster_id}"):
        # By group for a cluster of groups and of fleets alike.
        found = deployment.aws.emr.list_instances(
            ClusterId=cluster_id, InstanceGroupTypes=["MASTER"], InstanceStates=["RUNNING"]
        )["Instances"]
    return str(found[0]["Ec2InstanceId"]) if found else None


def forward_line(deployment: Deployment, instance: str, page: Page, *, tls: bool) -> str:
    """Give the command that forwards a page's port by Session Manager: no port stands open."""
    there = (page.tls_port if tls else None) or page.port
    ports = f"portNumber={there},localPortNumber={page.port}"
    return (
        f"aws ssm start-session --region {deployment.aws.region} --target {instance} "
        f"--document-name AWS-StartPortForwardingSession --parameters {ports}"
    )


def _what(step: Step) -> str:
    job = job_of(step)
    return f" (marketlake {' '.join(job)})" if job else ""


def _plain(outputs: dict[str, Any]) -> dict[str, Any]:
    """Leave out what says nothing."""
    return {name: value for name, value in sorted(outputs.items()) if value is not None}
