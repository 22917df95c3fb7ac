"""Where Terraform's state lives: a bucket of its own, followed while Terraform writes.

Terraform keeps the state in a file, which it writes after each resource, and we bring that file to
the bucket a few times a second. Its own S3 backend writes every 20 seconds at the soonest: what a
killed process made in between would be in AWS and in no state.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from marketlake.contracts.errors import MarketlakeError
from marketlake.emr.aws import Aws, code_of, told
from marketlake.emr.errors import EmrError
from marketlake.lake.s3_files import ObjectExistsError, S3Files

_FOLLOW_S: Final = 0.25
_OLD_VERSIONS_DAYS: Final = 90


def make_state_bucket(aws: Aws, name: str) -> bool:
    """See that the bucket is there, private, versioned and encrypted.

    Returns
    -------
    bool
        True where it was made now.
    """
    account = aws.identity[0]
    made = False
    try:
        with told(f"look at bucket {name}"):
            aws.s3.head_bucket(Bucket=name, ExpectedBucketOwner=account)
    except EmrError as error:
        if code_of(error) not in {"404", "NoSuchBucket"}:
            raise
        with told(f"make bucket {name}"):
            place = {"CreateBucketConfiguration": {"LocationConstraint": aws.region}}
            aws.s3.create_bucket(Bucket=name, **({} if aws.region == "us-east-1" else place))
        made = True
    _secure(aws, name, account)
    return made


def _secure(aws: Aws, name: str, account: str) -> None:
    owned: dict[str, Any] = {"Bucket": name, "ExpectedBucketOwner": account}
    # Each says what is to be, so that a run that was cut off is mended by the next.
    with told(f"secure bucket {name}"):
        aws.s3.put_public_access_block(
            **owned,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True,
                "IgnorePublicAcls": True,
                "BlockPublicPolicy": True,
                "RestrictPublicBuckets": True,
            },
        )
        aws.s3.put_bucket_versioning(**owned, VersioningConfiguration={"Status": "Enabled"})
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        aws.s3.put_bucket_encryption(**owned, ServerSideEncryptionConfiguration={"Rules": [rule]})
        old = {"NoncurrentDays": _OLD_VERSIONS_DAYS}
        aws.s3.put_bucket_lifecycle_configuration(
            **owned,
            LifecycleConfiguration={
                "Rules": [
                    {
                        "ID": "old-versions",
                        "Status": "Enabled",
                        "Filter": {},
                        "NoncurrentVersionExpiration": old,
                    }
                ]
            },
        )
        if aws.endpoint_url is None:
            # An emulator without TLS could not be reached any more.
            aws.s3.put_bucket_policy(**owned, Policy=json.dumps(_tls_only(name)))


def _tls_only(name: str) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "TlsOnly",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ],
    }


class StateFile:
    """The state of one root: a file here, an object there.

    Parameters
    ----------
    place : S3Files
        Folder of the deployment in the state bucket.
    name : str
        Of the object.
    """

    def __init__(self, place: S3Files, name: str, file: Path) -> None:
        self._place = place
        self._name = name
        self._file = file
        self._etag: str | None = None
        self._pushed = b""

    def pull(self) -> None:
        """Make the file what the bucket has; newer of the same line, it stays and is brought there.

        That is the case where a process was killed before it had brought all.
        """
        found = self._place.get(self._name)
        here = self._file.read_bytes() if self._file.exists() else b""
        if found is None:
            # A new deployment. A file of before is of one that is gone: its line ends here.
            self._etag, self._pushed = None, b""
            self._file.write_bytes(_empty())
            self.push()
            return
        self._etag, self._pushed = found.etag, found.data
        if _newer(here, found.data):
            self.push()
        else:
            self._file.write_bytes(found.data)

    def push(self) -> None:
        """Bring the file to the bucket, where it changed.

        Raises
        ------
        EmrError
            If the object there was written by another meanwhile.
        """
        if not self._file.exists():
            return
        data = self._file.read_bytes()
        if data == self._pushed or _serial(data) is None:
            # The same, or terraform is in the midst of writing.
            return
        try:
            self._etag = self._place.put_if(self._name, data, self._etag)
        except ObjectExistsError as error:
            raise EmrError(
                f"{self._place.path(self._name)} was changed by another while this ran: see who "
                "else deploys, and run this again"
            ) from error
        self._pushed = data

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Bring each change of the file to the bucket while the context lasts."""
        done = threading.Event()

        def follow() -> None:
            while not done.wait(_FOLLOW_S):
                # What stands in the way is told by the last push, in the main thread.
                with suppress(MarketlakeError, OSError):
                    self.push()

        thread = threading.Thread(target=follow, name=f"state {self._name}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            self.push()

    def owned(self) -> frozenset[tuple[str, str]]:
        """Give type and id of every resource that the file here holds.

        Raises
        ------
        EmrError
            If the file is no state: nothing can be told of what it owns.
        """
        if not self._file.exists():
            return frozenset()
        try:
            state = json.loads(self._file.read_bytes())
        except ValueError as error:
            raise EmrError(
                f"{self._file} is no state of Terraform ({error}); remove it, the bucket has one"
            ) from error
        return frozenset(
            (resource["type"], str(instance["attributes"].get("id")))
            for resource in state.get("resources", [])
            if resource["mode"] == "managed"
            for instance in resource["instances"]
        )

    def remove(self) -> None:
        """Remove the state, of a root of which nothing is left."""
        self._place.delete([self._name])
        self._file.unlink(missing_ok=True)


def _empty() -> bytes:
    state = {"version": 4, "terraform_version": "1.0.0", "serial": 0, "lineage": str(uuid4())}
    return json.dumps({**state, "outputs": {}, "resources": []}).encode()


def _serial(data: bytes) -> tuple[str, int] | None:
    try:
        state = json.loads(data)
        return str(state["lineage"]), int(state["serial"])
    except (ValueError, KeyError, TypeError):
        return None


def _newer(here: bytes, there: bytes) -> bool:
    mine, theirs = _serial(here), _serial(there)
    if mine is None or theirs is None or mine[0] != theirs[0]:
        return False
    return mine[1] > theirs[1]
