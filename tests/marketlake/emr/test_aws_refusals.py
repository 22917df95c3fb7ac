"""What AWS refuses is one line with the mend, and what passes is tried again."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from marketlake.emr import aws as module
from marketlake.emr.aws import Aws
from marketlake.emr.cluster import describe
from marketlake.emr.errors import EmrError
from marketlake.emr.steps import submit
from tests.s3_servers import moto

REGION = "us-east-1"


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)


@contextmanager
def throttling(times: int) -> Iterator[tuple[str, list[str]]]:
    """Run a server that throttles so many calls, then describes a cluster; give who called."""
    calls: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            calls.append(self.headers["X-Amz-Target"].rpartition(".")[2])
            status, body = 200, {"Cluster": {"Id": "j-1", "Status": {"State": "WAITING"}}}
            if len(calls) <= times:
                status, body = 400, {"__type": "ThrottlingException", "message": "Rate exceeded"}
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", calls
    finally:
        server.shutdown()
        server.server_close()


def test_a_call_that_is_throttled_is_made_again():
    with throttling(2) as (url, calls):
        assert describe(Aws(REGION, url), "j-1").state == "WAITING"
    assert calls == ["DescribeCluster"] * 3


def test_throttling_that_does_not_end_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_ATTEMPTS", 2)
    with throttling(99) as (url, calls), pytest.raises(EmrError) as told:
        describe(Aws(REGION, url), "j-1")
    assert len(calls) == 2
    assert str(told.value) == (
        "cannot describe cluster j-1: AWS kept throttling DescribeCluster; run the same command "
        "again in a minute, it goes on from where it was"
    )


def test_what_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_ATTEMPTS", 1)
    with pytest.raises(EmrError, match=r"nothing answers at http://127.0.0.1:9"):
        describe(Aws(REGION, "http://127.0.0.1:9"), "j-1")


def test_no_credentials(monkeypatch: pytest.MonkeyPatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(EmrError, match="no complete AWS credentials are found"):
        describe(Aws(REGION, "http://127.0.0.1:9"), "j-1")


def test_rights_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch):
    with moto() as server:
        iam = server.client("iam")
        iam.create_user(UserName="ann")
        key = iam.create_access_key(UserName="ann")["AccessKey"]
        require_rights(server.url)
        with pytest.raises(EmrError, match=r"AWS refuses the credentials \(\w+\); renew them"):
            active(Aws(REGION, server.url))
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        with pytest.raises(EmrError) as told:
            submit(Aws(REGION, server.url), "j-1", "x", ["true"])
    # The rest is what AWS says; moto says it in the form of another service.
    assert str(told.value).startswith(
        "cannot give cluster j-1 the step 'x': no right to AddJobFlowSteps; grant it to the "
        "identity in use ("
    )


def active(aws: Aws) -> None:
    with module.told("list roles"):
        aws.client("iam").list_roles()


def require_rights(url: str) -> None:
    request = urllib.request.Request(
        f"{url}/moto-api/reset-auth",
        data=b"0",
        headers={"Content-Type": "text/plain"},
        method="POST",
    )
    urllib.request.urlopen(request, timeout=10).close()
