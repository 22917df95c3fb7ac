"""Kraken: spot, public channels of the version 1 WebSocket."""

from __future__ import annotations

from typing import Any, ClassVar, Final
from zlib import crc32

from marketlake.contracts.events import Event
from marketlake.feeds.venues.base import Normaliser, aggressor
from marketlake.feeds.venues.clock import us_of_seconds
from marketlake.feeds.venues.order_book import OrderBook

_ASSETS: Final = {"XBT": "BTC", "XDG": "DOGE"}

_VOLUME_DECIMALS: Final = 8
_CHECKSUM_LEVELS: Final = 10
_EXACT_BELOW: Final = 2.0**53


def book_checksum(book: OrderBook, price_decimals: int) -> int | None:
    """Compute Kraken's CRC-32 of the ten best levels of each side, asks first.

    Each price and volume is written with the pair's decimals, without the point and without
    leading zeros (Kraken, "Spot Websockets (v1) Book Checksum").

    Returns
    -------
    int or None
        None where a number has more digits than a double holds, so that it cannot be told.
    """
    bids, asks = book.top(_CHECKSUM_LEVELS)
    digits: list[str] = []
    for price, volume in (*asks, *bids):
        for number, decimals in ((price, price_decimals), (volume, _VOLUME_DECIMALS)):
            if number * 10.0**decimals >= _EXACT_BELOW:
                return None
            digits.append(f"{number:.{decimals}f}".replace(".", "").lstrip("0"))
    return crc32("".join(digits).encode())


class KrakenNormaliser(Normaliser):
    """Trades (without an id in version 1), the spread channel as quotes, and books.

    A book is kept to the depth subscribed: Kraken sends no removal for a level that is pushed
    beyond it. Version 1 numbers no message, but each change carries a checksum of the ten best
    levels: where it fails a change was lost, and the book is dropped.
    """

    venue: ClassVar[str] = "kraken"

    def __init__(self, *, clock_offset_us: int = 0) -> None:
        super().__init__(clock_offset_us=clock_offset_us)
        self._price_decimals: dict[str, int] = {}

    def _name(self, symbol: str) -> str | None:
        base, slash, quote = symbol.partition("/")
        if not slash:
            return symbol
        return f"{_ASSETS.get(base, base)}-{_ASSETS.get(quote, quote)}"

    def _events(self, message: Any, received_time_us: int) -> list[Event]:
        if isinstance(message, dict):
            event = message["event"]
            known = {"heartbeat": "heartbeat", "pong": "heartbeat"}
            known["subscriptionStatus"] = "subscription"
            return self._skip(known.get(event, "status"))
        channel, symbol = message[-2], message[-1]
        instrument = self._instrument(symbol)
        if instrument is None:
            return []
        if channel == "trade":
            return self._trades(instrument, message[1], received_time_us)
        if channel == "spread":
            bid_price, ask_price, time, bid_size, ask_size = message[1]
            bid = float(bid_price), float(bid_size)
            ask = float(ask_price), float(ask_size)
            return self._quote(instrument, us_of_seconds(time), bid, ask, received_time_us)
        if channel.startswith("book-"):
            depth = int(channel.removeprefix("book-"))
            return self._levels(instrument, message[1:-2], depth, received_time_us)
        return self._skip("unsupported_channel")

    def _trades(self, instrument: str, rows: list[list[str]], received_time_us: int) -> list[Event]:
        return [
            self._trade(
                instrument,
                us_of_seconds(time),
                float(price),
                float(volume),
                aggressor(side),
                received_time_us,
            )
            for price, volume, time, side, *_ in rows
        ]

    def _levels(
        self,
        instrument: str,
        parts: list[dict[str, Any]],
        depth: int,
        received_time_us: int,
    ) -> list[Event]:
        # A change of both sides comes as two objects in one frame.
        merged: dict[str, list[list[str]]] = {}
        for part in parts:
            merged.update({key: rows for key, rows in part.items() if key != "c"})
        rows = [row for side in merged.values() for row in side]
        decimals = max(
            self._price_decimals.get(instrument, 0),
            *(len(row[0].partition(".")[2]) for row in rows),
            0,
        )
        self._price_decimals[instrument] = decimals
        if "as" in merged or "bs" in merged:
            book = self._load_book(instrument, merged.get("bs", []), merged.get("as", []))
        else:
            changed = self._change_book(instrument, merged.get("b", []), merged.get("a", []))
            if changed is None:
                return []
            book = changed
            book.truncate(depth)
            sent = [int(part["c"]) for part in parts if "c" in part]
            if sent and book_checksum(book, decimals) not in (None, sent[-1]):
                return self._gap(instrument, "checksum_mismatch")
        if rows:
            time_us = max(us_of_seconds(row[2]) for row in rows)
        else:
            time_us = self._local_time(received_time_us)
        return self._book_event(book, instrument, time_us, received_time_us)
