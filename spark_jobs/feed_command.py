"""``marketlake feed``: watch live venues and publish what they say as wire events."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated

import typer
from prometheus_client import CollectorRegistry

from marketlake.contracts.events import INTERVAL_US
from marketlake.feeds.live.feed import Feed, prepare_all
from marketlake.feeds.live.ledger import Ledger
from marketlake.feeds.live.plan import (
    make_sources,
    parse_channels,
    parse_instruments,
    parse_venues,
)
from marketlake.feeds.live.ports import FeedError, LiveSource
from marketlake.feeds.publish import Publisher, parse_target
from marketlake.feeds.publishers import open_publisher
from marketlake.observability.feed_metrics import FeedMetrics
from marketlake.observability.logs import configure_logs
from marketlake.observability.metrics import serve
from marketlake.settings.environment import alpaca_credentials
from marketlake.settings.model import Settings, load_settings
from spark_jobs.errors import one_line
from spark_jobs.feed_view import FeedView, summary_line
from spark_jobs.options import Config, To


def feed_command(
    *,
    venues: Annotated[str, typer.Option(help="Venues, with commas between: binance,okx,kraken.")],
    instruments: Annotated[
        str,
        typer.Option(
            help="Instruments, with commas between, each of all venues (BTC-USDT, BTC-USDT-PERP)"
            " or of one (kraken/BTC-USD)."
        ),
    ],
    to: To = "",
    channels: Annotated[
        str, typer.Option(help="Channels, with commas between; all that a venue has.")
    ] = "trades,quotes,books,bars",
    duration: Annotated[
        float | None, typer.Option(min=0, help="End after so many seconds.")
    ] = None,
    max_events: Annotated[
        int | None, typer.Option("--max-events", min=1, help="End after so many events.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be subscribed to, and end.")
    ] = False,
    report_s: Annotated[
        float, typer.Option("--report-s", min=0.1, help="Seconds between lines of --json.")
    ] = 10.0,
    partitions: Annotated[
        int, typer.Option(min=1, help="Partitions of topics that are created.")
    ] = 4,
    config: Config = None,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print health as JSON lines, the last with 'ended'.")
    ] = False,
) -> None:
    """Watch live venues and publish what they say, until told to stop."""
    with one_line("feed"):
        settings = load_settings(config)
        configure_logs(settings.observability.log_level, settings.observability.log_file)
        bar_s = INTERVAL_US[settings.feed.bar_interval] / 1e6
        ledger = Ledger(settings.feed.stale_ms / 1_000, bar_s)
        sources = _asked_sources(venues, instruments, channels, settings, ledger)
        target = None if dry_run and not to else parse_target(to)
        view = FeedView(ledger, json_lines=json_output, every_s=report_s)
        if dry_run:
            asyncio.run(_resolve(sources, ledger))
            view.subscriptions(sources)
            return
        assert target is not None  # parse_target refuses an empty one
        feed = Feed(sources, settings.feed, ledger, max_events)
        open_target = partial(open_publisher, target, partitions)
        asyncio.run(_run(feed, open_target, sources, ledger, settings, view, duration))
    if not json_output:
        typer.echo(summary_line(ledger, target.uri))


def _asked_sources(
    venues: str, instruments: str, channels: str, settings: Settings, ledger: Ledger
) -> list[LiveSource]:
    """Read what the options name, and make a source a venue."""
    return make_sources(
        parse_instruments(instruments, parse_venues(venues)),
        parse_channels(channels),
        settings.feed,
        ledger,
        alpaca_credentials(),
    )


async def _resolve(sources: Sequence[LiveSource], ledger: Ledger) -> None:
    await prepare_all(sources, ledger)
    unreached = [notes.error for notes in ledger.venues.values() if notes.error]
    if unreached:
        raise FeedError("; ".join(unreached))


async def _run(
    feed: Feed,
    open_target: Callable[[], Publisher],
    sources: Sequence[LiveSource],
    ledger: Ledger,
    settings: Settings,
    view: FeedView,
    duration_s: float | None,
) -> None:
    loop = asyncio.get_running_loop()
    preparing = asyncio.ensure_future(prepare_all(sources, ledger))

    def stop() -> None:
        preparing.cancel()
        feed.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        await preparing
    except asyncio.CancelledError:
        return
    publisher = await asyncio.to_thread(open_target)
    registry = CollectorRegistry()
    FeedMetrics(registry, ledger)
    observed = settings.observability
    server = serve(registry, observed.metrics_port, observed.metrics_host)
    if duration_s is not None:
        loop.call_later(duration_s, feed.stop)
    try:
        with view:
            watching = asyncio.create_task(view.run())
            try:
                await feed.run(publisher)
            finally:
                watching.cancel()
    finally:
        if server is not None:
            server.close()
