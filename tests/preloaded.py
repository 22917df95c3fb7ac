"""What a test's processes have imported when they are forked: all commands, and the stream."""

import streaming.runner
import streaming.sources.open_source  # noqa: F401
from spark_jobs.registry import BATCH_JOBS, COMMANDS

for job in (*COMMANDS.values(), *BATCH_JOBS.values()):
    job.load()
