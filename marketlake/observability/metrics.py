"""Prometheus metrics of a stream, and the endpoint that shows them."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, Self
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    start_http_server,
)

from marketlake.contracts.errors import MarketlakeError
from marketlake.observability.figures import BatchFigures

_BUCKETS_S: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_LOOPBACK: Final = "127.0.0.1"


class MetricsError(MarketlakeError):
    """The metrics cannot be served as asked."""


class BatchMetrics:
    """What the batches of a stream add up to since this process began.

    Parameters
    ----------
    registry : CollectorRegistry
        Where the metrics are registered; one of its own for each stream.
    clock : callable
        Seconds since the epoch.
    """

    def __init__(
        self, registry: CollectorRegistry, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._latest_event_us: dict[str, int] = {}
        self._lag_known: set[str] = set()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"marketlake_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"marketlake_{name}", text, labels, registry=registry)

        self._batches = counter("batches", "Batches committed.", "kind")
        self._read = counter("messages_read", "Messages read from the source.")
        self._silver = counter("silver_rows", "Rows written to silver tables.", "table")
        self._gold = counter("gold_rows", "Rows written to gold tables.", "table")
        self._quarantined = counter("quarantined_messages", "Messages put into quarantine.")
        self._reasons = counter(
            "quarantine_reasons",
            "Messages put into quarantine by reason; one with two reasons counts under both.",
            "reason",
        )
        self._unaccounted = gauge(
            "unaccounted_messages",
            "Sum over batches of |read - silver - quarantined|: a silent row where not 0.",
        )
        self._seconds = Histogram(
            "marketlake_batch_seconds",
            "Duration of a batch, its commits included.",
            buckets=_BUCKETS_S,
            registry=registry,
        )
        self._last_seconds = gauge("last_batch_seconds", "Duration of the last batch.")
        self._last_time = gauge(
            "last_batch_timestamp_seconds", "When the last batch ended, Unix time."
        )
        self._watermark = gauge(
            "input_watermark_timestamp_seconds", "How far an input is complete.", "input"
        )
        self._latest = gauge(
            "input_latest_event_timestamp_seconds", "Latest event time of an input.", "input"
        )
        self._active = gauge("input_active", "1, or 0 for an input gone quiet.", "input")
        self._lag = gauge(
            "input_lag_messages", "Messages at the source that are not read yet.", "input"
        )
        self._freshness = gauge(
            "table_freshness_seconds",
            "Now less the latest event time that this process wrote to a table.",
            "table",
        )

    def observe(self, batch: BatchFigures) -> None:
        """Take a committed batch."""
        self._batches.labels(batch.kind).inc()
        self._read.inc(batch.read)
        self._quarantined.inc(batch.quarantined)
        for metric, counts in (
            (self._silver, batch.silver),
            (self._gold, batch.gold),
            (self._reasons, batch.reasons),
        ):
            for label, rows in counts.items():
                metric.labels(label).inc(rows)
        # Absolute: a message lost in one batch and one doubled in the next must not cancel.
        self._unaccounted.inc(abs(batch.unaccounted))
        self._seconds.observe(batch.seconds)
        self._last_seconds.set(batch.seconds)
        self._last_time.set(self._clock())
        for name, position in batch.inputs.items():
            self._active.labels(name).set(position.active)
            for gauge, time_us in (
                (self._watermark, position.watermark_us),
                (self._latest, position.latest_us),
            ):
                if time_us is not None:
                    gauge.labels(name).set(time_us / 1e6)
        for table, time_us in batch.latest_event_us.items():
            self._note_latest(table, time_us)

    def set_lag(self, lag_messages: Mapping[str, int]) -> None:
        """Take the present lag by input; an input that is left out has none that is known."""
        for name in self._lag_known - lag_messages.keys():
            self._lag.remove(name)
        self._lag_known = set(lag_messages)
        for name, messages in lag_messages.items():
            self._lag.labels(name).set(messages)

    def _note_latest(self, table: str, time_us: int) -> None:
        if table in self._latest_event_us:
            # Late rows do not make a table older.
            self._latest_event_us[table] = max(time_us, self._latest_event_us[table])
            return
        self._latest_event_us[table] = time_us
        self._freshness.labels(table).set_function(
            lambda: self._clock() - self._latest_event_us[table] / 1e6
        )


class MetricsServer:
    """A running endpoint; a context manager, closed at the end of the block."""

    def __init__(self, server: WSGIServer, thread: threading.Thread, url: str) -> None:
        self._server = server
        self._thread = thread
        self.url = url

    def close(self) -> None:
        """Stop answering and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def serve(registry: CollectorRegistry, port: int, host: str = _LOOPBACK) -> MetricsServer | None:
    """Answer scrapes at ``http://host:port/metrics`` from a thread of its own.

    Parameters
    ----------
    port : int
        1 to 65535, or 0 for no endpoint.
    host : str
        Address to listen on. The endpoint asks for no password: open it to a network only where
        that network may read the figures.

    Returns
    -------
    MetricsServer or None
        None for port 0.

    Raises
    ------
    MetricsError
        If the port is in use, or not ours to take.
    """
    if port == 0:
        return None
    if not 0 < port <= 65_535:
        raise MetricsError(f"metrics port {port} is none: name one of 1 to 65535, or 0 for none")
    # Each counter's time of birth would double the series, and nobody asks for it.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        reason = (
            "is in use"
            if error.errno == errno.EADDRINUSE
            else f"failed ({error.strerror or error})"
        )
        raise MetricsError(
            f"metrics port {port} on {host} {reason}: choose another, or 0 for no metrics"
        ) from error
    return MetricsServer(server, thread, f"http://{host}:{port}/metrics")
