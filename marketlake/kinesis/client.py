"""Clients of Kinesis by the usual AWS credentials, and its failures as one line each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from random import uniform
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as NetworkError
from botocore.session import get_session

from marketlake.contracts.errors import MarketlakeError

AWS_ERRORS: Final = (BotoCoreError, ClientError)
"""All that a call to AWS raises."""

_CONNECT_TIMEOUT_S: Final = 5
_READ_TIMEOUT_S: Final = 30
_BACKOFF_S: Final = (0.1, 5.0)
_SESSION_NAME: Final = "marketlake"

_WAIT: Final = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "LimitExceededException",
        "KMSThrottlingException",
        "ThrottlingException",
        "Throttling",
        "RequestLimitExceeded",
        "InternalFailure",
        "InternalServerError",
        "ServiceUnavailable",
        "RequestTimeout",
        "SlowDown",
    }
)
_CREDENTIALS: Final = frozenset(
    {
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
    }
)
_RIGHTS: Final = frozenset({"AccessDenied", "AccessDeniedException", "KMSAccessDeniedException"})


class KinesisError(MarketlakeError):
    """Kinesis cannot be read or written as asked: one line with the stream, cause and mend."""


@dataclass(frozen=True)
class KinesisAccess:
    """How Kinesis is reached; holds no secret.

    Attributes
    ----------
    region : str
        AWS region, such as ``eu-west-1``.
    endpoint_url : str
        Where it is, if not at AWS. Empty: where the AWS tools would look, which includes
        ``AWS_ENDPOINT_URL_KINESIS`` and ``AWS_ENDPOINT_URL``.
    role_arn, external_id : str
        Role to assume, as for streams of another account; empty for none.
    """

    region: str
    endpoint_url: str = ""
    role_arn: str = ""
    external_id: str = ""

    def client(self) -> Any:
        """Give the client of this process; it may be used by several threads.

        Raises
        ------
        KinesisError
            If there are no credentials, or not all that were named.
        """
        try:
            return _client(self)
        except AWS_ERRORS as error:
            raise KinesisError(self.explain(error)) from error

    def settled(self) -> KinesisAccess:
        """Give the same with the endpoint that this process's environment names.

        Workers of Spark may have another environment than the driver.
        """
        url = self.client().meta.endpoint_url
        own = f"https://kinesis.{self.region}.amazonaws.com"
        return KinesisAccess(
            self.region, "" if url.startswith(own) else url, self.role_arn, self.external_id
        )

    def explain(self, error: Exception, stream: str = "") -> str:
        """Say in one line what a failure means and what mends it.

        Parameters
        ----------
        stream : str
            What the failed call was about.
        """
        where = f"Kinesis in {self.region}" + (f", stream {stream}" if stream else "")
        if isinstance(error, ClientError):
            return self._explain_answer(error, where, stream)
        if isinstance(error, PartialCredentialsError | NoCredentialsError):
            return (
                f"{where}: no complete AWS credentials are found; give them as to the AWS tools: "
                "a profile, environment variables, or the role of this machine"
            )
        if isinstance(error, CredentialRetrievalError | TokenRetrievalError | ProfileNotFound):
            return f"{where}: the AWS credentials cannot be had ({_one_line(error)})"
        if isinstance(error, NetworkError):
            place = error.kwargs.get("endpoint_url", "its endpoint")
            return (
                f"{where}: nothing answers at {place}; check the region, AWS_ENDPOINT_URL_KINESIS "
                "and the network"
            )
        if isinstance(error, NoRegionError):
            return f"{where}: the region is not known to AWS; correct it"
        return f"{where}: {_one_line(error)}"

    def _explain_answer(self, error: ClientError, where: str, stream: str) -> str:
        code, said = code_of(error), _one_line(error.response["Error"].get("Message", ""))
        if code in _RIGHTS:
            action = error.operation_name
            role = f"assume {self.role_arn}" if action == "AssumeRole" else f"kinesis:{action}"
            return f"{where}: no right to {role}; grant it to the identity in use ({said})"
        if code in _CREDENTIALS or _status(error) == 403:
            return (
                f"{where}: AWS refuses the credentials ({code}); renew them, or choose others: "
                "a profile, environment variables, or the role of this machine"
            )
        if code == "ResourceNotFoundException" and stream:
            return (
                f"{where}: does not exist there; correct region or prefix (kinesis:REGION/PREFIX), "
                "or create it"
            )
        return f"{where}: {code}: {said}"


class _Assumed:
    """Gives a session the credentials of a role, which renew themselves."""

    def __init__(self, credentials: DeferredRefreshableCredentials) -> None:
        self._credentials = credentials

    def load_credentials(self) -> DeferredRefreshableCredentials:
        return self._credentials


@cache
def _client(access: KinesisAccess) -> Any:
    session = get_session()
    if access.role_arn:
        source = session.get_credentials()
        if source is None:
            raise NoCredentialsError
        extra = {"RoleSessionName": _SESSION_NAME}
        if access.external_id:
            extra["ExternalId"] = access.external_id
        fetcher = AssumeRoleCredentialFetcher(
            client_creator=session.create_client,
            source_credentials=source,
            role_arn=access.role_arn,
            extra_args=extra,
        )
        session = get_session()
        credentials = DeferredRefreshableCredentials(
            method="assume-role", refresh_using=fetcher.fetch_credentials
        )
        session.register_component("credential_provider", _Assumed(credentials))
    config = Config(
        connect_timeout=_CONNECT_TIMEOUT_S,
        read_timeout=_READ_TIMEOUT_S,
        # Its own retries are for faults of a moment; ours have more patience, and count.
        retries={"mode": "standard", "total_max_attempts": 2},
        max_pool_connections=64,
        user_agent_extra=_SESSION_NAME,
    )
    return boto3.Session(botocore_session=session).client(
        "kinesis",
        region_name=access.region,
        endpoint_url=access.endpoint_url or None,
        config=config,
    )


def code_of(error: Exception) -> str:
    """Give AWS's code of a failure; empty where AWS did not answer."""
    if not isinstance(error, ClientError):
        return ""
    return str(error.response.get("Error", {}).get("Code", ""))


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def passes(error: Exception) -> bool:
    """Tell whether a failure is worth waiting for: throttling, a fault of AWS, or no answer."""
    if isinstance(error, ClientError):
        return code_of(error) in _WAIT or _status(error) >= 500
    return isinstance(error, NetworkError)


def backoff_s(failures: int) -> float:
    """Seconds to wait after so many failures in a row: at random, up to a limit that doubles."""
    least, most = _BACKOFF_S
    return uniform(least / 2, min(most, least * 2.0**failures))


def answered_at(answer: Any) -> datetime:
    """Server's time of an answer, to the second; this machine's where it says none."""
    text = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    try:
        return parsedate_to_datetime(text) if text else datetime.now(UTC)
    except ValueError:
        return datetime.now(UTC)


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
