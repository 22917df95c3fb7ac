"""One ccxt exchange, opened for a session, and listened to from inside.

ccxt's asyncio client has habits that a feed cannot live with: a message whose parsing raises ends
the reading of that connection without a word, and a message that updates nothing leaves no trace.
The taps here hold on to both. They override public methods of the class and of its clients only.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from marketlake.feeds.live.book_checks import OWN_CHECKS
from marketlake.feeds.live.ledger import Ledger
from marketlake.feeds.live.ports import FeedError, SourceLostError
from marketlake.feeds.live.venues import LiveVenue
from marketlake.settings.model import FeedSettings

INSTALL: Final = (
    "live feeds need ccxt, which is not installed; type: pip install 'marketlake[live]'"
)
TRADES_KEPT: Final = 100_000
"""Trades of a symbol that ccxt may hold between two looks: more than one read of a socket brings,
which it parses at a stretch. They are taken out at each look."""
_HELD_UP_S: Final = 0.005


def load_ccxt() -> Any:
    """Import ``ccxt.pro``.

    Raises
    ------
    FeedError
        The extra is not installed.
    """
    try:
        import ccxt.pro
    except ImportError:
        raise FeedError(INSTALL) from None
    return ccxt.pro


class Taps:
    """What one session hears of its connections.

    Attributes
    ----------
    lost : asyncio.Future
        Gets the error that ends the session.
    updates : Counter
        Messages that changed a book or a quote since it was taken last, by (what, symbol).
    book_symbols : set of str
        Symbols whose book is watched.
    held_up : callable
        While it gives True, no connection is read: their senders are held up by TCP.
    """

    def __init__(self, venue: LiveVenue, ledger: Ledger, clock: Callable[[], float]) -> None:
        self.venue = venue
        self.lost: asyncio.Future[SourceLostError] = asyncio.get_running_loop().create_future()
        self.updates: Counter[tuple[str, str]] = Counter()
        self.book_symbols: set[str] = set()
        self.held_up: Callable[[], bool] = lambda: False
        self.last_message_s: dict[str, float] = {}
        self._ledger = ledger
        self._clock = clock
        self._resolved = 0
        self._touched: set[tuple[str, str]] = set()

    def end(self, reason: str, message: str) -> None:
        """End the session; only the first error counts."""
        if not self.lost.done():
            self.lost.set_result(SourceLostError(reason, f"{self.venue.name}: {message}"))

    def gap(self, message: str) -> None:
        """Note that a book is wrong, which ends the session: the next begins with a snapshot."""
        if not self.lost.done():
            self._ledger.gaps[self.venue.name, "books"] += 1
            self.end("gap", message)

    def watch_client(self, client: Any) -> None:
        """Listen to a connection that ccxt is about to open."""
        handle_text, receive, resolve = (
            client.handle_text_or_binary_message,
            client.receive,
            client.resolve,
        )
        self.last_message_s[client.url] = self._clock()

        def tapped_text(data: Any) -> None:
            self._message(client.url, lambda: handle_text(data))

        async def tapped_receive() -> Any:
            while self.held_up():
                await asyncio.sleep(_HELD_UP_S)
            return await receive()

        def tapped_resolve(result: Any, message_hash: Any = None) -> Any:
            self._resolved += 1
            self._note_update(result)
            return resolve(result, message_hash)

        client.handle_text_or_binary_message = tapped_text
        client.receive = tapped_receive
        client.resolve = tapped_resolve

    def _message(self, url: str, handle: Callable[[], None]) -> None:
        self._ledger.frames[self.venue.name] += 1
        self.last_message_s[url] = self._clock()
        self._touched.clear()
        try:
            handle()
        except Exception as error:  # noqa: BLE001 - whatever a foreign parser raises
            self._unreadable(error)
        self.updates.update(self._touched)

    def _unreadable(self, error: Exception) -> None:
        self._ledger.skip(self.venue.name, "unreadable")
        if self.venue.book_check == "none":
            # It may have been a change of a book, and nothing would ever tell.
            self.end("malformed", f"a message cannot be read ({type(error).__name__})")

    def _note_update(self, result: Any) -> None:
        if not isinstance(result, dict) or not isinstance(result.get("symbol"), str):
            return
        if "bids" in result:
            self._touched.add(("books", result["symbol"]))
        elif "bid" in result:
            self._touched.add(("quotes", result["symbol"]))

    def book_message(self, handle: Callable[[], Any], all_there: Callable[[], bool]) -> Any:
        """Handle a message of a book channel; count it if it came before its book and changed none.

        Classes that wait for a snapshot over REST keep such messages and apply them to it.
        """
        resolved, there = self._resolved, all_there()
        try:
            return handle()
        except KeyError:
            # Classes that look up the book without asking whether it is there.
            if there:
                raise
        finally:
            if self._resolved == resolved and not there:
                self._ledger.skip(self.venue.name, "before_snapshot")


def _tapped_class(base: Any, taps: Taps) -> Any:
    """Derive from a ccxt class one that reports to ``taps``."""
    check = OWN_CHECKS[base.__name__]() if base.__name__ in OWN_CHECKS else None

    class Tapped(base):
        def client(self, url: str) -> Any:
            known = url in (self.clients or {})
            client = super().client(url)
            if not known:
                taps.watch_client(client)
            return client

        def handle_order_book(self, client: Any, message: Any, *rest: Any) -> Any:
            def ready() -> bool:
                books = [self.orderbooks.get(symbol) for symbol in taps.book_symbols]
                return all(book and (book["bids"] or book["asks"]) for book in books)

            handled = taps.book_message(
                lambda: super(Tapped, self).handle_order_book(client, message, *rest), ready
            )
            wrong = None if check is None else check.wrong(self, message)
            if wrong is not None:
                taps.gap(wrong)
            return handled

        def on_error(self, client: Any, error: Any) -> None:
            super().on_error(client, error)
            taps.end("network", one_line(error))

        def on_close(self, client: Any, error: Any) -> None:
            super().on_close(client, error)
            taps.end("closed", "the venue closed the connection")

    # Some classes make their own name part of what they send.
    Tapped.__name__ = base.__name__
    return Tapped


def one_line(error: object) -> str:
    """Give a foreign error as part of one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:200] + " …"


