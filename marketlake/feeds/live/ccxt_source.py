"""A venue watched through ccxt: its markets, once, and a session for each connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from marketlake.contracts.events import INTERVAL_US, Event
from marketlake.feeds.live.ccxt_channels import Watched
from marketlake.feeds.live.ccxt_client import load_ccxt, make_exchange, now_us, one_line
from marketlake.feeds.live.ccxt_session import CcxtSession
from marketlake.feeds.live.closing import to_the_end
from marketlake.feeds.live.ledger import Ledger
from marketlake.feeds.live.memory import Memory
from marketlake.feeds.live.ports import Channel, SourceLostError, Subscription
from marketlake.feeds.live.symbols import Listing, list_instrument
from marketlake.feeds.live.venues import LiveVenue
from marketlake.settings.model import FeedSettings

_MARKETS_TIMEOUTS = 6
"""Loading the markets is several requests, each with the settings' timeout."""


class CcxtSource:
    """One venue, or that part of it which one ccxt class covers.

    Parameters
    ----------
    ccxt_class : str
        Name of the class in ``ccxt.pro``.
    instruments : sequence of str
        Wire names.
    channels : sequence of str
        Those wanted; what the venue does not publish is left out.
    """

    def __init__(
        self,
        venue: LiveVenue,
        ccxt_class: str,
        instruments: Sequence[str],
        channels: Sequence[Channel],
        settings: FeedSettings,
        ledger: Ledger,
    ) -> None:
        self._place = venue
        self._class = ccxt_class
        self._instruments = tuple(instruments)
        self._channels = tuple(c for c in channels if venue.publishes(c))
        self._settings = settings
        self._ledger = ledger
        self._listings: dict[str, Listing] = {}
        self._loaded: Any = None
        self._errors = load_ccxt()
        self._memory = Memory(
            repeat_trades=settings.repeat_trades,
            contiguous_ids=venue.trade_ids == "contiguous",
            begin_us=now_us() - 1_000 * settings.history_ms,
            bar_us=INTERVAL_US[settings.bar_interval],
        )

    @property
    def venue(self) -> str:
        """See :class:`LiveSource`."""
        return self._place.name

    @property
    def part(self) -> str:
        """See :class:`LiveSource`; the ccxt class."""
        return self._class

    @property
    def subscriptions(self) -> Sequence[Subscription]:
        """See :class:`LiveSource`."""
        return [
            Subscription(self.venue, listing.instrument, channel, listing.symbol)
            for listing in self._listings.values()
            for channel in self._channels
        ]

    async def prepare(self) -> None:
        """See :meth:`LiveSource.prepare`; the markets are loaded once, over REST."""
        if self._loaded is not None:
            return
        exchange = make_exchange(self._class, self._place, self._settings)
        limit_s = _MARKETS_TIMEOUTS * self._settings.connect_timeout_ms / 1_000
        try:
            async with asyncio.timeout(limit_s):
                markets = await exchange.load_markets()
        except Exception as error:  # noqa: BLE001 - whatever a foreign parser raises of an answer
            raise SourceLostError(
                "unreachable", f"{self.venue}: its markets cannot be loaded ({one_line(error)})"
            ) from None
        finally:
            await to_the_end(exchange.close())
        self._listings = {
            name: list_instrument(self._place, name, markets) for name in self._instruments
        }
        if not exchange.has.get("watchOHLCV"):
            # The class of one market of a venue may lack what that of another has.
            self._channels = tuple(c for c in self._channels if c != "bars")
        self._loaded = exchange
        self._ledger.expect(self.subscriptions)

    async def close(self) -> None:
        """See :class:`LiveSource`; nothing of it outlives a connection."""

    async def events(self) -> AsyncGenerator[Event, None]:
        """See :meth:`LiveSource.events`."""
        await self.prepare()
        self._ledger.expect(self.subscriptions)
        self._memory.reconnected()
        session = CcxtSession(
            Watched(self._place, self._class, self._listings, self.subscriptions, self._loaded),
            self._settings,
            self._ledger,
            self._memory,
        )
        try:
            async with aclosing(session.events()) as events:
                async for event in events:
                    yield event
        finally:
            await to_the_end(session.close())
