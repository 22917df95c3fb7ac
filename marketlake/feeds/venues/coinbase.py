"""Coinbase Exchange: matches, level-2 books and tickers."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from marketlake.contracts.events import Event, Side
from marketlake.feeds.venues.base import Normaliser, parted
from marketlake.feeds.venues.clock import us_of_iso

_AGGRESSOR: Final[dict[str, Side]] = {"buy": "sell", "sell": "buy"}
"""A match names the maker's side."""


class CoinbaseNormaliser(Normaliser):
    """``last_match`` is the last trade before the subscription: a real one, emitted with its id.

    Snapshots carry no time: the receive time is taken. Older tickers give prices without sizes
    and are counted as ``quote_without_size``. ``l2update`` carries no sequence number, so a lost
    change cannot be seen; a reconnection sends a new snapshot.
    """

    venue: ClassVar[str] = "coinbase"

    def _name(self, symbol: str) -> str | None:
        return symbol

    def _events(self, message: Any, received_time_us: int) -> list[Event]:
        kind = message["type"]
        if kind in ("match", "last_match"):
            return self._match(message, received_time_us)
        if kind in ("l2update", "snapshot"):
            return self._level2(message, received_time_us)
        if kind == "ticker":
            return self._ticker(message, received_time_us)
        if kind == "subscriptions":
            return self._skip("subscription")
        if kind == "heartbeat":
            return self._skip("heartbeat")
        return self._skip("status" if kind in ("status", "error") else "unsupported_channel")

    def _match(self, message: dict[str, Any], received_time_us: int) -> list[Event]:
        instrument = self._instrument(message["product_id"])
        if instrument is None:
            return []
        return [
            self._trade(
                instrument,
                us_of_iso(message["time"]),
                float(message["price"]),
                float(message["size"]),
                _AGGRESSOR[message["side"]],
                received_time_us,
                trade_id=message["trade_id"],
                sequence=message["sequence"],
            )
        ]

    def _level2(self, message: dict[str, Any], received_time_us: int) -> list[Event]:
        instrument = self._instrument(message["product_id"])
        if instrument is None:
            return []
        if message["type"] == "snapshot":
            book = self._load_book(instrument, message["bids"], message["asks"])
            time_us = self._local_time(received_time_us)
            return self._book_event(book, instrument, time_us, received_time_us)
        sides = parted(message["changes"])
        if sides is None:
            return self._gap(instrument, "malformed")
        changed = self._change_book(instrument, *sides)
        if changed is None:
            return []
        return self._book_event(changed, instrument, us_of_iso(message["time"]), received_time_us)

    def _ticker(self, message: dict[str, Any], received_time_us: int) -> list[Event]:
        instrument = self._instrument(message["product_id"])
        if instrument is None:
            return []
        if "best_bid_size" not in message or "best_ask_size" not in message:
            return self._skip("quote_without_size")
        bid = float(message["best_bid"]), float(message["best_bid_size"])
        ask = float(message["best_ask"]), float(message["best_ask_size"])
        time_us = us_of_iso(message["time"])
        return self._quote(instrument, time_us, bid, ask, received_time_us, message["sequence"])
