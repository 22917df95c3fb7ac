"""What has a name that no other of its kind has in the account: found by that name; and keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from marketlake.emr.aws import Aws, code_of, told
from marketlake.emr.errors import EmrError
from marketlake.emr.finders.common import Finder, only, telling_tags

_DENIED: Final = "AccessDeniedException"


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
    account, partition = _place(aws)
    arn = f"arn:{partition}:iam::{account}:policy/{values['name']}"
    with told(f"look for policy {arn}"):
        aws.client("iam").get_policy(PolicyArn=arn)
    return arn


def _topic(aws: Aws, values: Mapping[str, Any]) -> str | None:
    account, partition = _place(aws)
    arn = f"arn:{partition}:sns:{aws.region}:{account}:{values['name']}"
    with told(f"look for topic {arn}"):
        aws.client("sns").get_topic_attributes(TopicArn=arn)
    return arn


def _place(aws: Aws) -> tuple[str, str]:
    """Give the account, and the partition of AWS that it is in."""
    account, arn = aws.identity
    return account, arn.split(":")[1]


def _alias(aws: Aws, values: Mapping[str, Any]) -> str | None:
    with told("look for aliases of keys"):
        pages = aws.client("kms").get_paginator("list_aliases").paginate()
        names = {alias["AliasName"] for page in pages for alias in page["Aliases"]}
    name = str(values["name"])
    return name if name in names else None


def _key(aws: Aws, values: Mapping[str, Any]) -> str | None:
    """Find a key by its description and our tags: keys have no names, and many may be made."""
    wanted = telling_tags(values)
    if not wanted:
        return None
    same = [
        key
        for key in _enabled_keys(aws)
        if key["Description"] == values["description"]
        and wanted.items() <= _tags_of_key(aws, key["KeyId"]).items()
    ]
    return only(same, "KeyId")


def _enabled_keys(aws: Aws) -> Iterator[dict[str, Any]]:
    kms = aws.client("kms")
    with told("list keys"):
        pages = kms.get_paginator("list_keys").paginate()
        ids = [key["KeyId"] for page in pages for key in page["Keys"]]
    for key_id in ids:
        try:
            with told(f"look at key {key_id}"):
                key = kms.describe_key(KeyId=key_id)["KeyMetadata"]
        except EmrError as error:
            # A key whose own policy shuts us out is somebody else's.
            if code_of(error) != _DENIED:
                raise
            continue
        if key["KeyState"] == "Enabled":
            yield key


def _tags_of_key(aws: Aws, key_id: str) -> dict[str, str]:
    with told(f"read the tags of key {key_id}"):
        tags = aws.client("kms").list_resource_tags(KeyId=key_id)["Tags"]
    return {tag["TagKey"]: tag["TagValue"] for tag in tags}


def _log_group(aws: Aws, values: Mapping[str, Any]) -> str | None:
    name = str(values["name"])
    with told(f"look for log group {name}"):
        found = aws.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return name if any(group["logGroupName"] == name for group in found) else None


def _budget(aws: Aws, values: Mapping[str, Any]) -> str | None:
    account, name = aws.identity[0], str(values["name"])
    with told(f"look for budget {name}"):
        aws.client("budgets").describe_budget(AccountId=account, BudgetName=name)
    return f"{account}:{name}"


NAMED: Final[Mapping[str, Finder]] = MappingProxyType(
    {
        "aws_budgets_budget": _budget,
        "aws_cloudwatch_log_group": _log_group,
        "aws_iam_instance_profile": _profile,
        "aws_iam_policy": _policy,
        "aws_iam_role": _role,
        "aws_kinesis_stream": _stream,
        "aws_kms_alias": _alias,
        "aws_kms_key": _key,
        "aws_s3_bucket": _bucket,
        "aws_sns_topic": _topic,
    }
)
