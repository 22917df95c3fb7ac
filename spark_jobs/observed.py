"""A run of the stream with its logs, metrics and lag."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from prometheus_client import CollectorRegistry

from marketlake.observability.logs import configure_logs, log_batch
from marketlake.observability.metrics import BatchMetrics, serve
from marketlake.settings.model import ObservabilitySettings
from streaming.lag import LagWatch
from streaming.listening import fan_out, with_figures
from streaming.pipeline import BatchListener
from streaming.sources.source import Source


@contextmanager
def observed(
    source: Source,
    settings: ObservabilitySettings,
    *listeners: BatchListener,
    on_lag: Callable[[Mapping[str, int]], None] | None = None,
) -> Iterator[BatchListener]:
    """Give the listener that feeds logs, metrics and whatever else is named.

    Raises
    ------
    LogError, MetricsError, SourceError
        Each with one line for the operator.
    """
    configure_logs(settings.log_level, settings.log_file)
    registry = CollectorRegistry()
    metrics = BatchMetrics(registry)
    _, inputs = source.look()
    lag_listeners = [metrics.set_lag, *([on_lag] if on_lag else [])]
    with ExitStack() as stack:
        server = serve(registry, settings.metrics_port, settings.metrics_host)
        if server is not None:
            stack.enter_context(server)
        watch = stack.enter_context(LagWatch(source, inputs, *lag_listeners))
        # The lag is looked at first, so that the log line of a batch has it fresh.
        yield fan_out(
            watch.batch,
            *listeners,
            with_figures(metrics.observe, log_batch, lag=lambda: watch.latest),
        )
