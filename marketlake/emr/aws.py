"""AWS as the operator's commands reach it, real or emulated, and its failures as one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    WaiterError,
)
from botocore.exceptions import ConnectionError as NetworkError

from marketlake.emr.errors import EmrError
from marketlake.settings import environment

_ATTEMPTS: Final = 8
"""Tries of a request that is throttled or fails; pauses double, up to 20 s."""
_OWN: Final = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")
_NO_CREDENTIALS: Final = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    ProfileNotFound,
)
_BAD_CREDENTIALS: Final = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
        "InvalidAccessKeyId",
        "AuthFailure",
    }
)
_DENIED: Final = frozenset(
    {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "Forbidden", "403"}
)
_THROTTLED: Final = frozenset(
    {"Throttling", "ThrottlingException", "RequestLimitExceeded", "SlowDown", "TooManyRequests"}
)


def emulate(endpoint_url: str, region: str | None) -> None:
    """Send all of this process to an emulator, libraries and children included.

    The credentials are made up: real ones never go to an emulator.
    """
    chosen = region or environment.aws_region() or "us-east-1"
    environment.set_for_all(
        {
            "AWS_ENDPOINT_URL": endpoint_url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_SESSION_TOKEN": "",
            "AWS_REGION": chosen,
            "AWS_DEFAULT_REGION": chosen,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    )


@dataclass(frozen=True)
class Aws:
    """Clients of one account and region.

    Attributes
    ----------
    endpoint_url : str or None
        Of an emulator; None for AWS itself.
    """

    region: str
    endpoint_url: str | None = None

    def client(self, service: str) -> Any:
        """Give the client of a service: making one takes a part of a second."""
        if service not in self._clients:
            self._clients[service] = self._new_client(service)
        return self._clients[service]

    @cached_property
    def _clients(self) -> dict[str, Any]:
        return {}

    def _new_client(self, service: str) -> Any:
        with told(f"reach {service}"):
            return boto3.Session(region_name=self.region).client(
                service,  # type: ignore[call-overload]
                endpoint_url=self.endpoint_url,
                config=Config(
                    retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
                    connect_timeout=5,
                    read_timeout=60,
                ),
            )

    @cached_property
    def emr(self) -> Any:
        """Client of EMR."""
        return self.client("emr")

    @cached_property
    def s3(self) -> Any:
        """Client of S3."""
        return self.client("s3")

    @cached_property
    def identity(self) -> tuple[str, str]:
        """Account and ARN of who calls.

        Raises
        ------
        EmrError
            Without good credentials; or where the environment sends AWS's tools to some other
            place although no emulator was asked for.
        """
        client = self.client("sts")
        place = client.meta.endpoint_url
        if self.endpoint_url is None and not place.split("://")[1].split(":")[0].endswith(_OWN):
            raise EmrError(
                f"AWS_ENDPOINT_URL sends this to {place}, which is not AWS: say "
                "--endpoint-url for an emulator, or unset the variable"
            )
        with told("ask who is calling"):
            answer = client.get_caller_identity()
        return str(answer["Account"]), str(answer["Arn"])


@contextmanager
def told(doing: str) -> Iterator[None]:
    """Turn what AWS refuses into one line.

    Parameters
    ----------
    doing : str
        What was tried, as it reads after "cannot".
    """
    try:
        yield
    except ClientError as error:
        raise EmrError(_answer(doing, error)) from error
    except _NO_CREDENTIALS as error:
        raise EmrError(
            f"cannot {doing}: no complete AWS credentials are found; give a profile (AWS_PROFILE), "
            "environment variables, or a role of this machine"
        ) from error
    except NoRegionError as error:
        raise EmrError(f"cannot {doing}: no region; say --region or set AWS_REGION") from error
    except NetworkError as error:
        place = error.kwargs.get("endpoint_url", "its endpoint")
        raise EmrError(
            f"cannot {doing}: nothing answers at {place}; check region and network"
        ) from error
    except (BotoCoreError, WaiterError) as error:
        raise EmrError(f"cannot {doing}: {_one_line(error)}") from error


def code_of(error: BaseException | None) -> str:
    """Give AWS's code of a failure; empty where AWS did not answer."""
    if isinstance(error, EmrError):
        error = error.__cause__
    if not isinstance(error, ClientError):
        return ""
    return str(error.response.get("Error", {}).get("Code", ""))


def _answer(doing: str, error: ClientError) -> str:
    code, said = code_of(error), _one_line(error.response.get("Error", {}).get("Message", ""))
    action = error.operation_name
    if code in _DENIED:
        return f"cannot {doing}: no right to {action}; grant it to the identity in use ({said})"
    if code in _BAD_CREDENTIALS:
        return f"cannot {doing}: AWS refuses the credentials ({code}); renew them"
    if code in _THROTTLED:
        return (
            f"cannot {doing}: AWS kept throttling {action}; run the same command again in a "
            "minute, it goes on from where it was"
        )
    return f"cannot {doing}: {action} answers {code}: {said}"


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