def make_exchange(
    ccxt_class: str, venue: LiveVenue, settings: FeedSettings, taps: Taps | None = None
) -> Any:
    """Make an exchange; with taps where it is to be watched.

    Raises
    ------
    FeedError
        ccxt, or the class in it, is not there.
    """
    base = getattr(load_ccxt(), ccxt_class, None)
    if base is None:
        raise FeedError(f"the installed ccxt has no WebSocket class {ccxt_class!r}")
    kind = base if taps is None else _tapped_class(base, taps)
    exchange = kind(
        {
            "enableRateLimit": True,
            "timeout": settings.connect_timeout_ms,
            "newUpdates": True,
            "options": {**venue.options, "tradesLimit": TRADES_KEPT},
            "streaming": {"connectionTimeout": settings.connect_timeout_ms},
        }
    )
    gateway = settings.gateways.get(venue.name)
    if gateway is not None:
        _through_gateway(exchange, gateway.rstrip("/"))
    return exchange


def through_gateway(address: str, gateway: str) -> str:
    """Put a gateway before an address: ``wss://a.b/c`` becomes ``ws://GATEWAY/a.b/c``."""
    match = re.fullmatch(r"(http|ws)s?://(.+)", address)
    if match is None:
        return address
    secure = gateway.startswith("https://")
    host = gateway.partition("://")[2]
    return f"{match[1]}{'s' if secure else ''}://{host}/{match[2]}"


def _through_gateway(exchange: Any, gateway: str) -> None:
    def moved(node: Any) -> Any:
        if isinstance(node, str):
            return through_gateway(node, gateway)
        if isinstance(node, Mapping):
            return {key: moved(value) for key, value in node.items()}
        return node

    exchange.urls = {**exchange.urls, "api": moved(exchange.urls["api"])}


def now_us() -> int:
    """Give the wall clock in microseconds since the epoch."""
    return time.time_ns() // 1_000
