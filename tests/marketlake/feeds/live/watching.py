"""What the tests of live sources share: settings of a test's pace, and sources run for a while."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

from marketlake.contracts.events import Event
from marketlake.feeds.live.ledger import Ledger
from marketlake.feeds.live.plan import make_sources
from marketlake.feeds.live.ports import LiveSource
from marketlake.feeds.live.supervisor import Supervisor
from marketlake.settings.model import FeedSettings

from .local_venues import LocalVenues

ALL_TIME_MS = 10**13


def settings_for(server: LocalVenues, *venues: str, **changes: Any) -> FeedSettings:
    """Settings that lead to the local server and lose no time; history counts as news."""
    quick = {
        "gateways": dict.fromkeys(venues, server.address),
        "connect_timeout_ms": 3_000,
        "subscriptions_per_s": 1_000,
        "history_ms": ALL_TIME_MS,
        "backoff_first_ms": 20,
        "backoff_max_ms": 100,
    }
    return FeedSettings(**{**quick, **changes})


def source_of(
    settings: FeedSettings,
    ledger: Ledger,
    venue: str,
    instrument: str,
    *channels: str,
    credentials: tuple[str, str] | None = None,
) -> LiveSource:
    """Make the one source of an instrument."""
    [source] = make_sources({venue: (instrument,)}, channels, settings, ledger, credentials)
    return source


def supervise(
    source: LiveSource,
    settings: FeedSettings,
    ledger: Ledger,
    until: Any,
    timeout_s: float = 20.0,
) -> list[Event]:
    """Keep a source going until ``until(events)`` is true, and give the events."""
    events: list[Event] = []
    done = asyncio.Event()

    async def deliver(event: Event) -> bool:
        events.append(event)
        ledger.handed_on(event)
        return True

    async def watch() -> None:
        while not until(events):
            await asyncio.sleep(0.02)
        done.set()

    async def run() -> None:
        supervisor = asyncio.create_task(Supervisor(source, deliver, settings, ledger).run())
        watching = asyncio.create_task(watch())
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.wait({supervisor, watching}, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            raise AssertionError(f"still waiting; {events[-5:]} {ledger.as_json()}") from None
        finally:
            for task in (supervisor, watching):
                task.cancel()
            await asyncio.gather(supervisor, watching, return_exceptions=True)

    asyncio.run(run())
    return events


def first_session(source: LiveSource, timeout_s: float = 20.0) -> tuple[list[Event], Exception]:
    """Give the events of one life of a source, and what ended it."""
    events: list[Event] = []

    async def run() -> Exception:
        try:
            async with asyncio.timeout(timeout_s), aclosing(source.events()) as given:
                async for event in given:
                    events.append(event)  # noqa: PERF401 - kept even where it then raises
        except Exception as error:  # noqa: BLE001 - it is what the test asks for
            return error
        raise AssertionError("the source ended by itself")

    return events, asyncio.run(run())
