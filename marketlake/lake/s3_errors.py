"""What S3 and its client refuse, as one line with the mend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - the library's name
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
)

from marketlake.lake.errors import LakeError, LakeNotFoundError

_NO_CREDENTIALS: Final = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    ProfileNotFound,
    SSOError,
)
_BAD_CREDENTIALS: Final = (
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidToken",
    "InvalidClientTokenId",
    "ExpiredToken",
    "TokenRefreshRequired",
    "AuthFailure",
    "UnrecognizedClientException",
)
_DENIED: Final = ("AccessDenied", "AllAccessDisabled", "Forbidden", "403")
_OTHER_REGION: Final = (
    "PermanentRedirect",
    "TemporaryRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "301",
)
_BUSY: Final = ("InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout", "500", "503")
_RIGHTS: Final = "s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject"


def code_of(error: ClientError) -> str:
    """Code of an answer, as S3 names it; the HTTP status where there is no body."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def one_line(what: str, uri: str, endpoint: str, owner: str | None) -> Iterator[None]:
    """Turn whatever S3 or its client refuses into a :class:`LakeError`.

    Parameters
    ----------
    what : str
        What was tried: ``write``.
    uri : str
        On what.
    endpoint : str
        URL of the server.
    owner : str or None
        Account that is to own the bucket.
    """
    try:
        yield
    except ClientError as error:
        raise _refused(error, what, uri, endpoint, owner) from error
    except _NO_CREDENTIALS as error:
        raise LakeError(
            f"no AWS credentials for {uri} ({_text(error)}): set AWS_PROFILE, or "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role gives them"
        ) from error
    except (ConnectionError, HTTPClientError) as error:
        raise LakeError(
            f"S3 at {endpoint} does not answer ({_text(error)}): check the network and "
            "AWS_ENDPOINT_URL; start again when it answers: nothing was lost"
        ) from error
    except (BotoCoreError, ValueError) as error:
        raise LakeError(f"cannot {what} {uri}: {_text(error)}") from error


def _refused(
    error: ClientError, what: str, uri: str, endpoint: str, owner: str | None
) -> LakeError:
    code, bucket = code_of(error), uri.split("/")[2]
    if code == "NoSuchBucket":
        return LakeNotFoundError(
            f"bucket {bucket} does not exist at {endpoint}: make it, or mend the URI {uri}"
        )
    if code in _BAD_CREDENTIALS:
        return LakeError(
            f"the AWS credentials for {uri} are refused ({code}): renew them (AWS_PROFILE, or "
            "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN)"
        )
    if code in _OTHER_REGION:
        region = _region_told(error)
        named = f"AWS_REGION={region}" if region else "AWS_REGION to the bucket's region"
        return LakeError(f"bucket {bucket} is in another region ({code}): set {named}")
    if code in _DENIED:
        whose = f", and that account {owner} owns the bucket (s3.bucket_owner)" if owner else ""
        return LakeError(
            f"no permission to {what} {uri}: see that this identity has {_RIGHTS} on bucket "
            f"{bucket}{whose}"
        )
    return LakeError(f"cannot {what} {uri}: {_reason(error, code, endpoint)}")


def _reason(error: ClientError, code: str, endpoint: str) -> str:
    if code in {"NoSuchKey", "404"}:
        return "no such object"
    if code == "RequestTimeTooSkewed":
        return "the clock of this machine is wrong; set it"
    if code in _BUSY:
        return (
            f"S3 at {endpoint} keeps answering {code}; start again when it has recovered: "
            "nothing was lost"
        )
    if code.startswith("KMS."):
        return (
            f"the key cannot be used ({code}); check s3.kms_key_id, and that the key's policy "
            "lets this identity use it"
        )
    message = str(error.response.get("Error", {}).get("Message", ""))
    return f"S3 answers {code}: {' '.join(message.split())}"


def _region_told(error: ClientError) -> str | None:
    answer: dict[str, Any] = dict(error.response)
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    region: str | None = answer.get("Error", {}).get("Region") or headers.get("x-amz-bucket-region")
    return region


def _text(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
