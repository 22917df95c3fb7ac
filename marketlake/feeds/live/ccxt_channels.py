"""The channels of a venue: what ccxt hears on them, made into events; the rest is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from marketlake.contracts.events import Event
from marketlake.feeds.live.ccxt_client import TRADES_KEPT, Taps, now_us
from marketlake.feeds.live.ccxt_events import (
    bar_event,
    book_event,
    is_off_book,
    quote_event,
    trade_event,
)
from marketlake.feeds.live.ledger import Ledger
from marketlake.feeds.live.memory import Memory, TradeHistory
from marketlake.feeds.live.ports import Subscription
from marketlake.feeds.live.symbols import Listing
from marketlake.feeds.live.venues import LiveVenue
from marketlake.settings.model import FeedSettings

MALFORMED: Final = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError)
_CROSSED_MAX: Final = 10
"""States in a row of a book, crossed or empty, after which it counts as wrong."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What a session watches.

    Attributes
    ----------
    listings : mapping of str to Listing
        By wire name.
    loaded : ccxt exchange
        One with its markets loaded; they are taken over.
    """

    venue: LiveVenue
    ccxt_class: str
    listings: Mapping[str, Listing]
    subscriptions: Sequence[Subscription]
    loaded: Any


class CcxtChannels:
    """Watches channels, one update at a time, and gives the events that come of it.

    Parameters
    ----------
    exchange : ccxt exchange
        Of this session.
    give : callable
        Takes an event, and waits where there is no room.
    """

    def __init__(
        self,
        watched: Watched,
        settings: FeedSettings,
        ledger: Ledger,
        memory: Memory,
        exchange: Any,
        taps: Taps,
        give: Callable[[Subscription, Event], Awaitable[None]],
    ) -> None:
        self._venue = watched.venue
        self._watched = watched
        self._settings = settings
        self._ledger = ledger
        self._memory = memory
        self._exchange = exchange
        self._taps = taps
        self._give = give
        self._crossed: Counter[Subscription] = Counter()
        self.taken = 0
        """Trades that were taken from ccxt, and not given yet."""
        self._watch = {
            "trades": self._watch_trades,
            "quotes": self._watch_quotes,
            "books": self._watch_book,
            "bars": self._watch_bars,
        }

    async def watch(self, one: Subscription) -> None:
        """Watch a channel for one update, and give what came.

        Raises
        ------
        ccxt.BaseError
            As ccxt raises it.
        KeyError, ValueError and others
            ``MALFORMED``: what came cannot be read.
        """
        await self._watch[one.channel](one)

    def _listing(self, one: Subscription) -> Listing:
        return self._watched.listings[one.instrument]

    async def _watch_trades(self, one: Subscription) -> None:
        trades: Sequence[Mapping[str, Any]] = await self._exchange.watch_trades(one.symbol)
        if one.symbol in self._exchange.trades:
            await self.give_held(one)
        else:
            await self._give_trades(one, trades)

    async def give_held(self, one: Subscription) -> None:
        """Give all trades that ccxt holds, taking them out: each is seen once."""
        held = self._exchange.trades.get(one.symbol)
        while held:
            trades = list(held)
            held.clear()
            if len(trades) >= TRADES_KEPT:
                self._ledger.gaps[one.venue, one.channel] += 1
                self._ledger.skip(one.venue, "overrun")
            await self._give_trades(one, trades)

    async def _give_trades(self, one: Subscription, trades: Sequence[Mapping[str, Any]]) -> None:
        history = self._memory.trades(one.instrument)
        received_us = now_us()
        self.taken += len(trades)
        for raw in trades:
            trade = self._admitted(one, history, raw, received_us)
            if trade is not None:
                await self._give(one, trade)
            self.taken -= 1

    def _admitted(
        self, one: Subscription, history: TradeHistory, raw: Mapping[str, Any], received_us: int
    ) -> Event | None:
        """Make a trade, unless there is a reason against it, which is counted."""
        try:
            trade = trade_event(self._venue, self._listing(one), raw, received_us)
        except MALFORMED:
            self._ledger.skip(one.venue, "malformed")
            return None
        reason = history.refuse(trade)
        if reason is None and is_off_book(self._venue, raw):
            reason = "off_book_trade"  # known by now: its id leaves no hole
        if history.missed:
            self._ledger.gaps[one.venue, "trades"] += 1
            self._ledger.missed_trades[one.venue] += history.missed
        if reason is None:
            return trade
        self._ledger.skip(one.venue, reason)
        return None

    async def _watch_quotes(self, one: Subscription) -> None:
        exchange = self._exchange
        if self._venue.quotes == "ticker":
            ticker = await exchange.watch_ticker(one.symbol)
            held = exchange.tickers
        else:
            ticker = (await exchange.watch_bids_asks([one.symbol])).get(one.symbol)
            held = exchange.bidsasks
        ticker = held.get(one.symbol) or ticker
        while ticker is not None:
            self._count_conflated(one)
            made = quote_event(self._venue, self._listing(one), ticker, now_us())
            if isinstance(made, str):
                self._ledger.skip(one.venue, made)
            else:
                await self._give(one, made)
            ticker = held.get(one.symbol) if self._updated(one) else None

    async def _watch_book(self, one: Subscription) -> None:
        book = await self._exchange.watch_order_book(one.symbol, self._venue.book_limit)
        while book is not None:
            if self._taps.lost.done():
                return  # it may be the very book that was found wrong
            self._count_conflated(one)
            made = book_event(self._venue, self._listing(one), book, now_us())
            if isinstance(made, str):
                self._wrong_book(one, made)
                return
            self._crossed.pop(one, None)
            await self._give(one, made)
            book = self._exchange.orderbooks.get(one.symbol) if self._updated(one) else None

    def _wrong_book(self, one: Subscription, reason: str) -> None:
        self._ledger.skip(one.venue, reason)
        self._crossed[one] += 1
        if self._crossed[one] >= _CROSSED_MAX:
            self._taps.gap(f"the book of {one.instrument} stays {reason}")

    def _updated(self, one: Subscription) -> bool:
        return (one.channel, one.symbol) in self._taps.updates

    def _count_conflated(self, one: Subscription) -> None:
        """Count the states that were replaced before they were looked at."""
        updates = self._taps.updates.pop((one.channel, one.symbol), 1)
        self._ledger.conflated[one.venue, one.channel] += updates - 1

    async def _watch_bars(self, one: Subscription) -> None:
        interval = self._settings.bar_interval
        candles = await self._exchange.watch_ohlcv(one.symbol, interval)
        received_us, listing = now_us(), self._listing(one)
        bars = [bar_event(self._venue, listing, interval, c, received_us) for c in candles]
        closed, reasons = self._memory.bars(one.instrument).update(bars)
        for reason in reasons:
            self._ledger.skip(one.venue, reason)
        for bar in closed:
            await self._give(one, bar)
