"""Drives one source: opens it again after each loss, as often as the breaker allows."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from marketlake.contracts.errors import MarketlakeError
from marketlake.contracts.events import Event
from marketlake.feeds.live.ledger import Ledger
from marketlake.feeds.live.ports import (
    FeedError,
    LiveSource,
    SourceLostError,
    SourceRefusedError,
)
from marketlake.feeds.live.retry import Backoff, BreakerState, CircuitBreaker
from marketlake.settings.model import FeedSettings

_LOG = logging.getLogger(__name__)


class Supervisor:
    """One source, kept going.

    Parameters
    ----------
    deliver : callable
        Takes an event, waiting for room; False where no more is wanted.
    """

    def __init__(
        self,
        source: LiveSource,
        deliver: Callable[[Event], Awaitable[bool]],
        settings: FeedSettings,
        ledger: Ledger,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        backoff: Backoff | None = None,
    ) -> None:
        self._source = source
        self._deliver = deliver
        self._settings = settings
        self._ledger = ledger
        self._clock = clock
        self._sleep = sleep
        self._backoff = backoff or Backoff(
            settings.backoff_first_ms / 1_000, settings.backoff_max_ms / 1_000
        )
        self._breaker = CircuitBreaker(
            settings.breaker_failures,
            settings.breaker_window_ms / 1_000,
            settings.breaker_open_ms / 1_000,
            clock,
        )

    async def run(self) -> None:
        """Hand on events until no more is wanted, or the venue refuses for good."""
        while True:
            if self._note_breaker() == "open":
                await self._sleep(self._breaker.wait_s)
                continue
            started_s = self._clock()
            try:
                if not await self._session():
                    return
            except (SourceRefusedError, FeedError) as error:
                self._refused(error)
                return
            except SourceLostError as error:
                self._failed(error, self._clock() - started_s)
            if self._breaker.state != "open":
                await self._sleep(self._backoff.next_s())

    async def _session(self) -> bool:
        """Run one life of the source; False where no more is wanted."""
        self._ledger.venue(self._source.venue).connects += 1
        async with aclosing(self._source.events()) as events:
            async for event in events:
                if self._breaker.state != "closed":
                    self._breaker.succeeded()
                    self._note_breaker()
                if not await self._deliver(event):
                    return False
        raise SourceLostError("closed", f"{self._source.venue}: the source ended by itself")

    def _note_breaker(self) -> BreakerState:
        state = self._breaker.state
        self._ledger.venue(self._source.venue).breakers[self._source.part] = state
        return state

    def _refused(self, error: MarketlakeError) -> None:
        venue = self._source.venue
        self._ledger.venue(venue).refused.add(self._source.part)
        self._ledger.lost(venue, "refused", str(error), self._source.subscriptions, broken=True)
        _LOG.error("venue refused", extra={"venue": venue, "error": str(error)})

    def _failed(self, error: SourceLostError, lived_s: float) -> None:
        venue = self._source.venue
        if lived_s > self._settings.backoff_max_ms / 1_000:
            self._backoff.reset()
        self._breaker.failed()
        breaker = self._note_breaker()
        self._ledger.lost(
            venue,
            error.reason,
            str(error),
            self._source.subscriptions,
            broken=breaker == "open",
        )
        _LOG.warning(
            "venue lost",
            extra={
                "venue": venue,
                "reason": error.reason,
                "error": str(error),
                "breaker": breaker,
            },
        )
