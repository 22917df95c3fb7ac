"""Whole environments against an emulator of AWS: there, unchanged by a second plan, and gone."""

from __future__ import annotations

import json
import random
import re
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from marketlake.emr.adoption import Owned, adopt
from marketlake.emr.aws import Aws
from marketlake.emr.finders import FINDERS
from marketlake.emr.terraform import Terraform
from tests.infrastructure import deployments
from tests.infrastructure.conftest import Deployed

NOTHING = {"add": 0, "change": 0, "remove": 0}


def test_a_second_plan_is_empty(environment: Deployed) -> None:
    assert environment.again == {"data": NOTHING, "cluster": NOTHING}


def test_with_other_options_it_is_empty_too(other_environment: Deployed) -> None:
    assert other_environment.again == {"cluster": NOTHING}


def test_the_cluster_is_what_was_asked_for(environment: Deployed) -> None:
    emr = environment.emulator.client("emr")
    identity = environment.outputs["cluster"]["cluster_id"]
    cluster = emr.describe_cluster(ClusterId=identity)["Cluster"]
    assert cluster["ReleaseLabel"] == "emr-spark-8.0.0"
    # Named by what it says: a cluster keeps the one that it began with.
    assert re.fullmatch("marketlake-dev-[0-9a-f]{8}", cluster["SecurityConfiguration"])
    secured = emr.describe_security_configuration(Name=cluster["SecurityConfiguration"])
    assert "EncryptionConfiguration" in json.loads(secured["SecurityConfiguration"])
    assert not cluster["Ec2InstanceAttributes"].get("Ec2KeyName")
    assert {tag["Key"]: tag["Value"] for tag in cluster["Tags"]} == {
        "project": "marketlake",
        "environment": "dev",
        "for-use-with-amazon-emr-managed-policies": "true",
        **deployments.TAGS,
    }
    groups = emr.list_instance_groups(ClusterId=identity)["InstanceGroups"]
    described = {
        group["InstanceGroupType"]: (
            group["InstanceType"],
            group["RequestedInstanceCount"],
            group["Market"],
        )
        for group in groups
    }
    assert described == {
        "MASTER": ("m5.xlarge", 1, "ON_DEMAND"),
        "CORE": ("m5.large", 2, "ON_DEMAND"),
        "TASK": ("m5.large", 0, "SPOT"),
    }
    limits = emr.get_managed_scaling_policy(ClusterId=identity)["ManagedScalingPolicy"]
    assert limits["ComputeLimits"]["MaximumCapacityUnits"] == 4, "two core nodes, two task nodes"
    idle = emr.get_auto_termination_policy(ClusterId=identity)["AutoTerminationPolicy"]
    assert idle == {"IdleTimeout": 3600}
    actions = emr.list_bootstrap_actions(ClusterId=identity)["BootstrapActions"]
    assert [action["Name"] for action in actions] == ["environment.sh", "gpu.sh"]


def test_the_custom_policy_is_attached_to_the_task_nodes(other_environment: Deployed) -> None:
    emr = other_environment.emulator.client("emr")
    identity = other_environment.outputs["cluster"]["cluster_id"]
    assert other_environment.outputs["cluster"]["scaling"] == "custom"
    assert "ManagedScalingPolicy" not in emr.get_managed_scaling_policy(ClusterId=identity)
    groups = {
        group["Name"]: group
        for group in emr.list_instance_groups(ClusterId=identity)["InstanceGroups"]
    }
    assert set(groups) == {"master", "core", "task", "gpu"}
    assert groups["gpu"]["InstanceType"] == "g5.xlarge"
    policy = groups["task"]["AutoScalingPolicy"]
    alarms = [rule["Trigger"]["CloudWatchAlarmDefinition"] for rule in policy["Rules"]]
    assert [(alarm["ComparisonOperator"], alarm["Threshold"]) for alarm in alarms] == [
        ("LESS_THAN", 25.0),
        ("GREATER_THAN", 75.0),
    ]
    assert "AutoScalingPolicy" not in groups["core"]


