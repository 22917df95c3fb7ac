"""Parts of a network are found by where they are, and the VPC itself by its tags."""

from __future__ import annotations

import uuid
from typing import Any

from marketlake.emr.aws import Aws
from tests.marketlake.emr.accounts import OURS, find, listed


def tagged(kind: str, **more: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": listed({**OURS, **more})}]


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


def test_port_0_is_a_port(aws: Aws):
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.6.0.0/16")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName="p", Description="d", VpcId=vpc)["GroupId"]
    ports = {"IpProtocol": "tcp", "FromPort": 0, "ToPort": 65_535}
    among = {**ports, "UserIdGroupPairs": [{"GroupId": group}]}
    made = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[among])
    values = {
        "security_group_id": group,
        "ip_protocol": "tcp",
        "from_port": 0,
        "to_port": 65_535,
        "referenced_security_group_id": group,
    }
    rule = made["SecurityGroupRules"][0]["SecurityGroupRuleId"]
    assert find(aws, "aws_vpc_security_group_ingress_rule", **values) == rule
