"""Clusters, of EMR and of MSK, and what is made within them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from marketlake.emr.aws import Aws, told
from marketlake.emr.cluster import active_clusters
from marketlake.emr.finders.common import Finder, only

_ENDED_GROUP: Final = frozenset({"TERMINATING", "TERMINATED", "SHUTTING_DOWN", "ENDED"})
_TASK: Final = "TASK"


def _cluster(aws: Aws, values: Mapping[str, Any]) -> str | None:
    for cluster in active_clusters(aws):
        mine = cluster.tags.get("environment") == values.get("tags_all", {}).get("environment")
        if cluster.name == values["name"] and mine and cluster.state != "TERMINATING":
            return cluster.id
    return None


def _task_group(aws: Aws, values: Mapping[str, Any]) -> str | None:
    """Find a group of task nodes by name and type: EMR makes as many of a name as are asked for."""
    found = _within(aws, "groups", values.get("cluster_id"))
    same = [
        group
        for group in found
        if group["InstanceGroupType"] == _TASK
        and (group.get("Name"), group["InstanceType"]) == (values["name"], values["instance_type"])
    ]
    return _in_cluster(values, only(same, "Id"))


def _task_fleet(aws: Aws, values: Mapping[str, Any]) -> str | None:
    """Find the fleet of task nodes: a cluster has one."""
    found = _within(aws, "fleets", values.get("cluster_id"))
    same = [fleet for fleet in found if fleet["InstanceFleetType"] == _TASK]
    return _in_cluster(values, only(same, "Id"))


def _within(aws: Aws, what: str, cluster_id: str | None) -> list[dict[str, Any]]:
    """List the groups or fleets of a cluster that have not ended; none of one yet to be made."""
    if not cluster_id:
        return []
    with told(f"list instance {what} of {cluster_id}"):
        pages = aws.emr.get_paginator(f"list_instance_{what}").paginate(ClusterId=cluster_id)
        found = [item for page in pages for item in page[f"Instance{what.title()}"]]
    return [item for item in found if item["Status"]["State"] not in _ENDED_GROUP]


def _in_cluster(values: Mapping[str, Any], identity: str | None) -> str | None:
    return None if identity is None else f"{values['cluster_id']}/{identity}"


def _security_configuration(aws: Aws, values: Mapping[str, Any]) -> str | None:
    name = str(values["name"])
    with told(f"look for security configuration {name}"):
        aws.emr.describe_security_configuration(Name=name)
    return name


def _application(aws: Aws, values: Mapping[str, Any]) -> str | None:
    """Find an application of EMR Serverless: any number may have a name."""
    name = values["name"]
    with told(f"look for application {name} of EMR Serverless"):
        pages = aws.client("emr-serverless").get_paginator("list_applications").paginate()
        found = [item for page in pages for item in page["applications"]]
    same = [item for item in found if item.get("name") == name and item["state"] != "TERMINATED"]
    return only(same, "id")


def _brokers(aws: Aws, values: Mapping[str, Any]) -> str | None:
    name = values["cluster_name"]
    with told(f"look for MSK cluster {name}"):
        pages = aws.client("kafka").get_paginator("list_clusters_v2")
        found = [
            c for page in pages.paginate(ClusterNameFilter=name) for c in page["ClusterInfoList"]
        ]
    same = [c for c in found if c["ClusterName"] == name and c["State"] != "DELETING"]
    return only(same, "ClusterArn")


def _broker_settings(aws: Aws, values: Mapping[str, Any]) -> str | None:
    name = values["name"]
    with told(f"look for MSK configuration {name}"):
        pages = aws.client("kafka").get_paginator("list_configurations").paginate()
        found = [item for page in pages for item in page["Configurations"]]
    same = [item for item in found if item["Name"] == name and item["State"] == "ACTIVE"]
    return only(same, "Arn")


CLUSTERS: Final[Mapping[str, Finder]] = MappingProxyType(
    {
        "aws_emr_cluster": _cluster,
        "aws_emr_instance_fleet": _task_fleet,
        "aws_emr_instance_group": _task_group,
        "aws_emr_security_configuration": _security_configuration,
        "aws_emrserverless_application": _application,
        "aws_msk_cluster": _brokers,
        "aws_msk_configuration": _broker_settings,
    }
)
