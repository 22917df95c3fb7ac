"""Clusters of EMR and MSK, and what is made within them."""

from __future__ import annotations

import uuid
from typing import Any

from marketlake.emr.aws import Aws
from tests.marketlake.emr.accounts import answering, find, new_cluster
from tests.s3_servers import REGION


def test_groups_of_task_nodes_by_name_and_type(aws: Aws):
    cluster = new_cluster(aws)
    group = {
        "Name": "task",
        "InstanceRole": "TASK",
        "InstanceType": "m5.large",
        "InstanceCount": 1,
    }
    kind = "aws_emr_instance_group"
    values = {"cluster_id": cluster, "name": "task", "instance_type": "m5.large"}
    assert find(aws, kind, **values) is None
    aws.emr.add_instance_groups(JobFlowId=cluster, InstanceGroups=[group])
    groups = aws.emr.list_instance_groups(ClusterId=cluster)["InstanceGroups"]
    made = next(item["Id"] for item in groups if item["InstanceGroupType"] == "TASK")
    assert find(aws, kind, **values) == f"{cluster}/{made}"
    assert find(aws, kind, **{**values, "instance_type": "m5.xlarge"}) is None
    assert find(aws, kind, **{**values, "cluster_id": None}) is None, "it is only to be made"


# What moto has not: AWS's answers as its own model has them.


def fleet(kind: str, identity: str, state: str) -> dict[str, Any]:
    return {"Id": identity, "InstanceFleetType": kind, "Status": {"State": state}}


def test_the_fleet_of_task_nodes(aws: Aws):
    fleets = [fleet("CORE", "if-C", "RUNNING"), fleet("TASK", "if-T", "PROVISIONING")]
    with answering({"ListInstanceFleets": {"InstanceFleets": fleets}}) as url:
        found = find(Aws(REGION, url), "aws_emr_instance_fleet", cluster_id="j-1")
    assert found == "j-1/if-T"
    ended = [fleet("TASK", "if-T", "TERMINATED")]
    with answering({"ListInstanceFleets": {"InstanceFleets": ended}}) as url:
        assert find(Aws(REGION, url), "aws_emr_instance_fleet", cluster_id="j-1") is None


def test_brokers_by_their_name(aws: Aws):
    name = f"kafka-{uuid.uuid4().hex[:8]}"
    nodes = {"InstanceType": "kafka.m7g.large", "ClientSubnets": ["subnet-1"]}
    made = aws.client("kafka").create_cluster(
        ClusterName=name,
        KafkaVersion="3.9.x",
        NumberOfBrokerNodes=3,
        BrokerNodeGroupInfo=nodes,
    )["ClusterArn"]
    assert find(aws, "aws_msk_cluster", cluster_name=name) == made
    assert find(aws, "aws_msk_cluster", cluster_name=name[:-1]) is None, "a part of a name"


def test_settings_of_brokers_by_their_name(aws: Aws):
    arn = "arn:aws:kafka:us-east-1:1:configuration/marketlake-dev-kafka/x"
    settings = [
        {"arn": f"{arn}-old", "name": "marketlake-dev-kafka", "state": "DELETING"},
        {"arn": arn, "name": "marketlake-dev-kafka", "state": "ACTIVE"},
        {"arn": f"{arn}-other", "name": "other", "state": "ACTIVE"},
    ]
    with answering({"/v1/configurations": {"configurations": settings}}) as url:
        found = find(Aws(REGION, url), "aws_msk_configuration", name="marketlake-dev-kafka")
    assert found == arn
