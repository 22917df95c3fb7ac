"""An account to find things in."""

from __future__ import annotations

import pytest

from marketlake.emr.aws import Aws
from tests.marketlake.emr.accounts import account
from tests.s3_servers import S3Server


@pytest.fixture
def aws(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Aws:
    """The account of moto that the session has: use names of your own."""
    return account(s3_server, monkeypatch)
