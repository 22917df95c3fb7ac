"""What a killed run left is found by what Terraform was about to make, and taken over whole."""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from marketlake.emr.adoption import adopt, complete
from marketlake.emr.aws import Aws
from marketlake.emr.errors import EmrError
from marketlake.emr.finders import FINDERS, MADE_TWICE
from marketlake.emr.terraform import Change, Planned, Terraform
from marketlake.emr.terraform_process import terraform_program
from tests.s3_servers import REGION, S3Server

INFRASTRUCTURE = Path(__file__).parents[3] / "infrastructure" / "terraform"
OURS = {"project": "marketlake", "environment": "dev"}

# Made again they are what they were: the call that makes one says what is to be, of something that
# has its name already.
PUTS = {
    "aws_cloudwatch_dashboard": "PutDashboard",
    "aws_cloudwatch_event_rule": "PutRule",
    "aws_cloudwatch_event_target": "PutTargets",
    "aws_cloudwatch_metric_alarm": "PutMetricAlarm",
    "aws_default_security_group": "it comes with its VPC, and is only closed",
    "aws_emr_managed_scaling_policy": "PutManagedScalingPolicy",
    "aws_iam_role_policy": "PutRolePolicy",
    "aws_iam_role_policy_attachment": "AttachRolePolicy takes one that is attached",
    "aws_s3_bucket_lifecycle_configuration": "PutBucketLifecycleConfiguration",
    "aws_s3_bucket_logging": "PutBucketLogging",
    "aws_s3_bucket_ownership_controls": "PutBucketOwnershipControls",
    "aws_s3_bucket_policy": "PutBucketPolicy",
    "aws_s3_bucket_public_access_block": "PutPublicAccessBlock",
    "aws_s3_bucket_server_side_encryption_configuration": "PutBucketEncryption",
    "aws_s3_bucket_versioning": "PutBucketVersioning",
    "aws_sns_topic_policy": "SetTopicAttributes",
    "aws_sns_topic_subscription": "Subscribe gives the one that is there, or asks once more",
    "terraform_data": "it stands in the state alone",
}


