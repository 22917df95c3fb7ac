"""What a cluster runs, brought to the artifacts bucket under the digest of its bytes.

An object's name says what it holds, so it is uploaded once, never changed, and a former release is
still there to go back to.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ClientError

from marketlake.emr.aws import Aws, code_of, told
from marketlake.emr.errors import EmrError

_CHUNK: Final = 1 << 20


@dataclass(frozen=True)
class Store:
    """The artifacts bucket.

    Attributes
    ----------
    account : str
        That owns it.
    """

    aws: Aws
    bucket: str
    account: str
    say: Callable[[str], None]

    def uri(self, key: str) -> str:
        """Address of an object."""
        return f"s3://{self.bucket}/{key}"

    def upload(self, file: Path, key: str) -> str:
        """Bring a file there, where it is not there yet.

        Returns
        -------
        str
            Its address.

        Raises
        ------
        EmrError
            If it cannot be written, or what stands there is not this file.
        """
        size = file.stat().st_size
        there = self._size(key)
        if there is None:
            digest = base64.b64encode(bytes.fromhex(sha256_of(file))).decode()
            with told(f"upload {file.name} to {self.uri(key)}"):
                if size < _CHUNK:
                    # S3 refuses what does not have the digest that it is told.
                    self.aws.s3.put_object(
                        **self._place(key), Body=file.read_bytes(), ChecksumSHA256=digest
                    )
                else:
                    self.aws.s3.upload_file(
                        str(file),
                        self.bucket,
                        key,
                        ExtraArgs={
                            "ExpectedBucketOwner": self.account,
                            "ChecksumAlgorithm": "SHA256",
                        },
                    )
            self.say(f"uploaded {self.uri(key)} ({size / 1e6:.1f} MB)")
        elif there != size:
            raise EmrError(
                f"{self.uri(key)} has {there} bytes, {file} has {size}: its name says that they "
                "are the same; remove the object and run this again"
            )
        return self.uri(key)

    def _size(self, key: str) -> int | None:
        with told(f"look at {self.uri(key)}"):
            try:
                return int(self.aws.s3.head_object(**self._place(key))["ContentLength"])
            except ClientError as error:
                if code_of(error) in {"404", "NoSuchKey"}:
                    return None
                raise

    def _place(self, key: str) -> dict[str, Any]:
        return {"Bucket": self.bucket, "Key": key, "ExpectedBucketOwner": self.account}


def sha256_of(*files: Path) -> str:
    """Digest of a file; of several, of their names and bytes in the order of their names."""
    digest = hashlib.sha256()
    for file in sorted(files):
        if len(files) > 1:
            digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as data:
            while chunk := data.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()
