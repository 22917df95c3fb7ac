"""Every command and job by its name; a new one is a function and a line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from spark_jobs.batch_process import process_command
from spark_jobs.demo_command import demo_command
from spark_jobs.query_commands import sql_command, tables_command
from spark_jobs.reconcile_command import reconcile_command
from spark_jobs.replay_command import replay_command
from spark_jobs.stream_command import stream_command

COMMANDS: Final[dict[str, Callable[..., Any]]] = {
    "demo": demo_command,
    "replay": replay_command,
    "stream": stream_command,
    "reconcile": reconcile_command,
    "tables": tables_command,
    "sql": sql_command,
}

BATCH_JOBS: Final[dict[str, Callable[..., Any]]] = {"process": process_command}
