"""A node to run bootstrap scripts on: a folder, real tools, and the few it cannot have."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "bootstrap"


@dataclass
class Node:
    """A folder that stands for a node.

    Attributes
    ----------
    home : Path
        ``MARKETLAKE_HOME`` of the scripts.
    variables : dict
        Further variables of their environment.
    """

    folder: Path
    home: Path
    variables: dict[str, str] = field(default_factory=dict)
    limit: str = ""

    def provide(self, name: str, body: str) -> Path:
        """Put a program on the path, for one that this machine cannot have."""
        program = self.folder / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/bash\n{body}\n")
        program.chmod(0o755)
        return program

    def run(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = f'{self.limit} exec bash "$0" "$@"'
        environment = {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "MARKETLAKE_HOME": str(self.home),
            "TMPDIR": str(self.folder),
            **self.variables,
        }
        return subprocess.run(
            ["bash", "-c", command, str(SCRIPTS / script), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def succeeds(self, script: str, *arguments: str) -> str:
        done = self.run(script, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def fails(self, script: str, *arguments: str) -> str:
        """Run a script that must fail with one clear line, and give it."""
        done = self.run(script, *arguments)
        assert done.returncode == 1, done.stderr
        assert done.stdout == ""
        lines = done.stderr.splitlines()
        errors = [line for line in lines if ": install " not in line]
        assert len(errors) == 1, done.stderr
        assert errors[0].startswith(f"{script.removesuffix('.sh')}: ")
        return errors[0]

    def tree(self) -> dict[str, tuple[int, int]]:
        """Give all files in the home, with inode and time of change: what a second run leaves."""
        return {
            str(path.relative_to(self.home)): (path.lstat().st_ino, path.lstat().st_mtime_ns)
            for path in self.home.rglob("*")
            if path.name != ".lock" and (path.is_symlink() or not path.is_dir())
        }


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def web(folder: Path) -> Iterator[str]:
    """Serve a folder over HTTP."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def closed_port() -> int:
    """Give a port where nothing answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
