"""Commands and other programs as processes of their own, with what they say and how they end.

They are forks of one process that has imported everything, as imports take five seconds of the
processor each time. Whatever is done to them is done to real processes, and each leads a group of
its own: its JVM and Python workers are in it.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

MARKETLAKE: Final = "spark_jobs.cli:main"

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.preloaded"])


class Process:
    """A running program.

    Parameters
    ----------
    program : str
        ``module:function``, which takes its arguments from ``sys.argv``.
    environment : mapping, optional
        Variables beside those of this process.
    said : Path, optional
        File that what it says is added to; else :attr:`out` and :attr:`err` give it.
    """

    def __init__(
        self,
        program: str,
        *arguments: object,
        environment: Mapping[str, str] | None = None,
        said: Path | None = None,
    ) -> None:
        self._files = None
        if said is None:
            self._files = tempfile.TemporaryDirectory(prefix="marketlake-said-")
            out, err = (str(Path(self._files.name) / name) for name in ("out", "err"))
        else:
            out = err = str(said)
        self._texts = (out, err)
        self.args = [program, *map(str, arguments)]
        variables = {**os.environ, **(environment or {})}
        self._process = _context.Process(
            target=_run, args=(self.args, variables, str(Path.cwd()), out, err), daemon=True
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit status, or the negative number of the signal it died of; None while it runs."""
        return self._process.exitcode

    poll = returncode.fget

    @property
    def out(self) -> str:
        """What it said on standard output."""
        return Path(self._texts[0]).read_text(errors="replace")

    @property
    def err(self) -> str:
        """What it said on standard error."""
        return Path(self._texts[1]).read_text(errors="replace")

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; give its exit status."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, and nothing that it started."""
        self.send_signal(signal.SIGKILL)

    def bury(self) -> None:
        """Kill it and what it has left: JVM and workers follow a dead driver, but not at once."""
        self.kill()
        self.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


def marketlake(*arguments: object, timeout_s: float = 400.0) -> str:
    """Run a command that must end well; give what it printed."""
    process = Process(MARKETLAKE, *arguments)
    try:
        code = process.wait(timeout_s)
    finally:
        process.bury()
    assert code == 0, process.err[-2_000:]
    return process.out


def _run(args: list[str], variables: dict[str, str], folder: str, out: str, err: str) -> None:
    os.setsid()
    os.chdir(folder)
    for path, number in ((out, 1), (err, 2)):
        said = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(said, number)
        os.close(said)
    os.environ.clear()
    os.environ.update(variables)
    module, _, function = args[0].partition(":")
    sys.argv = ["marketlake", *args[1:]]
    getattr(importlib.import_module(module), function)()
