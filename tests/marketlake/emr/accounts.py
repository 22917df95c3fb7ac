"""Accounts in which something stands already, and how it is looked for there."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from marketlake.emr import finders
from marketlake.emr.aws import Aws
from tests.s3_servers import REGION, S3Server

OURS = {"project": "marketlake", "environment": "dev"}


def account(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Aws:
    """Give the account of a server, as the commands reach it."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return Aws(REGION, server.url)


def find(aws: Aws, kind: str, **values: Any) -> str | None:
    """Look for what a plan would make."""
    return finders.find(aws, kind, values)


def listed(tags: Mapping[str, str], key: str = "Key") -> list[dict[str, str]]:
    """Tags as services take them; KMS calls a key otherwise."""
    return [{key: name, key.replace("Key", "Value"): value} for name, value in tags.items()]


def new_cluster(aws: Aws, **more: Any) -> str:
    """Start a cluster of one node."""
    return aws.emr.run_job_flow(
        Name=f"cluster-{uuid.uuid4().hex[:8]}",
        ReleaseLabel="emr-7.0.0",
        Instances={
            "InstanceCount": 1,
            "MasterInstanceType": "m5.large",
            "KeepJobFlowAliveWhenNoSteps": True,
        },
        JobFlowRole="node",
        ServiceRole="service",
        **more,
    )["JobFlowId"]


@contextmanager
def answering(answers: Mapping[str, Any]) -> Iterator[str]:
    """Run a server that answers each action, or path, with what is given for it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
            action = self.headers["X-Amz-Target"].partition(".")[2]
            answer = answers[action]
            self._say(answer(body) if callable(answer) else answer)

        def do_GET(self) -> None:
            self._say(answers[self.path.partition("?")[0]])

        def _say(self, answer: Any) -> None:
            said = json.dumps(answer).encode()
            self.send_response(400 if "__type" in answer else 200)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_arguments: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
