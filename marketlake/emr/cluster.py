"""The cluster of a deployment: what EMR says of it, and the wait until it is ready."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from marketlake.emr.aws import Aws, told
from marketlake.emr.errors import EmrError

READY: Final = frozenset({"WAITING", "RUNNING"})
ACTIVE: Final = ("STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING", "TERMINATING")
_ENDED: Final = frozenset({"TERMINATING", "TERMINATED", "TERMINATED_WITH_ERRORS"})


@dataclass(frozen=True)
class Cluster:
    """A cluster as EMR describes it.

    Attributes
    ----------
    reason : str
        Why it is in that state; empty where EMR says none.
    created, ready : datetime or None
        UTC; None where it has not come to that.
    """

    id: str
    name: str
    state: str
    reason: str
    release: str
    log_uri: str
    created: datetime | None
    ready: datetime | None
    public_dns: str
    security_configuration: str
    tags: dict[str, str]

    @property
    def age_s(self) -> float:
        """Seconds since it was asked for; 0 where EMR does not say."""
        return 0.0 if self.created is None else (datetime.now(UTC) - self.created).total_seconds()


def describe(aws: Aws, cluster_id: str) -> Cluster:
    """Ask EMR for a cluster."""
    with told(f"describe cluster {cluster_id}"):
        answer = aws.emr.describe_cluster(ClusterId=cluster_id)["Cluster"]
    return _cluster(answer)


def _cluster(answer: dict[str, Any]) -> Cluster:
    status = answer["Status"]
    timeline = status.get("Timeline", {})
    return Cluster(
        id=answer["Id"],
        name=answer.get("Name", ""),
        state=status["State"],
        reason=status.get("StateChangeReason", {}).get("Message", ""),
        release=answer.get("ReleaseLabel", ""),
        log_uri=answer.get("LogUri", ""),
        created=timeline.get("CreationDateTime"),
        ready=timeline.get("ReadyDateTime"),
        public_dns=answer.get("MasterPublicDnsName", ""),
        security_configuration=answer.get("SecurityConfiguration", ""),
        tags={tag["Key"]: tag.get("Value", "") for tag in answer.get("Tags", [])},
    )


def active_clusters(aws: Aws) -> Iterator[Cluster]:
    """Give every cluster of this account and region that has not ended."""
    with told("list clusters"):
        pages = aws.emr.get_paginator("list_clusters").paginate(ClusterStates=list(ACTIVE))
        ids = [item["Id"] for page in pages for item in page["Clusters"]]
    for cluster_id in ids:
        yield describe(aws, cluster_id)


def wait_until_ready(
    aws: Aws, cluster_id: str, *, limit_s: float, poll_s: float, say: Callable[[str], None]
) -> Cluster:
    """Wait until a cluster takes steps.

    Raises
    ------
    EmrError
        If it ends instead, or takes longer than ``limit_s``.
    """
    began_s, seen = time.monotonic(), ""
    while True:
        cluster = describe(aws, cluster_id)
        waited_s = time.monotonic() - began_s
        if cluster.state != seen:
            seen = cluster.state
            say(f"cluster {cluster_id} is {seen} after {waited_s:.0f} s")
        if cluster.state in READY:
            return cluster
        if cluster.state in _ENDED:
            raise EmrError(
                f"cluster {cluster_id} is {cluster.state}: {cluster.reason or 'EMR says no why'}; "
                f"logs of its nodes and bootstrap actions are below {cluster.log_uri}{cluster_id}/"
            )
        if waited_s > limit_s:
            raise EmrError(
                f"cluster {cluster_id} is still {cluster.state} after {waited_s:.0f} s "
                "(emr.ready_s); look at it with scripts/deploy-emr.sh info, and run the same "
                "command again: it goes on waiting"
            )
        time.sleep(poll_s)
