"""A proxy before an S3 server: a part of the requests fails, or waits, as S3 now and then does.

Run as a process. What becomes of the n-th request is drawn from the seed: refused with 500 or 503
before the server has it; done, but answered with 500; done, but the line cut before the answer; or
done late. ``GET /-/faults`` tells how often each happened.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

KINDS = ("refused 500", "refused 503", "done but 500", "done but cut", "slow")
_HOP = {"connection", "transfer-encoding", "keep-alive"}
_XML = "<?xml version='1.0'?><Error><Code>{code}</Code><Message>made by a test</Message></Error>"


class Faults:
    """Draws what becomes of each request."""

    def __init__(self, seed: int, rate: float) -> None:
        self._random = random.Random(seed)
        self._rate = rate
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()

    def draw(self) -> str:
        with self._lock:
            hit = self._random.random() < self._rate
            kind = self._random.choice(KINDS) if hit else "passed"
            self.counts[kind] += 1
            return kind


class Proxy(BaseHTTPRequestHandler):
    """Hands requests on."""

    protocol_version = "HTTP/1.1"
    faults: Faults
    upstream: str
    slow_s: float

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/-/faults":
            self._answer(200, {}, json.dumps(self.faults.counts).encode())
            return
        kind = self.faults.draw()
        if kind == "refused 500":
            self._error(500, "InternalError")
            return
        if kind == "refused 503":
            self._error(503, "SlowDown")
            return
        if kind == "slow":
            time.sleep(self.slow_s)
        status, headers, data = self._ask(body)
        if kind == "done but 500":
            self._error(500, "InternalError")
        elif kind == "done but cut":
            self.close_connection = True
            self.connection.close()
        else:
            self._answer(status, headers, data)

    def _ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.upstream, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in {"expect", *_HOP}}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        found = {k: v for k, v in answer.getheaders() if k.lower() not in _HOP}
        connection.close()
        return answer.status, found, data

    def _error(self, status: int, code: str) -> None:
        text = b"" if self.command == "HEAD" else _XML.format(code=code).encode()
        self._answer(status, {"Content-Type": "application/xml"}, text)

    def _answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.send_response_only(status)
        if self.command != "HEAD":
            headers = {k: v for k, v in headers.items() if k.lower() != "content-length"}
            headers["Content-Length"] = str(len(data))
        elif "Content-Length" not in headers and "content-length" not in headers:
            headers["Content-Length"] = "0"
        for name, value in headers.items():
            self.send_header(name, value)
        if "date" not in {name.lower() for name in headers}:
            self.send_header("Date", self.date_time_string())
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--slow-s", type=float, default=2.0)
    options = parser.parse_args()
    Proxy.faults = Faults(options.seed, options.rate)
    Proxy.upstream = urlsplit(options.upstream).netloc
    Proxy.slow_s = options.slow_s
    server = ThreadingHTTPServer(("127.0.0.1", options.port), Proxy)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()
