"""One batch after another: fold, decide by manifest, commit each table once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Final

from pyspark.sql import DataFrame, SparkSession

from marketlake.contracts.control import Control, changes_lanes
from marketlake.contracts.tables import INDICATORS_PATH, STATE_FOLDS, STREAM_TABLES, SUMMARY_TABLES
from marketlake.lake.datafiles import DataFile, verify
from marketlake.lake.delta import DeltaTables
from marketlake.lake.errors import LakeError
from marketlake.lake.lease import Check
from marketlake.lake.manifests import STREAM, Manifest, Manifests
from marketlake.lake.storage import Storage
from marketlake.settings.model import Settings
from streaming.deciding import decide
from streaming.positions import Events, Owners, positions_of, state_chains
from streaming.sources.source import Succession
from streaming.stages.indicators import table_of
from streaming.stages.messages import (
    BatchPlan,
    InputPosition,
    PlacedControl,
    end_of_minute_us,
)
from streaming.stages.tasks import forget
from streaming.steps import Results, results_of_controls, run_steps
from streaming.succession import endings, joins

PIPELINE: Final = STREAM
APPLICATION: Final = "marketlake-stream"
COMMIT_ORDER: Final = (*(t.path for t in STREAM_TABLES), INDICATORS_PATH, STATE_FOLDS.path)
"""The tables that a batch is committed to; the state comes last, after all others."""
REBUILD_MARK: Final = "_marketlake/rebuild.json"
"""Stands in a lake for as long as it is made from another's bronze: no stream may begin there."""
_COMMITS_AT_ONCE: Final = 8

BatchListener = Callable[[Manifest, float], None]
"""Called with each batch's manifest and the seconds it took, after its commits."""

Steps = Callable[[BatchPlan], Results]
"""Takes both steps over the messages of a batch; gives nothing of lanes where there are none."""


