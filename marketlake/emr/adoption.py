"""What a killed run made without writing it down: found by name, and taken into the state.

Terraform writes a resource into its state when AWS has answered. A process killed in between leaves
the resource without an owner, and the next run would meet it ("already exists"), or, of a cluster,
make and pay for a second one. This is only done after a run that did not end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from marketlake.emr.aws import Aws, code_of, told
from marketlake.emr.cluster import active_clusters
from marketlake.emr.errors import EmrError
from marketlake.emr.terraform import Change, Terraform

_ABSENT: Final = frozenset(
    {
        "404",
        "NoSuchBucket",
        "NoSuchEntity",
        "ResourceNotFoundException",
        "NotFoundException",
        "InvalidRequestException",
        "InvalidGroup.NotFound",
    }
)

Finder = Callable[[Aws, Mapping[str, Any]], str | None]
"""Gives the id by which Terraform imports what the values describe; None where it is absent."""


def adopt(aws: Aws, terraform: Terraform, changes: list[Change], say: Callable[[str], None]) -> int:
    """Take what a plan would make, and is there already, into the state.

    Returns
    -------
    int
        How many were taken; where it is not 0, the plan is to be made again.
    """
    taken = 0
    for change in changes:
        find = _FINDERS.get(change.type)
        if find is None or change.actions != ("create",):
            continue
        try:
            identity = find(aws, change.after)
        except EmrError as error:
            if code_of(error) in _ABSENT:
                continue
            raise
        if identity is not None:
            say(f"{change.address} is there already, left by a run that did not end: taken over")
            terraform.adopt(change.address, identity)
            taken += 1
    return taken


def _bucket(aws: Aws, values: Mapping[str, Any]) -> str | None:
    name = str(values["bucket"])
    with told(f"look for bucket {name}"):
        aws.s3.head_bucket(Bucket=name, ExpectedBucketOwner=aws.identity[0])
    return name


def _stream(aws: Aws, values: Mapping[str, Any]) -> str | None:
    name = str(values["name"])
    with told(f"look for stream {name}"):
        aws.client("kinesis").describe_stream_summary(StreamName=name)
    return name


def _role(aws: Aws, values: Mapping[str, Any]) -> str | None:
    name = str(values["name"])
    with told(f"look for role {name}"):
        aws.client("iam").get_role(RoleName=name)
    return name


def _profile(aws: Aws, values: Mapping[str, Any]) -> str | None:
    name = str(values["name"])
    with told(f"look for instance profile {name}"):
        aws.client("iam").get_instance_profile(InstanceProfileName=name)
    return name


def _policy(aws: Aws, values: Mapping[str, Any]) -> str | None:
    who = aws.identity
    partition = who[1].split(":")[1]
    arn = f"arn:{partition}:iam::{who[0]}:policy/{values['name']}"
    with told(f"look for policy {arn}"):
        aws.client("iam").get_policy(PolicyArn=arn)
    return arn


def _alias(aws: Aws, values: Mapping[str, Any]) -> str | None:
    with told("look for aliases of keys"):
        pages = aws.client("kms").get_paginator("list_aliases").paginate()
        names = {alias["AliasName"] for page in pages for alias in page["Aliases"]}
    name = str(values["name"])
    return name if name in names else None


def _log_group(aws: Aws, values: Mapping[str, Any]) -> str | None:
    name = str(values["name"])
    with told(f"look for log group {name}"):
        found = aws.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return name if any(group["logGroupName"] == name for group in found) else None


def _security_configuration(aws: Aws, values: Mapping[str, Any]) -> str | None:
    name = str(values["name"])
    with told(f"look for security configuration {name}"):
        aws.emr.describe_security_configuration(Name=name)
    return name


def _cluster(aws: Aws, values: Mapping[str, Any]) -> str | None:
    for cluster in active_clusters(aws):
        mine = cluster.tags.get("environment") == values.get("tags_all", {}).get("environment")
        if cluster.name == values["name"] and mine and cluster.state != "TERMINATING":
            return cluster.id
    return None


def _budget(aws: Aws, values: Mapping[str, Any]) -> str | None:
    account, name = aws.identity[0], str(values["name"])
    with told(f"look for budget {name}"):
        aws.client("budgets").describe_budget(AccountId=account, BudgetName=name)
    return f"{account}:{name}"


def _filtered(aws: Aws, what: str, key: str, **wanted: Any) -> list[dict[str, Any]]:
    """List things of EC2 by filters; none where a value is only known when they are made."""
    if not all(wanted.values()):
        return []
    filters = [
        {"Name": name.replace("_", "-"), "Values": [str(value)]} for name, value in wanted.items()
    ]
    with told(f"list {what}"):
        answer = getattr(aws.client("ec2"), f"describe_{what}")(
            **{"Filter" if what == "flow_logs" else "Filters": filters}
        )
    found: list[dict[str, Any]] = answer[key]
    return found


def _only(found: list[dict[str, Any]], key: str) -> str | None:
    return str(found[0][key]) if len(found) == 1 else None


def _group(aws: Aws, values: Mapping[str, Any]) -> str | None:
    name, vpc = values.get("name"), values.get("vpc_id")
    return _only(
        _filtered(aws, "security_groups", "SecurityGroups", group_name=name, vpc_id=vpc), "GroupId"
    )


def _subnet(aws: Aws, values: Mapping[str, Any]) -> str | None:
    vpc, block = values.get("vpc_id"), values.get("cidr_block")
    return _only(_filtered(aws, "subnets", "Subnets", vpc_id=vpc, cidr_block=block), "SubnetId")


def _endpoint(aws: Aws, values: Mapping[str, Any]) -> str | None:
    vpc, service = values.get("vpc_id"), values.get("service_name")
    found = _filtered(aws, "vpc_endpoints", "VpcEndpoints", vpc_id=vpc, service_name=service)
    return _only([e for e in found if not e["State"].startswith("delet")], "VpcEndpointId")


def _flow_log(aws: Aws, values: Mapping[str, Any]) -> str | None:
    return _only(
        _filtered(aws, "flow_logs", "FlowLogs", resource_id=values.get("vpc_id")), "FlowLogId"
    )


def _ingress(aws: Aws, values: Mapping[str, Any]) -> str | None:
    return _rule(aws, values, egress=False)


def _egress(aws: Aws, values: Mapping[str, Any]) -> str | None:
    return _rule(aws, values, egress=True)


def _rule(aws: Aws, values: Mapping[str, Any], *, egress: bool) -> str | None:
    rules = _filtered(
        aws, "security_group_rules", "SecurityGroupRules", group_id=values.get("security_group_id")
    )
    wanted = (
        values.get("ip_protocol"),
        values.get("from_port") or -1,
        values.get("to_port") or -1,
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
    return _only(same, "SecurityGroupRuleId")


_FINDERS: Final[Mapping[str, Finder]] = MappingProxyType(
    {
        "aws_s3_bucket": _bucket,
        "aws_kinesis_stream": _stream,
        "aws_iam_role": _role,
        "aws_iam_instance_profile": _profile,
        "aws_iam_policy": _policy,
        "aws_kms_alias": _alias,
        "aws_cloudwatch_log_group": _log_group,
        "aws_emr_security_configuration": _security_configuration,
        "aws_emr_cluster": _cluster,
        "aws_budgets_budget": _budget,
        "aws_security_group": _group,
        "aws_subnet": _subnet,
        "aws_vpc_endpoint": _endpoint,
        "aws_flow_log": _flow_log,
        "aws_vpc_security_group_ingress_rule": _ingress,
        "aws_vpc_security_group_egress_rule": _egress,
    }
)
