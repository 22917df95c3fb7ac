"""Gemini: market data version 2, level-2 updates and trades."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from marketlake.contracts.events import Event, Trade
from marketlake.feeds.venues.base import Normaliser, aggressor, parted
from marketlake.feeds.venues.clock import us_of_ms
from marketlake.feeds.venues.symbols import longest_first, split_symbol

_QUOTES: Final = longest_first("USD GUSD USDT USDC DAI BTC ETH LTC BCH EUR GBP SGD")


class GeminiNormaliser(Normaliser):
    """The first ``l2_updates`` of a symbol is its snapshot and is known by its ``trades``: recent
    trades, emitted with their ids, oldest first. Level-2 messages carry no time: the receive time
    is taken. They carry no sequence number either.
    """

    venue: ClassVar[str] = "gemini"

    def _name(self, symbol: str) -> str | None:
        if symbol.endswith("PERP"):
            return None
        parts = split_symbol(symbol, _QUOTES)
        return symbol if parts is None else "-".join(parts)

    def _events(self, message: Any, received_time_us: int) -> list[Event]:
        kind = message["type"]
        if kind == "heartbeat":
            return self._skip("heartbeat")
        if kind not in ("l2_updates", "trade"):
            known = kind in ("subscription_ack", "subscribe", "unsubscribe")
            return self._skip("subscription" if known else "unsupported_channel")
        instrument = self._instrument(message["symbol"])
        if instrument is None:
            return []
        if kind == "trade":
            return [self._print(instrument, message, received_time_us)]
        return self._level2(instrument, message, received_time_us)

    def _level2(
        self, instrument: str, message: dict[str, Any], received_time_us: int
    ) -> list[Event]:
        sides = parted(message["changes"])
        if sides is None:
            return self._gap(instrument, "malformed")
        events: list[Event] = []
        if "trades" in message:
            book = self._load_book(instrument, *sides)
            events += sorted(
                (self._print(instrument, row, received_time_us) for row in message["trades"]),
                key=lambda trade: (trade.event_time_us, trade.sequence or 0),
            )
        else:
            changed = self._change_book(instrument, *sides)
            if changed is None:
                return []
            book = changed
        time_us = self._local_time(received_time_us)
        return events + self._book_event(book, instrument, time_us, received_time_us)

    def _print(self, instrument: str, row: dict[str, Any], received_time_us: int) -> Trade:
        return self._trade(
            instrument,
            us_of_ms(row["timestamp"]),
            float(row["price"]),
            float(row["quantity"]),
            aggressor(row["side"]),
            received_time_us,
            trade_id=row["event_id"],
            sequence=row["event_id"],
        )