class Pipeline:
    """The stream's writer: owns the tables of a lake while it runs.

    Parameters
    ----------
    lake : str
        Path or URI of the lake.
    source : str
        Names what is read; checked against what the lake was filled from.
    known_inputs : dict
        Inputs that exist at the source, empty ones too: the merge waits for them.
    """

    def __init__(
        self,
        spark: SparkSession,
        lake: str,
        settings: Settings,
        source: str,
        known_inputs: dict[str, InputPosition],
        listener: BatchListener | None = None,
    ) -> None:
        self.storage = Storage(lake, settings.s3)
        self._spark = spark
        self._lake = lake
        self._settings = settings
        self._source = source
        self._listener = listener
        self._manifests = Manifests(self.storage, PIPELINE)
        self._tables = DeltaTables(
            self.storage,
            (*STREAM_TABLES, table_of(settings.indicators), *SUMMARY_TABLES, STATE_FOLDS),
        )
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(_COMMITS_AT_ONCE, thread_name_prefix="commit")
        self._known_inputs = known_inputs
        self._owners = Owners()
        self.last: Manifest | None = None
        self.check_lease: Check = lambda: None
        self.crash_point: Callable[[str], None] = lambda _point: None

    @property
    def checkpoint(self) -> str:
        """Where the Spark query keeps its offsets, relative to the lake."""
        return f"_marketlake/{PIPELINE}/checkpoint"

    @property
    def busy(self) -> bool:
        """True while a batch is being taken."""
        return self._lock.locked()

    def recover(self, *, streams: bool = True) -> None:
        """Finish the last batch, should it have been decided but not committed everywhere.

        Parameters
        ----------
        streams : bool
            A Spark query goes on from here: its progress must be there.

        Raises
        ------
        LakeError
            If the lake was filled from another source, or is not whole.
        """
        if streams and self.storage.exists(REBUILD_MARK):
            raise LakeError(
                f"lake {self._lake} is being made from another: marketlake rebuild --switch ends "
                "that, or choose another --lake"
            )
        # What a pipeline before this one left in memory is not what this one begins with.
        forget(self._lake)
        self.last = self._manifests.last()
        if self.last is None:
            if self.storage.exists(f"{self.checkpoint}/commits/0"):
                raise LakeError(
                    f"{self.storage.path(self.checkpoint)} holds the progress of a query but the "
                    "lake has no manifest: it is another pipeline's checkpoint; choose "
                    "another --lake"
                )
            self._tables.create_all()
            return
        if self.last.source != self._source:
            raise LakeError(
                f"lake {self._lake} was filled from {self.last.source}, not from {self._source}: "
                "choose another --lake, or the source it belongs to"
            )
        known = not streams or self.storage.list(f"{self.checkpoint}/offsets")
        if self.last.spark_batch >= 0 and not known:
            raise LakeError(
                f"{self.storage.path(self.checkpoint)} is gone but the lake holds batches that it "
                "knew: restore it from a backup, or start on a new --lake"
            )
        # Before anything is written: a release that cannot write a table does not begin.
        self._tables.create_all()
        self._commit(self.last)
        self._owners = Owners.of(self.storage, self.last)

    def process(self, spark_batch: int, steps: Steps) -> None:
        """Take one batch of the Spark query; a batch that was decided before is not repeated."""
        with self._lock:
            if self.last is not None and spark_batch <= self.last.spark_batch:
                self._commit(self.last)
                return
            while shared := self._run("messages", spark_batch, steps):
                # Not decided: taken again when the lanes that share instruments are one.
                self._control(shared)
            settle_us = self._settings.stream.settle_ms * 1_000
            self._control(self._owners.settled(self._inputs(), settle_us))

    def succeed(self, successions: Sequence[Succession]) -> None:
        """Before a batch: inputs that have ended, and those that they go on as, become one lane."""
        with self._lock:
            self._control(joins(self._inputs(), successions))

    def retire(self, successions: Sequence[Succession]) -> None:
        """After it: nobody waits any more for those whose heirs have all begun.

        Said with the batch in which the last of them began: how far others are does not show.
        """
        with self._lock:
            self._control(endings(self._inputs(), successions))

    def control(self, decide: Callable[[], Events]) -> None:
        """Write control events at the present position of inputs, and let the folds take them.

        Parameters
        ----------
        decide : callable
            Gives the events. Called while no batch is taken: what it sees of the inputs
            is what the events are about.
        """
        with self._lock:
            self._control(decide())

    def _control(self, events: Events) -> None:
        now_us = time.time_ns() // 1_000
        controls = [
            PlacedControl(i.topic, i.partition, max(i.next_offset, 0), now_us, event)
            for i, event in sorted(events, key=lambda placed: placed[0].name)
        ]
        if controls:
            decided = self.last.spark_batch if self.last else -1
            kind = "lanes" if changes_lanes(controls[0].event) else "control"
            self._run(kind, decided, lambda plan: results_of_controls(self._spark, plan, controls))

    def end_events(self) -> Events:
        """Events that end every active input, each at the end of its last whole minute."""
        return [
            (position, Control("end", end_of_minute_us(position.latest_us)))
            for position in self._inputs().values()
            if position.active
        ]

    def idle_events(self, idle_inputs: set[str]) -> Events:
        """Events for inputs that have gone quiet."""
        return [
            (position, Control("idle", end_of_minute_us(position.latest_us)))
            for name, position in self._inputs().items()
            if position.active and name in idle_inputs
        ]

    def _inputs(self) -> dict[str, InputPosition]:
        inputs = dict(self._known_inputs) if self.last is None else {}
        if self.last is not None:
            inputs |= positions_of(self.last)
        return inputs

    def take_again(self, kind: str, upto: Manifest, rows: DataFrame) -> None:
        """Take what batches of another lake took, as one batch.

        Parameters
        ----------
        kind : str
            As of a manifest; what changes lanes must be a batch of its own.
        upto : Manifest
            Last batch of the other lake that is contained.
        rows : DataFrame
            Its rows of bronze since this lake's last batch, lanes whole and in order.
        """
        with self._lock:
            started, plan = time.monotonic(), self._plan()
            # It is known by the time of the batch up to which it goes.
            plan = replace(plan, ingest_time_us=upto.ingest_time_us, live=False, notes=True)
            self._decide(plan, kind, upto.spark_batch, run_steps(rows, plan), started)

    def _run(self, kind: str, spark_batch: int, steps: Steps) -> Events:
        """Take a batch; give what must happen first where it cannot be decided."""
        started, plan = time.monotonic(), self._plan()
        results = steps(plan)
        if not results[0]:
            return []
        shared = self._owners.shared(plan.inputs, results[0]) if kind == "messages" else []
        if not shared:
            self._decide(plan, kind, spark_batch, results, started)
        return shared

    def _plan(self) -> BatchPlan:
        sequence = self.last.sequence + 1 if self.last else 0
        return BatchPlan(
            lake=self._lake,
            sequence=sequence,
            label=f"{sequence:08d}",
            settings=self._settings,
            # Rises from batch to batch even if the clock is set back: it orders the batches.
            ingest_time_us=max(
                time.time_ns() // 1_000, self.last.ingest_time_us + 1 if self.last else 0
            ),
            inputs=self._inputs(),
            state_files=state_chains(self.last),
        )

    def _decide(
        self, plan: BatchPlan, kind: str, spark_batch: int, results: Results, started_s: float
    ) -> None:
        """Write the manifest of a batch, and commit it."""
        manifest = decide(plan, kind, spark_batch, self._source, self.last, results)
        self.crash_point("before manifest")
        self.check_lease()
        self._manifests.write(manifest)
        self.crash_point("manifest")
        self._commit(manifest)
        self.last = manifest
        self._owners.note(results[0])
        if self._listener is not None:
            self._listener(manifest, time.monotonic() - started_s)

    def _commit(self, manifest: Manifest) -> None:
        """Commit a decided batch to every table that lacks it, the state last."""
        by_table: dict[str, list[DataFile]] = {}
        for file in manifest.files:
            by_table.setdefault(file.table, []).append(file)
        # A commit waits for storage more than it computes, and none needs another's.
        first = [path for path in COMMIT_ORDER[:-1] if path in by_table]
        commits = [
            self._threads.submit(self._commit_to, manifest, path, by_table[path]) for path in first
        ]
        # Where one fails the others end too, before the lease is given back.
        wait(commits)
        for commit in commits:
            commit.result()
        own_state = [
            f
            for chain in manifest.state_files.values()
            for f in chain[-1:]
            if f.path.split("/")[-1].startswith(f"{manifest.sequence:08d}-")
        ]
        self._commit_to(manifest, STATE_FOLDS.path, own_state)

    def _commit_to(self, manifest: Manifest, path: str, files: list[DataFile]) -> None:
        recovering = self.last is manifest or self.last is None
        if recovering:
            if self._tables.version_of(path, APPLICATION) == manifest.sequence:
                return
            self._check_files(manifest, files)
        self.check_lease()
        self._tables.commit(
            path,
            APPLICATION,
            manifest.sequence,
            files,
            replaced=manifest.replaced_state_files if path == STATE_FOLDS.path else (),
        )
        self.crash_point(path)

    def _check_files(self, manifest: Manifest, files: list[DataFile]) -> None:
        damaged = verify(self.storage, files)
        if damaged:
            raise LakeError(
                f"batch {manifest.sequence}: {damaged[0].table}/{damaged[0].path} is absent or "
                "was changed after the batch was decided; restore it from a backup of the lake"
            )
