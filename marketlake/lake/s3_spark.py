"""What Spark has to be told of a lake on S3: for its checkpoint, and to read bronze again."""

from __future__ import annotations

from typing import Final

from marketlake.lake.s3_files import S3Files
from marketlake.lake.session import CHECKPOINTS
from marketlake.lake.storage import Storage

_ALGORITHMS: Final = {"AES256": "AES256", "aws:kms": "SSE-KMS", "aws:kms:dsse": "DSSE-KMS"}
_ABORTABLE: Final = "org.apache.spark.internal.io.cloud.AbortableStreamBasedCheckpointFileManager"
_CREDENTIALS: Final = "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider"


def encryption_options(storage: Storage) -> dict[str, str]:
    """Options of any session: how the checkpoint is encrypted; none where the bucket decides."""
    files = storage.files
    if not isinstance(files, S3Files) or files.settings.encryption is None:
        return {}
    options = {"encryption.algorithm": _ALGORITHMS[files.settings.encryption]}
    if files.settings.kms_key_id is not None:
        options["encryption.key"] = files.settings.kms_key_id
    return _of_bucket(files, options)


def connector_options(storage: Storage) -> dict[str, str]:
    """Options of a session with our own S3 connector; a cluster's is set up already.

    Raises
    ------
    LakeError
        If the bucket does not answer.
    """
    files = storage.files
    if not isinstance(files, S3Files):
        return {}
    bucket = files.bucket
    options = {"endpoint.region": bucket.region, "aws.credentials.provider": _CREDENTIALS}
    if bucket.endpoint is not None:
        options |= {
            "endpoint": bucket.endpoint,
            "path.style.access": "true",
            # Servers that are not AWS may lack what it needs, and it would retry for ever.
            "optimized.copy.from.local.enabled": "false",
        }
    # An object is written at once, under its own name, where the default writes and then copies.
    return {CHECKPOINTS: _ABORTABLE} | _of_bucket(files, options)


def _of_bucket(files: S3Files, options: dict[str, str]) -> dict[str, str]:
    # By bucket, so that files read from elsewhere keep their own.
    return {
        f"spark.hadoop.fs.s3a.bucket.{files.bucket_name}.{key}": value
        for key, value in options.items()
    }
