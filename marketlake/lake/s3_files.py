"""Files of a lake on S3: objects are there whole or not at all, and new where they must be new."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from marketlake.lake.errors import LakeError
from marketlake.lake.files import StoredFile
from marketlake.settings.model import S3Settings

if TYPE_CHECKING:
    from marketlake.lake.s3_bucket import S3Bucket

_READS: Final = 5
"""Tries to read an object whose answer breaks off."""
_WRITES_AT_ONCE: Final = 8
_DELETED_AT_ONCE: Final = 1_000
"""Objects a request to remove them may name."""


class ObjectExistsError(LakeError):
    """An object was written by another since it was looked at."""


@dataclass(frozen=True)
class Object:
    """An object as it was read.

    Attributes
    ----------
    etag : str
        Names this version of the object.
    age_s : float
        How long ago it was written, in seconds, all by the clock of S3.
    """

    data: bytes
    etag: str
    age_s: float


@dataclass(frozen=True)
class S3Files:
    """Objects below a prefix; see :class:`marketlake.lake.storage.Storage` for what each does."""

    bucket_name: str
    prefix: str
    settings: S3Settings

    @property
    def bucket(self) -> S3Bucket:
        """The bucket, found when it is first asked for."""
        # The AWS client takes some tenths of a second to import: a local lake does without.
        from marketlake.lake.s3_bucket import bucket_of

        return bucket_of(self.bucket_name, self.settings)

    @property
    def delta_options(self) -> dict[str, str]:
        """What delta-rs has to be told, encryption included."""
        given = self.settings
        options = dict(self.bucket.delta_options)
        if given.encryption is not None:
            options["aws_server_side_encryption"] = given.encryption
        if given.kms_key_id is not None:
            options["aws_sse_kms_key_id"] = given.kms_key_id
        if given.bucket_key:
            options["aws_sse_bucket_key_enabled"] = "true"
        return options

    def path(self, relative: str) -> str:
        return f"s3a://{self.bucket_name}/{self._key(relative)}"

    def _key(self, relative: str) -> str:
        return f"{self.prefix}/{relative}" if self.prefix else relative

    def _place(self, relative: str) -> dict[str, Any]:
        return {**self._bucket_place(), "Key": self._key(relative)}

    def _bucket_place(self) -> dict[str, Any]:
        owner = self.settings.bucket_owner
        return {"Bucket": self.bucket_name, **({"ExpectedBucketOwner": owner} if owner else {})}

    def _client(self, what: str, relative: str) -> tuple[Any, AbstractContextManager[None]]:
        from marketlake.lake.s3_errors import one_line

        bucket = self.bucket
        endpoint = bucket.client.meta.endpoint_url
        uri = self.path(relative)
        return bucket.client, one_line(what, uri, endpoint, self.settings.bucket_owner)

    def write(self, relative: str, data: bytes | memoryview) -> None:
        self._put(relative, bytes(data))

    def write_all(self, files: Iterable[tuple[str, bytes | memoryview]]) -> None:
        # A request waits for S3 some ten times as long as it computes.
        with ThreadPoolExecutor(_WRITES_AT_ONCE, thread_name_prefix="write") as threads:
            for done in [threads.submit(self.write, *file) for file in files]:
                done.result()

    def write_new(self, relative: str, data: bytes) -> None:
        try:
            self.put_if(relative, data, None)
        except ObjectExistsError as error:
            raise LakeError(
                f"{self.path(relative)} exists already: another writer works on this lake; "
                "stop one of them"
            ) from error

    def put_if(self, relative: str, data: bytes, etag: str | None) -> str:
        """Write an object that is as it was seen: of a version, or absent where that is None.

        Returns
        -------
        str
            The version that was written.

        Raises
        ------
        ObjectExistsError
            If it is not as it was seen.
        """
        from botocore.exceptions import ClientError

        from marketlake.lake.s3_errors import code_of

        condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        while True:
            try:
                return self._put(relative, data, **condition)
            except LakeError as error:
                cause = error.__cause__
                code = code_of(cause) if isinstance(cause, ClientError) else ""
                if code == "ConditionalRequestConflict":
                    # Two came at one moment, and S3 took neither for certain: ask again.
                    continue
                if code not in {"PreconditionFailed", "412", "NoSuchKey"}:
                    raise
                # The answer to a first try may have been lost, and the client have tried again.
                found = self.get(relative)
                if found is not None and found.data == data:
                    return found.etag
                raise ObjectExistsError(f"{self.path(relative)} was written by another") from error

    def _put(self, relative: str, data: bytes, **condition: str) -> str:
        client, one_line = self._client("write", relative)
        with one_line:
            answer = client.put_object(
                **self._place(relative), Body=data, **self._encryption(), **condition
            )
        return answer["ETag"]

    def _encryption(self) -> dict[str, Any]:
        given = self.settings
        sent: dict[str, Any] = {}
        if given.encryption is not None:
            sent["ServerSideEncryption"] = given.encryption
        if given.kms_key_id is not None:
            sent["SSEKMSKeyId"] = given.kms_key_id
        if given.bucket_key:
            sent["BucketKeyEnabled"] = True
        return sent

    def get(self, relative: str) -> Object | None:
        """Read an object with its version and age; None where there is none."""
        from botocore.exceptions import ClientError

        from marketlake.lake.s3_errors import code_of

        client, one_line = self._client("read", relative)
        with one_line:
            try:
                return self._whole(client, relative)
            except ClientError as error:
                if code_of(error) == "NoSuchKey":
                    return None
                raise

    def read(self, relative: str) -> bytes:
        client, one_line = self._client("read", relative)
        with one_line:
            return self._whole(client, relative).data

    def _whole(self, client: Any, relative: str) -> Object:
        """Read an object; the client tries requests again, but not answers that break off."""
        from botocore.exceptions import HTTPClientError, IncompleteReadError

        for left in reversed(range(_READS)):
            answer = client.get_object(**self._place(relative))
            try:
                return Object(answer["Body"].read(), answer["ETag"], _age_s(answer))
            except (HTTPClientError, IncompleteReadError):
                if not left:
                    raise
        raise AssertionError("unreachable")

    def exists(self, relative: str) -> bool:
        return self.size(relative) >= 0 or any(True for _ in self._listed(relative, 1))

    def size(self, relative: str) -> int:
        from botocore.exceptions import ClientError

        from marketlake.lake.s3_errors import code_of

        client, one_line = self._client("read", relative)
        with one_line:
            try:
                return client.head_object(**self._place(relative))["ContentLength"]
            except ClientError as error:
                if code_of(error) in {"404", "NoSuchKey"}:
                    return -1
                raise

    def folders(self, relative: str) -> list[str]:
        pages = self._pages(relative)
        keys = (item["Prefix"] for page in pages for item in page.get("CommonPrefixes", ()))
        return sorted(name for key in keys if _shown(name := key.rstrip("/").rpartition("/")[2]))

    def list(self, relative: str) -> list[str]:
        keys = (item["Key"] for page in self._pages(relative) for item in page.get("Contents", ()))
        return sorted(name for key in keys if _shown(name := key.rpartition("/")[2]))

    def _pages(self, relative: str) -> Iterator[Any]:
        client, one_line = self._client("list", relative)
        with one_line:
            yield from client.get_paginator("list_objects_v2").paginate(
                **self._bucket_place(), Prefix=self._folder(relative), Delimiter="/"
            )

    def _folder(self, relative: str) -> str:
        key = self._key(relative).rstrip("/")
        return f"{key}/" if key else ""

    def walk(self, relative: str) -> Iterator[StoredFile]:
        skipped = len(self._folder(""))
        for item in self._listed(relative):
            yield StoredFile(item["Key"][skipped:], item["Size"], item["LastModified"].timestamp())

    def _listed(self, relative: str, at_most: int | None = None) -> Iterator[Any]:
        client, one_line = self._client("list", relative)
        limit = {} if at_most is None else {"MaxItems": at_most, "PageSize": at_most}
        with one_line:
            for page in client.get_paginator("list_objects_v2").paginate(
                **self._bucket_place(), Prefix=self._folder(relative), PaginationConfig=limit
            ):
                yield from page.get("Contents", ())

    def delete(self, paths: Iterable[str]) -> None:
        keys = [self._key(relative) for relative in paths]
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            part = keys[start : start + _DELETED_AT_ONCE]
            client, one_line = self._client("remove", part[0])
            with one_line:
                answer = client.delete_objects(
                    **self._bucket_place(),
                    Delete={"Objects": [{"Key": key} for key in part], "Quiet": True},
                )
            for error in answer.get("Errors", ()):
                raise LakeError(
                    f"cannot remove s3a://{self.bucket_name}/{error['Key']}: S3 answers "
                    f"{error['Code']}; see that this identity has s3:DeleteObject"
                )

    def delete_all(self, relative: str) -> None:
        self.delete([file.path for file in self.walk(relative)])


def _shown(name: str) -> bool:
    return bool(name) and not name.startswith(".")


def _age_s(answer: Any) -> float:
    """Age by the clock of S3 alone: its time of the answer less that of the object."""
    from email.utils import parsedate_to_datetime

    now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    return (now - answer["LastModified"]).total_seconds()
