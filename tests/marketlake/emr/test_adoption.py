"""What a killed run left is found by what Terraform was about to make."""

from __future__ import annotations

from typing import Any

import pytest

from marketlake.emr.adoption import _FINDERS
from marketlake.emr.aws import Aws
from tests.s3_servers import REGION, S3Server


@pytest.fixture
def aws(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Aws:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return Aws(REGION, s3_server.url)


def find(aws: Aws, kind: str, **values: Any) -> str | None:
    return _FINDERS[kind](aws, values)


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
