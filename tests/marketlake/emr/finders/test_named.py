"""What has a name is found by it, and keys by what they are for."""

from __future__ import annotations

import uuid
from typing import Any

from marketlake.emr.aws import Aws
from tests.marketlake.emr.accounts import OURS, answering, find, listed
from tests.s3_servers import REGION


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


def test_a_topic_and_an_application_by_their_names(aws: Aws):
    name = f"alarms-{uuid.uuid4().hex[:8]}"
    kind = "aws_sns_topic"
    assert find(aws, kind, name=name) is None
    topic = aws.client("sns").create_topic(Name=name)["TopicArn"]
    assert find(aws, kind, name=name) == topic

    serverless = aws.client("emr-serverless")
    kind = "aws_emrserverless_application"
    asked = {"name": name, "releaseLabel": "emr-6.6.0", "type": "SPARK", "clientToken": "t"}
    assert find(aws, kind, name=name) is None
    made = serverless.create_application(**asked)["applicationId"]
    assert find(aws, kind, name=name) == made
