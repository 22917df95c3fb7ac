"""Of every type of resource in the code it is known what comes of making it again."""

from __future__ import annotations

import re
from pathlib import Path

from marketlake.emr.finders import FINDERS, MADE_TWICE

INFRASTRUCTURE = Path(__file__).parents[4] / "infrastructure" / "terraform"

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


def test_of_every_type_it_is_known_what_comes_of_making_it_again():
    code = "\n".join(file.read_text() for file in INFRASTRUCTURE.glob("**/*.tf"))
    types = set(re.findall(r'(?m)^resource "(\w+)"', code))
    assert len(types) > 40, "the code was found"
    assert not FINDERS.keys() & PUTS.keys()
    assert FINDERS.keys() | PUTS.keys() == types
    assert FINDERS.keys() > MADE_TWICE
