"""What each role must and must not do, by the documents that Terraform made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.infrastructure.conftest import Deployed
from tests.infrastructure.deployments import ACCOUNT, REGION
from tests.infrastructure.policies import allows, policies_of, policy_document

LAKE = f"arn:aws:s3:::marketlake-dev-{ACCOUNT}-lake"
ARTIFACTS = f"arn:aws:s3:::marketlake-dev-{ACCOUNT}-artifacts"
LOGS = f"arn:aws:s3:::marketlake-dev-{ACCOUNT}-logs"
BACKUP = f"arn:aws:s3:::marketlake-dev-{ACCOUNT}-backup"
PLACE = f"{REGION}:{ACCOUNT}"
STREAM = f"arn:aws:kinesis:{PLACE}:stream/marketlake-dev-market.trades"
CLUSTER = f"arn:aws:elasticmapreduce:{PLACE}:cluster/j-1"
OURS = {
    "elasticmapreduce:ResourceTag/environment": "dev",
    "elasticmapreduce:ResourceTag/project": "marketlake",
}
PROD = OURS | {"elasticmapreduce:ResourceTag/environment": "prod"}
PROJECT = {"ssm:resourceTag/project": "marketlake"}
NODE_MACHINE = f"arn:aws:ec2:{PLACE}:instance/i-1"
STATE = f"arn:aws:s3:::marketlake-dev-state-{ACCOUNT}-{REGION}"
EMR_TAG = "for-use-with-amazon-emr-managed-policies"

NODE = "marketlake-dev-emr-node"
SERVICE = "marketlake-dev-emr-service"
SCALING = "marketlake-dev-emr-scaling"
FLOWS = "marketlake-dev-flows"

MUST = [
    (NODE, "s3:ListBucket", LAKE, {"s3:prefix": "lake/gold/bars/_delta_log/"}),
    (NODE, "s3:GetObject", f"{LAKE}/lake/bronze/events/x.parquet", {}),
    (NODE, "s3:PutObject", f"{LAKE}/lake/_marketlake/stream.lease", {}),
    (NODE, "s3:DeleteObject", f"{LAKE}/lake/_marketlake/stream.lease", {}),
    (NODE, "s3:AbortMultipartUpload", f"{LAKE}/lake/gold/x", {}),
    (NODE, "s3:GetObject", f"{ARTIFACTS}/applications/0.tar.gz", {}),
    (NODE, "s3:GetObject", f"{ARTIFACTS}/certificates/0.zip", {}),
    (NODE, "s3:PutObject", f"{LOGS}/emr/j-1/steps/s-1/stderr.gz", {}),
    (NODE, "kinesis:GetRecords", STREAM, {}),
    (NODE, "kinesis:ListShards", STREAM, {}),
    (NODE, "cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "Marketlake"}),
    (
        NODE,
        "logs:PutLogEvents",
        f"arn:aws:logs:{PLACE}:log-group:/marketlake-dev/stream:log-stream:a",
        {},
    ),
    # Session Manager.
    (NODE, "ssmmessages:OpenDataChannel", "*", {}),
    (NODE, "ssm:UpdateInstanceInformation", f"arn:aws:ec2:{PLACE}:instance/i-1", {}),
    (
        SERVICE,
        "iam:PassRole",
        f"arn:aws:iam::{ACCOUNT}:role/{NODE}",
        {"iam:PassedToService": "ec2.amazonaws.com"},
    ),
    (
        SERVICE,
        "ec2:RunInstances",
        f"arn:aws:ec2:{PLACE}:subnet/subnet-1",
        {f"aws:ResourceTag/{EMR_TAG}": "true"},
    ),
    (
        SERVICE,
        "ec2:TerminateInstances",
        f"arn:aws:ec2:{PLACE}:instance/i-1",
        {f"aws:ResourceTag/{EMR_TAG}": "true"},
    ),
    (SCALING, "elasticmapreduce:ModifyInstanceGroups", CLUSTER, OURS),
    (SCALING, "elasticmapreduce:ListInstanceGroups", CLUSTER, OURS),
    (SCALING, "cloudwatch:DescribeAlarms", f"arn:aws:cloudwatch:{PLACE}:alarm:any", {}),
    (
        FLOWS,
        "logs:PutLogEvents",
        f"arn:aws:logs:{PLACE}:log-group:/marketlake-dev/network/flows:log-stream:eni-1",
        {},
    ),
]

MUST_NOT = [
    # The lake is the one folder of the bucket, and the bucket the one of the environment.
    (NODE, "s3:GetObject", f"{LAKE}/reference/secret", {}),
    (NODE, "s3:ListBucket", LAKE, {"s3:prefix": ""}),
    (NODE, "s3:ListBucket", LAKE, {}),
    (NODE, "s3:GetObject", f"arn:aws:s3:::marketlake-prod-{ACCOUNT}-lake/lake/gold/x", {}),
    # A job cannot change what jobs run, nor hide what it did, nor reach the backups.
    (NODE, "s3:PutObject", f"{ARTIFACTS}/applications/0.tar.gz", {}),
    (NODE, "s3:PutObject", f"{ARTIFACTS}/certificates/0.zip", {}),
    (NODE, "s3:DeleteObject", f"{LOGS}/emr/j-1/steps/s-1/stderr.gz", {}),
    (NODE, "s3:GetObject", f"{BACKUP}/x", {}),
    # Versions are how a mistake is undone.
    (NODE, "s3:DeleteObjectVersion", f"{LAKE}/lake/gold/x", {}),
    (NODE, "s3:PutBucketPolicy", LAKE, {}),
    (NODE, "s3:PutLifecycleConfiguration", LAKE, {}),
    (NODE, "s3:DeleteBucket", LAKE, {}),
    (NODE, "kinesis:PutRecords", STREAM, {}),
    (NODE, "kinesis:DeleteStream", STREAM, {}),
    (NODE, "kinesis:GetRecords", STREAM.replace("-dev-", "-prod-"), {}),
    (NODE, "kms:Decrypt", f"arn:aws:kms:{PLACE}:key/another", {}),
    (NODE, "kms:ScheduleKeyDeletion", f"arn:aws:kms:{PLACE}:key/another", {}),
    (NODE, "cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "AWS/EC2"}),
    (NODE, "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/{NODE}", {}),
    (NODE, "sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/Admin", {}),
    (NODE, "elasticmapreduce:TerminateJobFlows", CLUSTER, OURS),
    (
        NODE,
        "logs:PutLogEvents",
        f"arn:aws:logs:{PLACE}:log-group:/marketlake-dev/network/flows:log-stream:a",
        {},
    ),
    (NODE, "glue:GetTable", f"arn:aws:glue:{PLACE}:catalog", {}),
    (SERVICE, "s3:GetObject", f"{LAKE}/lake/gold/x", {}),
    (SERVICE, "kinesis:GetRecords", STREAM, {}),
    (
        SERVICE,
        "iam:PassRole",
        f"arn:aws:iam::{ACCOUNT}:role/Admin",
        {"iam:PassedToService": "ec2.amazonaws.com"},
    ),
    (
        SERVICE,
        "iam:PassRole",
        f"arn:aws:iam::{ACCOUNT}:role/{NODE}",
        {"iam:PassedToService": "lambda.amazonaws.com"},
    ),
    (SERVICE, "ec2:TerminateInstances", f"arn:aws:ec2:{PLACE}:instance/i-1", {}),
    (SCALING, "elasticmapreduce:ModifyInstanceGroups", CLUSTER, PROD),
    (SCALING, "elasticmapreduce:ModifyInstanceGroups", CLUSTER, {}),
    (SCALING, "elasticmapreduce:TerminateJobFlows", CLUSTER, OURS),
    (SCALING, "cloudwatch:DeleteAlarms", f"arn:aws:cloudwatch:{PLACE}:alarm:any", {}),
    (FLOWS, "logs:PutLogEvents", f"arn:aws:logs:{PLACE}:log-group:/other:log-stream:a", {}),
    (FLOWS, "logs:DeleteLogGroup", f"arn:aws:logs:{PLACE}:log-group:/marketlake-dev/stream", {}),
]

PEOPLE_MUST = [
    ("submit", "elasticmapreduce:AddJobFlowSteps", CLUSTER, OURS),
    ("submit", "elasticmapreduce:CancelSteps", CLUSTER, OURS),
    ("submit", "elasticmapreduce:DescribeStep", CLUSTER, OURS),
    ("submit", "s3:GetObject", f"{LOGS}/emr/j-1/steps/s-1/stderr.gz", {}),
    ("submit", "s3:GetObject", f"{ARTIFACTS}/releases/current.json", {}),
    ("submit", "s3:GetObject", f"{STATE}/dev/cluster.tfstate", {}),
    ("submit", "s3:ListBucket", STATE, {}),
    ("operate", "s3:PutObject", f"{LAKE}/lake/_marketlake/stream/stop.json", {}),
    (
        "operate",
        "ssm:StartSession",
        NODE_MACHINE,
        {"ssm:resourceTag/environment": "dev", **PROJECT},
    ),
    (
        "operate",
        "ssm:StartSession",
        f"arn:aws:ssm:{REGION}::document/AWS-StartPortForwardingSession",
        {},
    ),
    (
        "operate",
        "ssm:TerminateSession",
        f"arn:aws:ssm:{PLACE}:session/AROA:me-0",
        {"aws:userid": "AROA:me"},
    ),
    ("read", "s3:GetObject", f"{LAKE}/lake/gold/bars/x.parquet", {}),
    ("read", "s3:ListBucket", LAKE, {"s3:prefix": "lake/silver/trades/_delta_log/"}),
]

PEOPLE_MUST_NOT = [
    ("submit", "elasticmapreduce:AddJobFlowSteps", CLUSTER, PROD),
    ("submit", "elasticmapreduce:TerminateJobFlows", CLUSTER, OURS),
    ("submit", "elasticmapreduce:RunJobFlow", CLUSTER, OURS),
    ("submit", "s3:GetObject", f"{LAKE}/lake/gold/x", {}),
    # What jobs run in, the scripts of nodes, and the release, are more than a job.
    ("submit", "s3:PutObject", f"{ARTIFACTS}/applications/0.tar.gz", {}),
    ("submit", "s3:PutObject", f"{ARTIFACTS}/releases/current.json", {}),
    # The key of the nodes' certificates.
    ("submit", "s3:GetObject", f"{ARTIFACTS}/certificates/0.zip", {}),
    ("operate", "s3:GetObject", f"{ARTIFACTS}/certificates/0.zip", {}),
    ("read", "s3:GetObject", f"{ARTIFACTS}/certificates/0.zip", {}),
    ("submit", "s3:PutObject", f"{STATE}/dev/cluster.tfstate", {}),
    ("submit", "s3:GetObject", f"{STATE}/prod/cluster.tfstate", {}),
    ("operate", "s3:PutObject", f"{LAKE}/lake/gold/bars/x", {}),
    ("operate", "s3:GetObject", f"{LAKE}/lake/gold/bars/x", {}),
    ("operate", "ssm:StartSession", NODE_MACHINE, {"ssm:resourceTag/environment": "prod"}),
    ("operate", "ssm:StartSession", NODE_MACHINE, {}),
    ("operate", "ssm:SendCommand", NODE_MACHINE, {"ssm:resourceTag/environment": "dev"}),
    (
        "operate",
        "ssm:TerminateSession",
        f"arn:aws:ssm:{PLACE}:session/AROA:you-0",
        {"aws:userid": "AROA:me"},
    ),
    ("submit", "s3:PutObject", f"{ARTIFACTS}/environments/0.tar.gz", {}),
    ("submit", "s3:PutObject", f"{ARTIFACTS}/bootstrap/0/environment.sh", {}),
    ("submit", "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/{NODE}", {}),
    ("read", "s3:PutObject", f"{LAKE}/lake/gold/x", {}),
    ("read", "s3:DeleteObject", f"{LAKE}/lake/gold/x", {}),
    ("read", "s3:GetObject", f"{LAKE}/lake/bronze/events/x", {}),
    ("read", "s3:GetObject", f"{LAKE}/lake/state/folds/x", {}),
    ("read", "kms:Encrypt", f"arn:aws:kms:{PLACE}:key/another", {}),
]


@pytest.fixture(scope="module")
def roles(environment: Deployed) -> Mapping[str, Any]:
    iam = environment.emulator.client("iam")
    made = {role: policies_of(iam, role) for role in (NODE, SERVICE, SCALING, FLOWS)}
    people = {
        who: [policy_document(iam, f"arn:aws:iam::{ACCOUNT}:policy/marketlake-dev-{who}")]
        for who in ("submit", "operate", "read")
    }
    return made | people


def test_roles_do_what_they_must(roles) -> None:
    for role, action, resource, context in MUST + PEOPLE_MUST:
        assert allows(roles[role], action, resource, context), (role, action, resource, context)


def test_roles_do_nothing_that_they_must_not(roles) -> None:
    for role, action, resource, context in MUST_NOT + PEOPLE_MUST_NOT:
        assert not allows(roles[role], action, resource, context), (role, action, resource, context)


def test_the_key_of_the_data_is_used_by_those_who_read_it(environment, roles) -> None:
    key = environment.outputs["data"]["kms_key_arn"]
    for role in (NODE, "submit", "operate", "read"):
        assert allows(roles[role], "kms:Decrypt", key)
    for role in (SCALING, FLOWS):
        assert not allows(roles[role], "kms:Decrypt", key)
    for role in roles:
        assert not allows(roles[role], "kms:ScheduleKeyDeletion", key)


def test_only_their_service_takes_a_role(environment) -> None:
    iam = environment.emulator.client("iam")
    here = {
        "aws:SourceAccount": ACCOUNT,
        "aws:SourceArn": f"arn:aws:elasticmapreduce:{PLACE}:cluster/j-1",
    }
    elsewhere = here | {"aws:SourceAccount": "999999999999"}
    services = {
        NODE: "ec2.amazonaws.com",
        SERVICE: "elasticmapreduce.amazonaws.com",
        SCALING: "application-autoscaling.amazonaws.com",
        FLOWS: "vpc-flow-logs.amazonaws.com",
    }
    for role, service in services.items():
        trust = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
        assert allows([trust], "sts:AssumeRole", "*", here, service=service), role
        assert not allows([trust], "sts:AssumeRole", "*", here, service="lambda.amazonaws.com")
        if role in {SERVICE, SCALING}:
            # The service of AWS may not be made to act on our account by another one.
            assert not allows([trust], "sts:AssumeRole", "*", elsewhere, service=service), role


def test_the_rules_are_iams() -> None:
    """The judge itself, by cases of AWS's own manual."""
    allow = {"Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::a/*"}
    deny = {"Effect": "Deny", "Action": "*", "Resource": "arn:aws:s3:::a/secret/*"}
    document = {"Statement": [allow, deny]}
    assert allows([document], "s3:GetObject", "arn:aws:s3:::a/b")
    assert allows([document], "s3:getobject", "arn:aws:s3:::a/b"), "actions know no case"
    assert not allows([document], "s3:GetObject", "arn:aws:s3:::A/b"), "resources do"
    assert not allows([document], "s3:GetObject", "arn:aws:s3:::a/secret/b"), "a Deny wins"
    assert not allows([document], "s3:PutObject", "arn:aws:s3:::a/b"), "silence is no"
    with_condition = {
        "Statement": {**allow, "Condition": {"StringEquals": {"aws:PrincipalTag/team": ["x", "y"]}}}
    }
    assert allows(
        [with_condition], "s3:GetObject", "arn:aws:s3:::a/b", {"aws:principaltag/team": "y"}
    )
    assert not allows([with_condition], "s3:GetObject", "arn:aws:s3:::a/b"), "an absent key"
    with pytest.raises(NotImplementedError, match="IpAddress"):
        allows(
            [{"Statement": {**allow, "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}}],
            "s3:GetObject",
            "arn:aws:s3:::a/b",
            {"aws:SourceIp": "10.0.0.1"},
        )
