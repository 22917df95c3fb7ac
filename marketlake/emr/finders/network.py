"""Parts of a network: found by where they are, and the VPC itself by its tags."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from marketlake.emr.aws import Aws, told
from marketlake.emr.finders.common import Finder, only, telling_tags


def _filtered(
    aws: Aws, what: str, key: str, wanted: Mapping[str, Any], tags: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """List things of EC2 by filters; none where a value is only known when they are made."""
    if not all(wanted.values()):
        return []
    every = {**wanted, **{f"tag:{name}": value for name, value in (tags or {}).items()}}
    filters = [{"Name": name, "Values": [str(value)]} for name, value in every.items()]
    with told(f"list {what}"):
        answer = getattr(aws.client("ec2"), f"describe_{what}")(
            **{"Filter" if what == "flow_logs" else "Filters": filters}
        )
    found: list[dict[str, Any]] = answer[key]
    return found


def _vpc(aws: Aws, values: Mapping[str, Any]) -> str | None:
    """Find it by our tags: any number of VPCs may be made, of the same addresses too."""
    tags = telling_tags(values)
    if not tags:
        return None
    wanted = {"cidr-block": values.get("cidr_block")}
    return only(_filtered(aws, "vpcs", "Vpcs", wanted, tags), "VpcId")


def _route_table(aws: Aws, values: Mapping[str, Any]) -> str | None:
    tags = telling_tags(values)
    if not tags:
        return None
    wanted = {"vpc-id": values.get("vpc_id")}
    return only(_filtered(aws, "route_tables", "RouteTables", wanted, tags), "RouteTableId")


def _association(aws: Aws, values: Mapping[str, Any]) -> str | None:
    subnet, table = values.get("subnet_id"), values.get("route_table_id")
    wanted = {"association.subnet-id": subnet, "association.route-table-id": table}
    found = _filtered(aws, "route_tables", "RouteTables", wanted)
    return f"{subnet}/{table}" if found else None


def _group(aws: Aws, values: Mapping[str, Any]) -> str | None:
    wanted = {"group-name": values.get("name"), "vpc-id": values.get("vpc_id")}
    return only(_filtered(aws, "security_groups", "SecurityGroups", wanted), "GroupId")


def _subnet(aws: Aws, values: Mapping[str, Any]) -> str | None:
    wanted = {"vpc-id": values.get("vpc_id"), "cidr-block": values.get("cidr_block")}
    return only(_filtered(aws, "subnets", "Subnets", wanted), "SubnetId")


def _endpoint(aws: Aws, values: Mapping[str, Any]) -> str | None:
    wanted = {"vpc-id": values.get("vpc_id"), "service-name": values.get("service_name")}
    found = _filtered(aws, "vpc_endpoints", "VpcEndpoints", wanted)
    return only([e for e in found if not e["State"].startswith("delet")], "VpcEndpointId")


def _flow_log(aws: Aws, values: Mapping[str, Any]) -> str | None:
    wanted = {"resource-id": values.get("vpc_id")}
    return only(_filtered(aws, "flow_logs", "FlowLogs", wanted), "FlowLogId")


def _ingress(aws: Aws, values: Mapping[str, Any]) -> str | None:
    return _rule(aws, values, egress=False)


def _egress(aws: Aws, values: Mapping[str, Any]) -> str | None:
    return _rule(aws, values, egress=True)


def _rule(aws: Aws, values: Mapping[str, Any], *, egress: bool) -> str | None:
    rules = _filtered(
        aws,
        "security_group_rules",
        "SecurityGroupRules",
        {"group-id": values.get("security_group_id")},
    )
    wanted = (
        values.get("ip_protocol"),
        _port(values.get("from_port")),
        _port(values.get("to_port")),
        values.get("cidr_ipv4"),
        values.get("cidr_ipv6"),
        values.get("prefix_list_id"),
        values.get("referenced_security_group_id"),
    )
    same = [
        rule
        for rule in rules
        if rule["IsEgress"] == egress
        and wanted
        == (
            rule["IpProtocol"],
            rule.get("FromPort", -1),
            rule.get("ToPort", -1),
            rule.get("CidrIpv4"),
            rule.get("CidrIpv6"),
            rule.get("PrefixListId"),
            rule.get("ReferencedGroupInfo", {}).get("GroupId"),
        )
    ]
    return only(same, "SecurityGroupRuleId")


def _port(asked: int | None) -> int:
    """Give a port as a rule has it that is made: -1 where none is asked for. 0 is a port."""
    return -1 if asked is None else asked


NETWORK: Final[Mapping[str, Finder]] = MappingProxyType(
    {
        "aws_flow_log": _flow_log,
        "aws_route_table": _route_table,
        "aws_route_table_association": _association,
        "aws_security_group": _group,
        "aws_subnet": _subnet,
        "aws_vpc": _vpc,
        "aws_vpc_endpoint": _endpoint,
        "aws_vpc_security_group_egress_rule": _egress,
        "aws_vpc_security_group_ingress_rule": _ingress,
    }
)
