"""Terraform as a process, whose words go to files that are read along.

To files, not to pipes: where our own process is killed, Terraform then ends what it began and
writes its state, and the next run waits for its lock.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from marketlake.emr.errors import EmrError
from marketlake.emr.terraform_log import errors_of, progress_of
from marketlake.settings import environment

_POLL_S: Final = 0.2


def terraform_program() -> str | None:
    """Path of terraform, or None where it is not installed."""
    return shutil.which("terraform")


def required_program() -> str:
    """Path of terraform.

    Raises
    ------
    EmrError
        Where it is not installed.
    """
    program = terraform_program()
    if program is None:
        raise EmrError("terraform is not on PATH: install 1.11 or later")
    return program


def run(
    folder: Path,
    arguments: tuple[str, ...],
    variables: Mapping[str, str],
    on_progress: Callable[[str], None],
) -> tuple[int, Path]:
    """Run Terraform in a folder, to its end.

    Parameters
    ----------
    variables : mapping of str to str
        Environment of the process beside our own.
    on_progress : callable
        Called with a line for each resource that is done.

    Returns
    -------
    int, Path
        The exit code, and the file of what it said; what it said on standard error lies beside it.
    """
    command = [required_program(), *arguments]
    logs = folder / "logs"
    logs.mkdir(exist_ok=True)
    log = logs / f"{arguments[0]}.log"
    with log.open("wb") as out, errors_of(log).open("wb") as err:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=environment.for_child({"TF_IN_AUTOMATION": "1", **variables}),
        )
    _follow(process, log, on_progress)
    return process.returncode, log


def _follow(
    process: subprocess.Popen[bytes], log: Path, on_progress: Callable[[str], None]
) -> None:
    """Wait for the end, and tell what is done meanwhile."""
    with log.open(errors="replace") as lines:
        rest = ""
        while True:
            ended = _ended(process)
            rest += lines.read()
            *whole, rest = rest.split("\n")
            for line in whole:
                if said := progress_of(line):
                    on_progress(said)
            if ended:
                return
            time.sleep(_POLL_S)


def _ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        return process.poll() is not None
    except KeyboardInterrupt:
        # Ctrl-C reaches terraform as well: it ends what it began, and that is waited for.
        process.wait()
        raise