@pytest.fixture
def aws(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Aws:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return Aws(REGION, s3_server.url)


def find(aws: Aws, kind: str, **values: Any) -> str | None:
    return FINDERS[kind](aws, values)


def listed(tags: Mapping[str, str], key: str = "Key") -> list[dict[str, str]]:
    return [{key: name, key.replace("Key", "Value"): value} for name, value in tags.items()]


def tagged(kind: str, **more: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": listed({**OURS, **more})}]


def test_of_every_type_it_is_known_what_comes_of_making_it_again():
    code = "\n".join(file.read_text() for file in INFRASTRUCTURE.glob("**/*.tf"))
    types = set(re.findall(r'(?m)^resource "(\w+)"', code))
    assert len(types) > 40, "the code was found"
    assert not FINDERS.keys() & PUTS.keys()
    assert FINDERS.keys() | PUTS.keys() == types
    assert FINDERS.keys() > MADE_TWICE


def test_parts_of_a_network(aws: Aws):
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    assert find(aws, "aws_subnet", vpc_id=vpc, cidr_block="10.9.1.0/24") == subnet
    assert find(aws, "aws_subnet", vpc_id=vpc, cidr_block="10.9.2.0/24") is None
    # The VPC itself is only to be made: nothing of it can be there.
    assert find(aws, "aws_subnet", cidr_block="10.9.1.0/24") is None
    group = ec2.create_security_group(GroupName="g", Description="d", VpcId=vpc)["GroupId"]
    assert find(aws, "aws_security_group", name="g", vpc_id=vpc) == group
    assert find(aws, "aws_security_group", name="other", vpc_id=vpc) is None


def test_a_vpc_and_its_routes_are_known_by_our_tags(aws: Aws):
    ec2, name = aws.client("ec2"), f"network-{uuid.uuid4().hex[:8]}"
    tags = {**OURS, "Name": name}
    values = {"cidr_block": "10.7.0.0/16", "tags": {"Name": name}, "tags_all": tags}
    for other in ({**tags, "environment": "prod"}, {**tags, "Name": "of other people"}):
        theirs = [{"ResourceType": "vpc", "Tags": listed(other)}]
        ec2.create_vpc(CidrBlock="10.7.0.0/16", TagSpecifications=theirs)
    assert find(aws, "aws_vpc", **values) is None
    ours = tagged("vpc", Name=name)
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16", TagSpecifications=ours)["Vpc"]["VpcId"]
    assert find(aws, "aws_vpc", **values) == vpc
    assert find(aws, "aws_vpc", **{**values, "tags_all": {"Name": name}}) is None, "nobody's tags"

    # A VPC brings a table of routes of its own, which is none that we make.
    assert find(aws, "aws_route_table", vpc_id=vpc, tags_all=tags) is None
    table = ec2.create_route_table(VpcId=vpc, TagSpecifications=tagged("route-table", Name=name))
    table_id = table["RouteTable"]["RouteTableId"]
    assert find(aws, "aws_route_table", vpc_id=vpc, tags_all=tags) == table_id
    assert find(aws, "aws_route_table", tags_all=tags) is None, "the VPC is only to be made"

    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.7.1.0/24")["Subnet"]["SubnetId"]
    joined = {"subnet_id": subnet, "route_table_id": table_id}
    assert find(aws, "aws_route_table_association", **joined) is None
    ec2.associate_route_table(SubnetId=subnet, RouteTableId=table_id)
    assert find(aws, "aws_route_table_association", **joined) == f"{subnet}/{table_id}"

    # Two that could be ours: whose they are nobody can tell.
    ec2.create_vpc(CidrBlock="10.7.0.0/16", TagSpecifications=ours)
    assert find(aws, "aws_vpc", **values) is None


def test_a_rule_is_known_by_all_that_it_says(aws: Aws):
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName="r", Description="d", VpcId=vpc)["GroupId"]
    permission = {
        "IpProtocol": "tcp",
        "FromPort": 8443,
        "ToPort": 8443,
        "IpRanges": [{"CidrIp": "10.8.0.0/16"}],
    }
    made = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    rule = made["SecurityGroupRules"][0]["SecurityGroupRuleId"]
    kind = "aws_vpc_security_group_ingress_rule"
    values = {
        "security_group_id": group,
        "ip_protocol": "tcp",
        "from_port": 8443,
        "to_port": 8443,
        "cidr_ipv4": "10.8.0.0/16",
    }
    assert find(aws, kind, **values) == rule
    assert find(aws, kind, **{**values, "to_port": 8444}) is None
    assert find(aws, kind, **{**values, "cidr_ipv4": "10.8.1.0/24"}) is None
    assert find(aws, "aws_vpc_security_group_egress_rule", **values) is None


def test_a_key_is_known_by_what_it_is_for_and_our_tags(aws: Aws):
    kms, what = aws.client("kms"), f"Data of {uuid.uuid4().hex}"
    values = {"description": what, "tags_all": OURS}
    prod = listed({**OURS, "environment": "prod"}, "TagKey")
    kms.create_key(Description=what, Tags=prod)
    ended = kms.create_key(Description=what, Tags=listed(OURS, "TagKey"))["KeyMetadata"]["KeyId"]
    kms.schedule_key_deletion(KeyId=ended)
    assert find(aws, "aws_kms_key", **values) is None
    ours = kms.create_key(Description=what, Tags=listed(OURS, "TagKey"))["KeyMetadata"]["KeyId"]
    assert find(aws, "aws_kms_key", **values) == ours
    assert find(aws, "aws_kms_key", description=what) is None, "without tags it is nobody's"


def test_a_topic_and_an_application_by_their_names(aws: Aws):
    name = f"alarms-{uuid.uuid4().hex[:8]}"
    kind = "aws_sns_topic"
    assert found_or_absent(aws, kind, name=name) is None
    topic = aws.client("sns").create_topic(Name=name)["TopicArn"]
    assert find(aws, kind, name=name) == topic

    serverless = aws.client("emr-serverless")
    kind = "aws_emrserverless_application"
    asked = {"name": name, "releaseLabel": "emr-6.6.0", "type": "SPARK", "clientToken": "t"}
    assert find(aws, kind, name=name) is None
    made = serverless.create_application(**asked)["applicationId"]
    assert find(aws, kind, name=name) == made


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


def new_cluster(aws: Aws, **more: Any) -> str:
    return aws.emr.run_job_flow(
        Name=f"cluster-{uuid.uuid4().hex[:8]}",
        ReleaseLabel="emr-7.0.0",
        Instances={
            "InstanceCount": 1,
            "MasterInstanceType": "m5.large",
            "KeepJobFlowAliveWhenNoSteps": True,
        },
        JobFlowRole="node",
        ServiceRole="service",
        **more,
    )["JobFlowId"]


def found_or_absent(aws: Aws, kind: str, **values: Any) -> str | None:
    """Ask as ``adopt`` does: AWS may say by an error that something is not there."""
    taken = Recording({"it": Planned(values)})
    adopt(aws, taken, [Change("it", kind, "create")], frozenset(), lambda _said: None)
    return taken.adopted.get("it")


class Recording(Terraform):
    """A root whose plan is given, and that notes what it is to take over."""

    def __init__(self, plan: dict[str, Planned]) -> None:
        super().__init__(Path())
        self._plan = plan
        self.adopted: dict[str, str] = {}

    def planned(self) -> dict[str, Planned]:
        return self._plan

    def adopt(self, address: str, identity: str) -> None:
        self.adopted[address] = identity


def test_what_another_state_owns_is_not_taken(aws: Aws):
    cluster = new_cluster(aws)
    group = {"Name": "task", "InstanceRole": "TASK", "InstanceType": "m5.large", "InstanceCount": 1}
    aws.emr.add_instance_groups(JobFlowId=cluster, InstanceGroups=[group])
    kind = "aws_emr_instance_group"
    values = {"cluster_id": cluster, "name": "task", "instance_type": "m5.large"}
    made = (find(aws, kind, **values) or "").partition("/")[2]
    root, changes = Recording({"task": Planned(values)}), [Change("task", kind, "create")]
    said: list[str] = []
    assert adopt(aws, root, changes, frozenset({(kind, made)}), said.append) == 0
    assert (root.adopted, said) == ({}, [])
    assert adopt(aws, root, changes, frozenset({("aws_vpc", made)}), said.append) == 1
    assert root.adopted == {"task": f"{cluster}/{made}"}


class Refusing(Recording):
    """A root that can import nothing as yet."""

    def adopt(self, address: str, identity: str) -> None:
        raise EmrError(f"{identity} is there but cannot be taken over as {address}: Invalid index")


def test_what_cannot_be_imported_yet_is_left_for_later_unless_it_would_be_made_twice(aws: Aws):
    aws.s3.create_bucket(Bucket="left-for-later")
    bucket = Refusing({"it": Planned({"bucket": "left-for-later"})})
    said: list[str] = []
    changes = [Change("it", "aws_s3_bucket", "create")]
    assert adopt(aws, bucket, changes, frozenset(), said.append) == 0
    assert said == [
        "left-for-later is there but cannot be taken over as it: Invalid index; left for later"
    ]
    kms, what = aws.client("kms"), f"Data of {uuid.uuid4().hex}"
    kms.create_key(Description=what, Tags=listed(OURS, "TagKey"))
    key = Refusing({"it": Planned({"description": what, "tags_all": OURS})})
    with pytest.raises(EmrError, match="cannot be taken over"):
        adopt(aws, key, [Change("it", "aws_kms_key", "create")], frozenset(), said.append)


# --- what moto has not: AWS's answers as its own model has them -----------------------------------


@contextmanager
def answering(answers: Mapping[str, Any]) -> Iterator[str]:
    """Run a server that answers each action, or path, with what is given for it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
            action = self.headers["X-Amz-Target"].partition(".")[2]
            answer = answers[action]
            self._say(answer(body) if callable(answer) else answer)

        def do_GET(self) -> None:
            self._say(answers[self.path.partition("?")[0]])

        def _say(self, answer: Any) -> None:
            said = json.dumps(answer).encode()
            self.send_response(400 if "__type" in answer else 200)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_arguments: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


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


def test_a_key_that_may_not_be_looked_at_is_none_of_ours(aws: Aws):
    def describe(asked: dict[str, str]) -> dict[str, Any]:
        if asked["KeyId"] == "theirs":
            return {"__type": "AccessDeniedException", "message": "no right to kms:DescribeKey"}
        key = {"KeyId": "ours", "Description": "Data", "KeyState": "Enabled"}
        return {"KeyMetadata": key}

    answers = {
        "ListKeys": {"Keys": [{"KeyId": "theirs"}, {"KeyId": "ours"}]},
        "DescribeKey": describe,
        "ListResourceTags": {"Tags": listed(OURS, "TagKey")},
    }
    with answering(answers) as url:
        found = find(Aws(REGION, url), "aws_kms_key", description="Data", tags_all=OURS)
    assert found == "ours"


# --- what an import does not read -----------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Terraform:
    """A root without a provider: its state can be read and replaced all the same."""
    if terraform_program() is None:
        pytest.skip("terraform is not installed")
    (tmp_path / "main.tf").write_text("terraform {}\n")
    terraform = Terraform(tmp_path)
    terraform.init()
    return terraform


def holding(root: Terraform, **instance: Any) -> None:
    """Let the state of a root hold one cluster."""
    cluster = {
        "mode": "managed",
        "type": "aws_emr_cluster",
        "name": "this",
        "provider": 'provider["registry.terraform.io/hashicorp/aws"]',
        "instances": [{"schema_version": 0, **instance}],
    }
    state = {
        "version": 4,
        "terraform_version": "1.11.0",
        "serial": 5,
        "lineage": str(uuid.uuid4()),
        "outputs": {},
        "resources": [cluster],
    }
    (root.folder / "terraform.tfstate").write_text(json.dumps(state))


def held(root: Terraform) -> dict[str, Any]:
    (cluster,) = root.state()["resources"]
    (instance,) = cluster["instances"]
    return dict(instance)


CONFIGURATIONS = [{"Classification": "spark-defaults", "Properties": {"spark.a": "1"}}]
IMPORTED = {"keep_job_flow_alive_when_no_steps": None, "configurations_json": None}


def test_what_the_import_of_a_cluster_does_not_read_is_asked_of_emr(aws: Aws, root: Terraform):
    cluster = new_cluster(aws, Configurations=CONFIGURATIONS)
    # A run that was killed between the import and this leaves the same: the next one goes on here.
    holding(root, attributes={"id": cluster, "name": "c", **IMPORTED})
    assert complete(aws, root)
    attributes = held(root)["attributes"]
    assert attributes["keep_job_flow_alive_when_no_steps"] is True
    assert json.loads(attributes["configurations_json"]) == CONFIGURATIONS
    assert attributes["name"] == "c"
    assert root.state()["serial"] > 5
    assert not complete(aws, root), "there is nothing left to fill in"


def test_a_cluster_whose_start_was_cut_short_is_not_replaced_for_that(aws: Aws, root: Terraform):
    cluster = new_cluster(aws, Configurations=CONFIGURATIONS)
    made = {"keep_job_flow_alive_when_no_steps": True, "configurations_json": "[]"}
    holding(root, status="tainted", attributes={"id": cluster, **made})
    assert complete(aws, root)
    assert "status" not in held(root)
    assert held(root)["attributes"]["configurations_json"] == "[]", "as it was asked for"
    # One that has ended stays what it is: it is to be made anew.
    aws.emr.terminate_job_flows(JobFlowIds=[cluster])
    holding(root, status="tainted", attributes={"id": cluster, **made})
    assert not complete(aws, root)
    assert held(root)["status"] == "tainted"


def test_a_state_without_clusters_is_left_alone(aws: Aws, root: Terraform):
    assert root.state() == {}
    assert not complete(aws, root)
