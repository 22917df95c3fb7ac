"""Bitstamp: public channels of the version 2 WebSocket."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from marketlake.contracts.events import Event
from marketlake.feeds.venues.base import Normaliser
from marketlake.feeds.venues.symbols import longest_first, split_symbol

_QUOTES: Final = longest_first("USD EUR GBP BTC ETH USDT USDC PAX")

_CONTROL: Final = {
    "bts:subscription_succeeded": "subscription",
    "bts:unsubscription_succeeded": "subscription",
    "bts:heartbeat": "heartbeat",
}


class BitstampNormaliser(Normaliser):
    """Trades, and full books of ``order_book_…``.

    The snapshot that ``diff_order_book_…`` changes is given over REST only, so without it these
    are counted as ``before_snapshot``: subscribe to ``order_book_…`` for books.
    """

    venue: ClassVar[str] = "bitstamp"

    def _name(self, symbol: str) -> str | None:
        if symbol.endswith("-perp"):
            return None
        upper = symbol.upper()
        parts = split_symbol(upper, _QUOTES)
        return upper if parts is None else "-".join(parts)

    def _events(self, message: Any, received_time_us: int) -> list[Event]:
        event = message["event"]
        if event.startswith("bts:"):
            return self._skip(_CONTROL.get(event, "status"))
        channel, _, symbol = message["channel"].rpartition("_")
        data = message["data"]
        if channel == "live_trades" and event == "trade":
            return self._live_trade(symbol, data, received_time_us)
        if channel in ("order_book", "diff_order_book") and event == "data":
            instrument = self._instrument(symbol)
            if instrument is None:
                return []
            if channel == "diff_order_book":
                return self._skip("before_snapshot")
            book = self._load_book(instrument, data["bids"], data["asks"])
            time_us = int(data["microtimestamp"])
            return self._book_event(book, instrument, time_us, received_time_us)
        return self._skip("unsupported_channel")

    def _live_trade(self, symbol: str, data: dict[str, Any], received_time_us: int) -> list[Event]:
        instrument = self._instrument(symbol)
        if instrument is None:
            return []
        # The text forms hold all digits; the numbers beside them were floats at the venue already.
        return [
            self._trade(
                instrument,
                int(data["microtimestamp"]),
                float(data["price_str"]),
                float(data["amount_str"]),
                "sell" if int(data["type"]) else "buy",
                received_time_us,
                trade_id=data["id"],
                sequence=data["id"],
            )
        ]