def test_no_way_in_but_what_the_service_needs(environment: Deployed) -> None:
    ec2 = environment.emulator.client("ec2")
    vpcs = {
        vpc["VpcId"]
        for vpc in ec2.describe_vpcs(Filters=[{"Name": "tag:project", "Values": ["marketlake"]}])[
            "Vpcs"
        ]
    }
    assert len(vpcs) == 2
    assert not [
        gate
        for gate in ec2.describe_internet_gateways()["InternetGateways"]
        if vpcs & {attached["VpcId"] for attached in gate["Attachments"]}
    ], "no way to the internet"
    for group in ec2.describe_security_groups()["SecurityGroups"]:
        if group["VpcId"] not in vpcs:
            continue
        for rule in group["IpPermissions"]:
            assert "0.0.0.0/0" not in json.dumps(rule), group["GroupName"]
            reaches = rule.get("FromPort", 0) <= 22 <= rule.get("ToPort", 65_535)
            # EMR's own rules, from node to node.
            assert not reaches or rule["UserIdGroupPairs"], group["GroupName"]


def test_steps_run_fail_and_are_cancelled_as_on_emr(environment: Deployed) -> None:
    emr = environment.emulator.client("emr")
    identity = environment.outputs["cluster"]["cluster_id"]

    def step(*arguments: str) -> dict[str, object]:
        jar = {"Jar": "command-runner.jar", "Args": list(arguments)}
        return {"Name": arguments[0], "ActionOnFailure": "CONTINUE", "HadoopJarStep": jar}

    steps = [step("stream"), step("true"), step("false")]
    stream, good, bad = emr.add_job_flow_steps(JobFlowId=identity, Steps=steps)["StepIds"]

    def state(step: str) -> str:
        return emr.describe_step(ClusterId=identity, StepId=step)["Step"]["Status"]["State"]

    for _ in range(100):
        if state(good) == "COMPLETED" and state(bad) == "FAILED":
            break
        time.sleep(0.1)
    assert (state(stream), state(good), state(bad)) == ("RUNNING", "COMPLETED", "FAILED")
    assert emr.describe_cluster(ClusterId=identity)["Cluster"]["Status"]["State"] == "RUNNING"
    emr.cancel_steps(ClusterId=identity, StepIds=[stream])
    assert state(stream) == "CANCELLED"
    assert emr.describe_cluster(ClusterId=identity)["Cluster"]["Status"]["State"] == "WAITING"


def test_alarms_are_told_by_the_topic(environment: Deployed) -> None:
    alarms = environment.emulator.client("cloudwatch").describe_alarms()["MetricAlarms"]
    ours = {a["AlarmName"]: a for a in alarms if a["AlarmName"].startswith("marketlake-dev-")}
    assert sorted(ours) == environment.outputs["cluster"]["alarm_names"]
    topic = environment.outputs["cluster"]["alarm_topic_arn"]
    assert {tuple(alarm["AlarmActions"]) for alarm in ours.values()} == {(topic,)}
    assert ours["marketlake-dev-cpu"]["Threshold"] == 80.0


@pytest.mark.slow
def test_what_no_state_knows_is_taken_over(
    environment: Deployed, other_environment: Deployed
) -> None:
    dev, staging = environment.roots, other_environment.roots
    # Of a half what it stands in, a network or a cluster, is known or not.
    chance = random.Random(20_261_122)
    cases = [
        (dev["data"], dev["cluster"], lambda: True),
        (dev["cluster"], dev["data"], lambda: True),
        (staging["cluster"], dev["data"], lambda: chance.random() < 0.5),
    ]
    owned = {
        root.folder: {(kind, it) for (kind, _), it in deployments.identities(root).items()}
        for root in (dev["data"], dev["cluster"])
    }
    # Side by side: most of it is Terraform's start, and its waiting for the emulator.
    with ThreadPoolExecutor(len(cases)) as pool:
        begun = [
            pool.submit(_taken_over, environment.emulator, root, owned[other.folder], lost)
            for root, other, lost in cases
        ]
    for case in begun:
        case.result()


