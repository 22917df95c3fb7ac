"""The client of a bucket: endpoint, region and credentials as the AWS tools find them."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from marketlake.lake.errors import LakeError
from marketlake.lake.s3_errors import code_of, one_line
from marketlake.settings import environment
from marketlake.settings.model import S3Settings

_ATTEMPTS: Final = 7
"""Tries of a request; their pauses double, so the last comes some 30 s after the first."""
_FIRST_ATTEMPTS: Final = 3
"""Tries of the first request: a wrong endpoint is told soon."""
_CONNECT_S: Final = 5
_READ_S: Final = 15
_CONNECTIONS: Final = 32
_AWS: Final = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")
_make: Final = threading.Lock()


@dataclass(frozen=True)
class S3Bucket:
    """A bucket that was found to answer.

    Attributes
    ----------
    endpoint : str or None
        URL of a server that is not AWS's own.
    """

    name: str
    client: Any
    region: str
    endpoint: str | None

    @property
    def delta_options(self) -> dict[str, str]:
        """Tell delta-rs where the bucket is; credentials it finds by itself, and renews."""
        # A commit is an object that must not be there yet.
        options = {"AWS_REGION": self.region, "aws_conditional_put": "etag"}
        if self.endpoint is not None:
            options |= {
                "AWS_ENDPOINT_URL": self.endpoint,
                "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "false",
            }
            if self.endpoint.startswith("http://"):
                options["AWS_ALLOW_HTTP"] = "true"
        return options


def bucket_of(name: str, settings: S3Settings) -> S3Bucket:
    """Find a bucket, once a process.

    Raises
    ------
    LakeError
        If it does not answer, is not there, may not be used, is another account's, or is in
        another region than the one that is set.
    """
    # Sessions of boto3 are not made by two threads at a time; clients are shared.
    with _make:
        return _found(name, settings.bucket_owner)


@lru_cache
def _found(name: str, owner: str | None) -> S3Bucket:
    uri, region = f"s3a://{name}", environment.aws_region()
    with one_line("open", uri, "its endpoint", owner):
        session = boto3.Session(region_name=region)
        client = _client(session, _ATTEMPTS)
        first = _client(session, _FIRST_ATTEMPTS)
    endpoint = client.meta.endpoint_url
    own = not endpoint.split("://")[1].split(":")[0].split("/")[0].endswith(_AWS)
    with one_line("open", uri, endpoint, owner):
        lies_in = _region(first, name, {"ExpectedBucketOwner": owner} if owner else {})
    if (region := session.region_name) and lies_in and lies_in != region:
        raise LakeError(
            f"bucket {name} is in region {lies_in}, but {region} is set: set AWS_REGION={lies_in}"
        )
    return S3Bucket(name, client, lies_in or region or "us-east-1", endpoint if own else None)


def _client(session: boto3.Session, attempts: int) -> Any:
    return session.client(
        "s3",
        config=Config(
            retries={"mode": "standard", "max_attempts": attempts},
            connect_timeout=_CONNECT_S,
            read_timeout=_READ_S,
            max_pool_connections=_CONNECTIONS,
        ),
    )


def _region(client: Any, name: str, extra: dict[str, Any]) -> str:
    try:
        region: str = client.head_bucket(Bucket=name, **extra).get("BucketRegion", "")
    except ClientError as error:
        if code_of(error) == "404":
            error.response["Error"] = {"Code": "NoSuchBucket"}
        elif code_of(error) in {"400", "403"}:
            # An answer to HEAD has no text: what is wrong is asked for in a way that has one.
            client.list_objects_v2(Bucket=name, MaxKeys=1, **extra)
        raise
    return region
