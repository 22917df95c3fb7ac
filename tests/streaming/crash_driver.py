"""A stream that kills itself: a process of the tests of recovery.

Arguments: SOURCE LAKE OFFSETS POINT COUNT. It sends itself SIGKILL when it passes the named point
(``before manifest``, ``manifest``, or the table just committed) for the COUNT-th time.
"""

from __future__ import annotations

import os
import signal
import sys

from marketlake.lake.storage import Storage
from marketlake.settings.model import load_settings
from spark_jobs.sessions import job_session
from streaming.runner import StreamRunner
from streaming.sources.open_source import open_source


def main() -> None:
    source, lake, offsets, point, count = sys.argv[1:6]
    settings = load_settings(stream={"max_offsets_per_batch": int(offsets)})
    place = open_source(source, settings)
    spark = job_session("marketlake crash test", Storage(lake), light=place.light(settings))
    runner = StreamRunner(spark, place, lake, settings)
    left = [int(count)]

    def crash(passed: str) -> None:
        if point in (passed, "anywhere"):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    runner.pipeline.crash_point = crash
    runner.run(until_idle=True)
