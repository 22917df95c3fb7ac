"""Snapshots for the live view, made of the manifests of batches."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from marketlake.lake.manifests import Manifest
from marketlake.lake.storage import Storage
from marketlake.report.live import Progress
from streaming.listening import figures_of
from streaming.live_rows import LiveRows


class LiveProgress:
    """Keeps what the live view shows, and shows it whenever something changes.

    Parameters
    ----------
    lake : str
        Path or URI of the lake, whose newest anomalies and spreads are looked at.
    show : callable
        Takes each snapshot: :meth:`LiveView.update`.
    stage : str
        What goes on, in a few words.
    clock : callable
        Monotonic seconds.
    """

    def __init__(
        self,
        lake: str,
        show: Callable[[Progress], None],
        stage: str = "streaming",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._show = show
        self._clock = clock
        self._started_s = clock()
        self._rows = LiveRows(Storage(lake), clock)
        self._silver: Counter[str] = Counter()
        self._quarantined: Counter[str] = Counter()
        self._progress = Progress(stage)
        # Batches come on a thread of Spark's, the lag on one of its own.
        self._lock = threading.Lock()

    def batch(self, manifest: Manifest, seconds: float) -> None:
        """Take a committed batch; a listener of the pipeline."""
        figures = figures_of(manifest, seconds)
        with self._lock:
            self._silver.update(
                {table.rpartition("/")[2]: rows for table, rows in figures.silver.items()}
            )
            self._quarantined.update(figures.reasons)
            self._rows.take(manifest.files)
            progress = replace(
                self._progress,
                batch=figures.sequence,
                batch_ms=seconds * 1e3,
                rows_in=self._progress.rows_in + figures.read,
                silver_rows=dict(self._silver),
                quarantined=dict(self._quarantined),
                event_time=_time(figures.watermark_us),
                anomalies=self._rows.anomalies,
                spreads=self._rows.spreads,
            )
            if figures.read:
                # A control batch reads nothing; its rate would say that the stream stands still.
                progress = replace(progress, rows_per_s=figures.rows_per_s)
            self._update(progress)

    def lag(self, lag_messages: Mapping[str, int]) -> None:
        """Take the present lag by input; an empty mapping says that it is not known."""
        rows = sum(lag_messages.values()) if lag_messages else None
        with self._lock:
            self._update(replace(self._progress, lag_rows=rows))

    def stage(self, stage: str) -> None:
        """Say what goes on now."""
        with self._lock:
            self._update(replace(self._progress, stage=stage))

    def _update(self, progress: Progress) -> None:
        self._progress = replace(progress, elapsed_s=self._clock() - self._started_s)
        self._show(self._progress)


def _time(time_us: int | None) -> datetime | None:
    return None if time_us is None else datetime.fromtimestamp(time_us / 1e6, UTC)