NOT_READ = {
    "aws_kms_key": "deletion_window_in_days",
    "aws_security_group": "revoke_rules_on_delete",
}
"""What AWS is only told when a resource goes: no import can read it, and no call sets it."""


def _taken_over(
    emulator: deployments.Emulator,
    root: Terraform,
    others: Owned,
    lost: Callable[[], bool],
) -> None:
    """Let a state lose what could be found, take it over, and see that nothing was made for it."""
    before = deployments.identities(root)
    left = deployments.without(root.state(), lambda kind, _address: kind in FINDERS and lost())
    root.replace_state(left)
    missing = before.keys() - deployments.identities(root).keys()
    assert len(missing) > 10
    said: list[str] = []
    counts = adopt(Aws(deployments.REGION, emulator.url), root, others, said.append)
    assert {line.split(" is there already")[0] for line in said} == {
        address for _, address in missing
    }
    assert (counts["add"], counts["remove"]) == (0, 0), root.changes()
    assert {change.type for change in root.changes()} <= NOT_READ.keys()
    root.apply()
    assert deployments.identities(root) == before, "nothing was made a second time"
    assert root.plan() == NOTHING


@pytest.mark.slow
def test_a_protected_environment_refuses_to_be_destroyed(
    environment: Deployed, terraform_code, tmp_path
) -> None:
    # The same code and state as dev's data, and protected as prod's are.
    folder = environment.roots["data"].folder
    values = folder / "protect.auto.tfvars.json"
    values.write_text(json.dumps({"protected": True}))
    data = environment.roots["data"]
    assert data.plan() == {"add": 9, "change": 0, "remove": 0}, "a guard each: 4 + 1 + 4"
    data.apply()
    with pytest.raises(Exception, match="prevent_destroy"):
        data.plan(destroy=True)
    subprocess.run(
        ["terraform", "state", "rm", "terraform_data.guard"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    values.unlink()


@pytest.mark.slow
def test_destroyed_nothing_is_left(environment: Deployed, other_environment: Deployed) -> None:
    client = environment.emulator.client
    name = "marketlake-dev"
    # Something in a bucket: S3 refuses to lose it, until it is told to.
    bucket = environment.outputs["data"]["lake_bucket"]
    client("s3").put_object(Bucket=bucket, Key="lake/gold/x", Body=b"x")
    _destroy(environment.roots["cluster"])
    assert client("s3").get_object(Bucket=bucket, Key="lake/gold/x")["Body"].read() == b"x"
    assert client("kinesis").list_streams()["StreamNames"], "data outlive their cluster"

    data = environment.roots["data"]
    values = data.folder / "force.auto.tfvars.json"
    values.write_text(json.dumps({"force_destroy": True}))
    data.plan()
    data.apply()
    _destroy(data)

    assert not [b for b in client("s3").list_buckets()["Buckets"] if b["Name"].startswith(name)]
    assert not client("kinesis").list_streams()["StreamNames"]
    clusters = client("emr").list_clusters()["Clusters"]
    states = {c["Name"]: c["Status"]["State"] for c in clusters}
    assert states[name] == "TERMINATED"
    roles = client("iam").list_roles()["Roles"]
    assert not [role for role in roles if role["RoleName"].startswith(name)]
    tagged = [{"Name": "tag:environment", "Values": ["dev"]}]
    assert not client("ec2").describe_vpcs(Filters=tagged)["Vpcs"]
    # Keys go after a time in which they can be had back.
    keys = client("kms")
    waiting = keys.describe_key(KeyId=environment.outputs["data"]["kms_key_arn"])["KeyMetadata"]
    assert waiting["KeyState"] == "PendingDeletion"


def _destroy(root: Terraform) -> None:
    # The plan before this one asked what there is.
    root.plan(destroy=True, refresh=False)
    root.apply()
