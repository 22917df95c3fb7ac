"""Checks of books that the venue offers and the ccxt class does not make, or gets wrong.

ccxt's check of Kraken's checksum needs the numbers as text, which its class no longer has; ours,
written for recorded frames, takes numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log10
from typing import Any, Final, Protocol

from marketlake.feeds.venues.kraken import book_checksum
from marketlake.feeds.venues.order_book import OrderBook, parse_levels

_KRAKEN_LEVELS: Final = 10


class BookCheck(Protocol):
    """Looks at a message of a book channel that was just applied."""

    def wrong(self, exchange: Any, message: Mapping[str, Any]) -> str | None:
        """Say what is wrong with the book that the message changed; None where it is right."""
        ...


class KrakenChecksum:
    """CRC-32 of the ten best levels, which Kraken sends along with each change."""

    def wrong(self, exchange: Any, message: Mapping[str, Any]) -> str | None:
        """See :class:`BookCheck`."""
        for row in message.get("data", ()):
            symbol, checksum = row.get("symbol"), row.get("checksum")
            book = exchange.orderbooks.get(symbol)
            if checksum is None or book is None:
                continue
            standing = OrderBook(
                parse_levels(book["bids"][:_KRAKEN_LEVELS]),
                parse_levels(book["asks"][:_KRAKEN_LEVELS]),
            )
            decimals = round(-log10(float(exchange.markets[symbol]["precision"]["price"])))
            ours = book_checksum(standing, decimals)
            if ours is not None and ours != checksum:
                return f"the book of {symbol} fails its checksum"
        return None


class DeribitChangeIds:
    """Each change names the one before it."""

    def __init__(self) -> None:
        self._last: dict[str, Any] = {}

    def wrong(self, exchange: Any, message: Mapping[str, Any]) -> str | None:  # noqa: ARG002
        """See :class:`BookCheck`."""
        data = message.get("params", {}).get("data", {})
        name, number = data.get("instrument_name"), data.get("change_id")
        before, last = data.get("prev_change_id"), self._last.get(name)
        self._last[name] = number
        if before is not None and last is not None and before != last:
            return f"the book of {name} lacks the changes between {last} and {before}"
        return None


OWN_CHECKS: Final[Mapping[str, type[BookCheck]]] = {
    "kraken": KrakenChecksum,
    "deribit": DeribitChangeIds,
}
"""By ccxt class."""
