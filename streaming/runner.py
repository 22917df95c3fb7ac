"""Runs the stream: to the end of what is there, or until it is told to stop."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from marketlake.contracts.errors import MarketlakeError
from marketlake.lake.lease import lease
from marketlake.lake.manifests import Manifest
from marketlake.lake.runs import StopRequest, announced
from marketlake.lake.session import SPARK_ERRORS
from marketlake.settings.model import Settings
from streaming.failures import reason_of
from streaming.pipeline import BatchListener, Pipeline
from streaming.sources.source import Reading, Source

_LOG: Final = logging.getLogger(__name__)
_POLL_S: Final = 0.1
_PARTITIONS_CAME: Final = "should provide the same topic partitions"


class StreamError(MarketlakeError):
    """The stream cannot go on; all that was decided is committed, or will be at a restart."""


@dataclass(frozen=True)
class StreamSummary:
    """What a run did."""

    batches: int
    read: int
    silver: int
    quarantined: int


class StreamRunner:
    """The streaming pipeline over one source into one lake.

    Parameters
    ----------
    listener : callable, optional
        Called with the manifest and the seconds of each batch.
    """

    def __init__(
        self,
        spark: SparkSession,
        source: Source,
        lake: str,
        settings: Settings,
        listener: BatchListener | None = None,
    ) -> None:
        self._spark = spark
        self._source = source
        self._settings = settings
        self._stop = threading.Event()
        self._listener = listener
        self._failure: Exception | None = None
        self._totals = {"batches": 0, "read": 0, "silver": 0, "quarantined": 0}
        name, inputs = source.look()
        self._inputs = inputs
        self._last_seen_s: dict[str, float] = {}
        self._offsets: dict[str, int] = {}
        self.pipeline = Pipeline(spark, lake, settings, name, inputs, self._note)
        storage, checkpoint = self.pipeline.storage, self.pipeline.checkpoint
        self._reading = Reading(spark, settings, storage, checkpoint)

    def run(self, *, until_idle: bool, complete: Callable[[], bool] | None = None) -> StreamSummary:
        """Run the stream.

        Parameters
        ----------
        until_idle : bool
            Drain what is there, close the last bars and stop; else go on until :meth:`stop`.
        complete : callable, optional
            Tells that nothing more will be published; draining waits for it.

        Raises
        ------
        SourceError, LakeError, StreamError
            Each with one line for the operator.
        """
        storage, poll_ms = self.pipeline.storage, self._settings.stream.stop_poll_ms
        with (
            lease(storage, "stream") as check_lease,
            announced(storage, poll_ms, self._stop_requested),
        ):
            self.pipeline.check_lease = check_lease
            try:
                return self._run(until_idle=until_idle, complete=complete)
            except SPARK_ERRORS as error:
                raise StreamError(reason_of(error, self._source.place)) from error

    def _run(self, *, until_idle: bool, complete: Callable[[], bool] | None) -> StreamSummary:
        self.pipeline.recover()
        if until_idle:
            self._source.require(self._inputs)
        if until_idle and complete is not None:
            self._query(drain=False, until=complete)
        if not self._stop.is_set():
            self._go_on(drain=until_idle)
        if until_idle and not self._stop.is_set():
            self.pipeline.control(self.pipeline.end_events)
        return StreamSummary(**self._totals)

    def stop(self) -> None:
        """Ask the run to end after its present batch."""
        self._stop.set()

    def _stop_requested(self, request: StopRequest) -> None:
        _LOG.info("asked to end by %s at %s", request.by, request.at)
        self.stop()

    def stop_on_signals(self) -> None:
        """Let SIGTERM and SIGINT end the run after its present batch."""

        def handler(_number: int, _frame: object) -> None:
            self.stop()

        signal.signal(signal.SIGTERM, handler)
        signal.signal(signal.SIGINT, handler)

    def _go_on(self, *, drain: bool) -> None:
        try:
            self._query(drain=drain, until=self._stop.is_set)
        except StreamError as error:
            # Spark asks twice what is there, and refuses partitions that came in between: nothing
            # was read, and it says itself that the query is to be started again.
            if not drain or _PARTITIONS_CAME not in str(error):
                raise
            self._query(drain=drain, until=self._stop.is_set)

    def _query(self, *, drain: bool, until: Callable[[], bool]) -> None:
        stream = self._settings.stream
        writer = (
            self._source.read(self._reading, drain=drain)
            .writeStream.queryName("marketlake")
            .option("checkpointLocation", self.pipeline.storage.path(self.pipeline.checkpoint))
            .foreachBatch(self._batch)
        )
        if drain and self._source.drains_itself:
            writer = writer.trigger(availableNow=True)
        else:
            pause_ms = 0 if drain else stream.trigger_ms
            writer = writer.trigger(processingTime=f"{pause_ms} milliseconds")
        # One that was cut off when the query before was stopped is planned again by this one.
        self._failure = None
        query = writer.start()
        if drain and not self._source.drains_itself:
            until = _drained(query)
        try:
            self._wait(query, until, declare_idle=not drain)
        finally:
            query.stop()

    def _batch(self, frame: DataFrame, spark_batch: int) -> None:
        try:
            if self._stop.is_set():
                # Not decided, so a restart plans and takes the very same messages.
                raise _StoppedError
            successions = self._source.successions(self._reading, spark_batch)
            self.pipeline.succeed(successions)
            steps = partial(self._source.steps, self._reading, frame, spark_batch)
            self.pipeline.process(spark_batch, steps)
            self.pipeline.retire(successions)
        except Exception as error:
            self._failure = error
            raise

    def _wait(
        self, query: StreamingQuery, until: Callable[[], bool], *, declare_idle: bool
    ) -> None:
        while query.isActive:
            if self._stop.wait(_POLL_S) or until():
                self._finish_batch(query)
                break
            if declare_idle:
                self._declare_idle()
        error = query.exception()
        # A batch that fails after the request to stop fails like any other.
        if error is not None and not isinstance(self._failure, _StoppedError):
            raise StreamError(reason_of(error, self._source.place)) from error

    def _finish_batch(self, query: StreamingQuery) -> None:
        # A failed batch ends its query, a moment after it is no longer busy.
        while query.isActive and (self.pipeline.busy or self._failure is not None):
            time.sleep(_POLL_S)

    def _declare_idle(self) -> None:
        if self._quiet() and not self.pipeline.busy:
            # Asked again when no batch is taken: one may have come since, with messages.
            self.pipeline.control(lambda: self.pipeline.idle_events(self._quiet()))

    def _quiet(self) -> set[str]:
        """Name the inputs that have sent nothing for as long as the settings say."""
        now_s, limit_s = time.monotonic(), self._settings.stream.idle_ms / 1e3
        last = self.pipeline.last
        return {
            name
            for name, position in (last.inputs if last else {}).items()
            if position.active and now_s - self._last_seen_s.setdefault(name, now_s) > limit_s
        }

    def _note(self, manifest: Manifest, seconds: float) -> None:
        now_s = time.monotonic()
        counts = manifest.counts
        self._totals["batches"] += 1
        self._totals["read"] += counts["read"]["messages"]
        self._totals["silver"] += sum(counts["silver"].values())
        self._totals["quarantined"] += counts["quarantine"]["messages"]
        for name, position in manifest.inputs.items():
            if position.next_offset != self._offsets.get(name):
                self._offsets[name] = position.next_offset
                self._last_seen_s[name] = now_s
        if self._listener is not None:
            self._listener(manifest, seconds)


def _drained(query: StreamingQuery) -> Callable[[], bool]:
    """Tell when a query has found nothing more to plan."""
    done = threading.Event()

    def watch() -> None:
        # What ends the query is found by who waits for it.
        with suppress(*SPARK_ERRORS):
            query.processAllAvailable()
        done.set()

    threading.Thread(target=watch, name="drained", daemon=True).start()
    return done.is_set


class _StoppedError(Exception):
    """Raised inside a batch that must not begin any more."""
