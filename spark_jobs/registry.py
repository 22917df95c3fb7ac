"""Every command and job by its name; a new one is a function and a line here.

They are named, not imported: Spark and the compiler of the folds take seconds to load, and a
query in SQL or a page of help needs neither.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final


@dataclass(frozen=True)
class Job:
    """A command: where its function stands, and what it does in one line.

    Attributes
    ----------
    module, function : str
        The function, imported when the command runs.
    doc : str
        First line of the function's docstring.
    passes_on : bool
        What stands behind its first argument belongs to something that it runs.
    """

    module: str
    function: str
    doc: str
    passes_on: bool = False

    def load(self) -> Callable[..., Any]:
        """Import the function."""
        function: Callable[..., Any] = getattr(import_module(self.module), self.function)
        return function


COMMANDS: Final[dict[str, Job]] = {
    "demo": Job(
        "spark_jobs.demo_command",
        "demo_command",
        "See the main job: market, broker, stream, lake, live view and report.",
    ),
    "replay": Job(
        "spark_jobs.replay_command",
        "replay_command",
        "Publish recorded market data as wire events, in the order of their times.",
    ),
    "feed": Job(
        "spark_jobs.feed_command",
        "feed_command",
        "Watch live venues and publish what they say, until told to stop.",
    ),
    "stream": Job(
        "spark_jobs.stream_command",
        "stream_command",
        "Read a source into a lake until told to stop; SIGTERM ends after the running batch.",
    ),
    "reconcile": Job(
        "spark_jobs.reconcile_command",
        "reconcile_command",
        "Recompute the lake from bronze; exit 1 and show the first difference of each table.",
    ),
    "rebuild": Job(
        "spark_jobs.rebuild_command",
        "rebuild_command",
        "Make a lake anew from another's bronze; compare both, and switch only where they agree.",
    ),
    "replay-quarantine": Job(
        "spark_jobs.quarantine_command",
        "replay_quarantine_command",
        "Send messages of the quarantine again, mended, to the topics they belong to.",
    ),
    "maintain": Job(
        "spark_jobs.maintain_command",
        "maintain_command",
        "Join small files and remove what nothing needs; the stream may run meanwhile.",
    ),
    "tables": Job(
        "spark_jobs.query_commands",
        "tables_command",
        "List the tables with rows, latest event and freshness.",
    ),
    "sql": Job(
        "spark_jobs.query_commands",
        "sql_command",
        "Run SQL over a lake with DuckDB.",
    ),
}

BATCH_JOBS: Final[dict[str, Job]] = {
    "process": Job(
        "spark_jobs.batch_process",
        "process_command",
        "Make the market summary of a day, and its gold from files, or again from bronze.",
    ),
    "probe": Job(
        "spark_jobs.probe",
        "probe_command",
        "Prove that jobs can run here: executors, our code, Delta and the lake; leave an answer.",
    ),
}

EMR_COMMANDS: Final[dict[str, Job]] = {
    "deploy": Job(
        "spark_jobs.emr_command",
        "deploy_command",
        "Make an environment what the code says, in eight steps; safe to run again at any time.",
    ),
    "release": Job(
        "spark_jobs.emr_command",
        "release_command",
        "Bring new code to a running stream; where it is not healthy the former comes back.",
    ),
    "submit": Job(
        "spark_jobs.emr_command",
        "submit_command",
        "Run a job as a step of the cluster, wait for it and show its log.",
        passes_on=True,
    ),
    "info": Job(
        "spark_jobs.emr_command",
        "info_command",
        "Tell what is deployed and how its pages are reached; changes nothing.",
    ),
    "destroy": Job(
        "spark_jobs.emr_command",
        "destroy_command",
        "Remove the cluster after its streams have ended; the data stay unless told otherwise.",
    ),
    "configurations": Job(
        "spark_jobs.emr_command",
        "configurations_command",
        "Print the cluster's configurations as JSON, made from the settings of the code.",
    ),
    "test": Job(
        "spark_jobs.emr_command",
        "check_command",
        "Check the code here and, where a cluster is deployed, that cluster; exit 1 on a failure.",
    ),
    "backup": Job(
        "spark_jobs.emr_command",
        "backup_command",
        "Back up configuration, notebooks and reference tables, with a manifest of digests.",
    ),
    "restore": Job(
        "spark_jobs.emr_command",
        "restore_command",
        "Bring a backup to a folder, each file checked against its digest.",
    ),
    "weekly-check": Job(
        "spark_jobs.emr_command",
        "weekly_check_command",
        "Name clusters left running and what costs too much; exit 1 where there is any.",
    ),
}
