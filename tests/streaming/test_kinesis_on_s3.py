"""Kinesis into a lake on S3: all that is written there is written as the settings of S3 say."""

from __future__ import annotations

import json

import pytest

from tests.processes import marketlake
from tests.s3_servers import S3Server

from .kinesis import new_streams, send
from .lakes import market_messages

pytestmark = [pytest.mark.spark, pytest.mark.slow]

KEY = "arn:aws:kms:us-east-1:123456789012:key/of-the-lake"


def test_what_readers_leave_for_each_other_is_encrypted_as_the_lake(
    s3_server: S3Server, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
):
    messages = [m for m in market_messages(seed=31, seconds=20) if m[1] is not None]
    prefix = new_streams(s3_server.url)
    send(s3_server.url, prefix, messages)
    for name, value in {
        "S3__ENCRYPTION": "aws:kms", "S3__KMS_KEY_ID": KEY, "KINESIS__PAUSE_MS": "0",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"MARKETLAKE_{name}", value)
    lake = ("--lake", f"s3a://{s3_bucket}/lake")
    source = ("--source", f"kinesis:us-east-1/{prefix}")
    done = marketlake("stream", *source, *lake, "--until-idle", "--json")
    assert json.loads(done)["read"] == len(messages)
    client = s3_server.client()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=s3_bucket)
    names = [found["Key"] for page in pages for found in page.get("Contents", ())]
    heads = {name: client.head_object(Bucket=s3_bucket, Key=name) for name in names}
    ends = [name for name in names if name.startswith("lake/_marketlake/stream/kinesis/ends/")]
    assert len(ends) >= len({event_type for event_type, _, _ in messages}) > 1
    used = {(h.get("ServerSideEncryption"), h.get("SSEKMSKeyId")) for h in heads.values()}
    assert used == {("aws:kms", KEY)}
