"""A proxy before a Kinesis server that does to its callers what AWS may do.

Requests fail before they arrive, or arrive and are not answered; PutRecords takes some records and
refuses others; GetRecords throttles and its iterators expire. Which, a seed decides.
"""

from __future__ import annotations

import json
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any, Self
from urllib.error import HTTPError

Body = dict[str, Any]


@dataclass
class Faults:
    """How often what happens, 0 to 1 each."""

    seed: int = 1
    refused_record: float = 0.0
    """A record of PutRecords is not taken."""
    throttled: float = 0.0
    """A call is refused: too many of them."""
    broken: float = 0.0
    """A call is answered with status 500, unheard."""
    unanswered: float = 0.0
    """A call is heard, but answered with status 500."""
    expired_iterator: float = 0.0
    """GetRecords says that its iterator is too old."""
    count: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random, self._lock = Random(self.seed), threading.Lock()

    def happens(self, name: str) -> bool:
        """Draw, and count what was drawn."""
        with self._lock:
            drawn = self._random.random() < getattr(self, name)
            self.count[name] += drawn
            return drawn


class FaultyKinesis:
    """The proxy; a context manager."""

    def __init__(self, upstream: str, faults: Faults) -> None:
        self._upstream, self.faults = upstream, faults
        self.before: Callable[[str, Body], None] = lambda _action, _body: None
        """Sees the body of each request, and may change it."""

    def __enter__(self) -> Self:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, headers, answer = proxy.answer(dict(self.headers), raw)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, headers: dict[str, str], raw: bytes) -> tuple[int, dict[str, str], bytes]:
        action = headers.get("X-Amz-Target", "").rpartition(".")[2]
        if not action.startswith(("Get", "Put")):
            return self._forward(headers, raw)
        body = json.loads(raw)
        self.before(action, body)
        raw = json.dumps(body).encode()
        if self.faults.happens("broken"):
            return _error(500, "InternalFailure")
        if self.faults.happens("throttled"):
            return _error(400, "ProvisionedThroughputExceededException")
        if action == "GetRecords" and self.faults.happens("expired_iterator"):
            return _error(400, "ExpiredIteratorException")
        if action == "PutRecords" and self.faults.refused_record:
            answered = self._put(headers, body)
        else:
            answered = self._forward(headers, raw)
        return _error(500, "InternalFailure") if self.faults.happens("unanswered") else answered

    def _put(self, headers: dict[str, str], body: Body) -> tuple[int, dict[str, str], bytes]:
        refused = [self.faults.happens("refused_record") for _ in body["Records"]]
        taken = [r for r, no in zip(body["Records"], refused, strict=True) if not no]
        results: list[Body] = []
        if taken:
            request = json.dumps(body | {"Records": taken}).encode()
            status, _, answer = self._forward(headers, request)
            if status != 200:
                return status, {}, answer
            results = json.loads(answer)["Records"]
        rest = iter(results)
        failure = {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slow"}
        records = [failure if no else next(rest) for no in refused]
        answer = json.dumps({"FailedRecordCount": sum(refused), "Records": records}).encode()
        return 200, {"Content-Type": "application/x-amz-json-1.1"}, answer

    def _forward(self, headers: dict[str, str], raw: bytes) -> tuple[int, dict[str, str], bytes]:
        kept = {
            n: v
            for n, v in headers.items()
            if n.lower() not in {"host", "content-length", "expect"}
        }
        request = urllib.request.Request(self._upstream, raw, kept)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, _kept(answer.headers), answer.read()
        except HTTPError as error:
            return error.code, _kept(error.headers), error.read()


def _kept(headers: Any) -> dict[str, str]:
    wanted = {"content-type", "x-amzn-requestid", "x-amzn-errortype"}
    return {name: value for name, value in headers.items() if name.lower() in wanted}


def _error(status: int, code: str) -> tuple[int, dict[str, str], bytes]:
    answer = json.dumps({"__type": code, "message": "planted"}).encode()
    return status, {"Content-Type": "application/x-amz-json-1.1"}, answer
