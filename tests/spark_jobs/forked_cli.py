"""Runs several command lines at once, each in a process of its own: run as a program by tests.

Standard input holds a JSON list of ``[arguments, variables]``; standard output gets one of
``[exit code, stdout, stderr]``. The processes are forks of one that has imported everything, as
imports take seconds of the processor each time.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from typing import IO

from spark_jobs.cli import main
from spark_jobs.registry import BATCH_JOBS, COMMANDS


def fork(arguments: list[str], variables: dict[str, str], out: IO[bytes], err: IO[bytes]) -> int:
    child = os.fork()
    if child:
        return child
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    os.environ.update(variables)
    sys.argv = ["marketlake", *arguments]
    code = 70
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - whatever ends it, its trace is what the test looks for
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run() -> None:
    for job in (*COMMANDS.values(), *BATCH_JOBS.values()):
        job.load()
    started = []
    for arguments, variables in json.load(sys.stdin):
        out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
        started.append((fork(arguments, variables, out, err), out, err))
    ended = []
    for child, out, err in started:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
        ended.append([code, *texts])
    json.dump(ended, sys.stdout)


if __name__ == "__main__":
    run()
