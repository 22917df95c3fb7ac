"""A stream on YARN into one lake, submitted as steps are, and watched by what it leaves there."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from marketlake.contracts.tables import STATE_FOLDS, STREAM_TABLES
from marketlake.emr.spark_submit import Artifacts, spark_submit
from marketlake.lake.delta import DeltaTables
from marketlake.lake.runs import last_run
from marketlake.lake.storage import Storage
from marketlake.settings.model import IndicatorSettings
from streaming.pipeline import APPLICATION
from streaming.stages.indicators import table_of
from tests.streaming.deaths import tables_of
from tests.streaming.lakes import manifests_of
from tests.yarn.cluster import SPARK_HOME, YarnCluster

PROGRAM = str(SPARK_HOME / "bin" / "spark-submit")
SHOW_CACHE = {"NUMBA_DEBUG_CACHE": "1"}
_OFFSETS = 4_000
LIMIT_S = 300.0
_ENDED = {"FINISHED", "FAILED", "KILLED"}


@dataclass(frozen=True)
class StreamOnYarn:
    """A stream that can be submitted again and again.

    Attributes
    ----------
    settings : dict
        Of Spark, as for `spark_submit`.
    """

    cluster: YarnCluster
    artifacts: Artifacts
    settings: dict[str, str]
    source: str
    lake: Path

    @property
    def storage(self) -> Storage:
        return Storage(str(self.lake))

    def submit(self, *options: str) -> tuple[subprocess.Popen[bytes], str]:
        """Submit it as a step does; give the step's process, and the application's id."""
        job = ["stream", "--source", self.source, "--lake", str(self.lake), *options]
        command = spark_submit(
            [*job, "--max-offsets", str(_OFFSETS)],
            self.artifacts,
            settings=self.settings,
            environment={**SHOW_CACHE, "MARKETLAKE_STREAM__STOP_POLL_MS": "200"},
            program=PROGRAM,
        )
        before = len(self.cluster.applications())
        log = self.lake.parent / f"step-{before}.log"
        step = self.cluster.start(command, log)
        ends_s = time.monotonic() + LIMIT_S
        while len(self.cluster.applications()) == before:
            assert step.poll() is None, log.read_text()[-3_000:]
            assert time.monotonic() < ends_s, "nothing was submitted"
            time.sleep(0.1)
        return step, self.cluster.applications()[-1]["id"]

    def wait_for_batch(self, application: str) -> None:
        """Wait until a new run has done a batch, and has begun another."""
        former = self.run
        self.wait_for(application, lambda: self.run != former)
        begun = self._last("offsets")
        # Its first may be one that was begun before it.
        self.wait_for(application, lambda: self._last("commits") > begun)
        self.wait_for(application, lambda: self.is_in_batch)

    def wait_for(self, application: str, seen: Callable[[], bool]) -> None:
        """Wait for something while an application runs."""
        ends_s, asked_s = time.monotonic() + LIMIT_S, 0.0
        while not seen():
            if time.monotonic() - asked_s > 1:
                asked_s = time.monotonic()
                ended = self.cluster.application(application)["state"] in _ENDED
                assert not ended, self.cluster.errors()
            assert time.monotonic() < ends_s, self.cluster.errors()
            time.sleep(0.01)

    def wait_for_end(self, application: str) -> None:
        """Wait until an application has ended, in whatever way."""
        ends_s = time.monotonic() + LIMIT_S
        while self.cluster.application(application)["state"] not in _ENDED:
            assert time.monotonic() < ends_s, self.cluster.errors()
            time.sleep(0.2)

    @property
    def run(self) -> str:
        """Id of the run that began last; empty before the first."""
        found = last_run(self.storage)
        return "" if found is None else found.id

    @property
    def undone(self) -> set[str]:
        """Tables that lack a batch which was decided."""
        decided = {
            path: manifest.sequence
            for manifest in manifests_of(self.lake)
            for path in tables_of(manifest)
        }
        tables = DeltaTables(
            self.storage, [*STREAM_TABLES, table_of(IndicatorSettings()), STATE_FOLDS]
        )
        return {
            path
            for path, sequence in decided.items()
            if tables.version_of(path, APPLICATION) != sequence
        }

    @property
    def is_in_batch(self) -> bool:
        """True while a batch is planned and not done; of a stream that was killed, for good.

        One that is planned may stay so when a stream has ended in peace: nothing of it is decided,
        and the next run takes the very same messages.
        """
        return self._last("commits") < self._last("offsets")

    def _last(self, log: str) -> int:
        """Give the number of the last batch in a log of Spark's checkpoint."""
        folder = self.lake / "_marketlake" / "stream" / "checkpoint" / log
        return max((int(f.name) for f in folder.glob("*") if f.name.isdigit()), default=-1)


def messages_in(lake: Path) -> int:
    """Count the messages that a lake's batches have read."""
    return sum(manifest.counts["read"]["messages"] for manifest in manifests_of(lake))
