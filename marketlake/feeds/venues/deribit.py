"""Deribit: JSON-RPC notifications of trades, tickers, quotes and books."""

from __future__ import annotations

from typing import Any, ClassVar

from marketlake.contracts.events import Event
from marketlake.feeds.venues.base import Normaliser, aggressor
from marketlake.feeds.venues.clock import us_of_ms


class DeribitNormaliser(Normaliser):
    """Perpetuals; options and dated futures have no name on our wire.

    Amounts of inverse perpetuals are in US dollars, of linear ones in base units. Book changes
    are chained by ``prev_change_id``.
    """

    venue: ClassVar[str] = "deribit"

    def _name(self, symbol: str) -> str | None:
        asset, _, kind = symbol.partition("-")
        if kind != "PERPETUAL":
            return None if kind else symbol.replace("_", "-")
        base, _, quote = asset.partition("_")
        return f"{base}-{quote or 'USD'}-PERP"

    def _events(self, message: Any, received_time_us: int) -> list[Event]:
        if message.get("method") != "subscription":
            return self._skip(self._control_reason(message))
        params = message["params"]
        parts = params["channel"].split(".")
        data = params["data"]
        if parts[0] == "trades":
            return self._trades(data, received_time_us)
        if parts[0] in ("ticker", "quote"):
            return self._best(data, received_time_us)
        # book.NAME.INTERVAL sends changes, book.NAME.GROUP.DEPTH.INTERVAL whole books; a group
        # other than none adds neighbouring levels up.
        if parts[0] == "book" and (len(parts) == 3 or parts[2] == "none"):
            read = self._book_change if len(parts) == 3 else self._whole_book
            return read(data, received_time_us)
        return self._skip("unsupported_channel")

    @staticmethod
    def _control_reason(message: dict[str, Any]) -> str:
        if message.get("method") == "heartbeat":
            return "heartbeat"
        return "status" if "error" in message else "subscription"

    def _trades(self, rows: list[dict[str, Any]], received_time_us: int) -> list[Event]:
        events: list[Event] = []
        for row in rows:
            instrument = self._instrument(row["instrument_name"])
            if instrument is not None:
                events.append(
                    self._trade(
                        instrument,
                        us_of_ms(row["timestamp"]),
                        float(row["price"]),
                        float(row["amount"]),
                        aggressor(row["direction"]),
                        received_time_us,
                        trade_id=row["trade_id"],
                        sequence=row["trade_seq"],
                    )
                )
        return events

    def _best(self, data: dict[str, Any], received_time_us: int) -> list[Event]:
        instrument = self._instrument(data["instrument_name"])
        if instrument is None:
            return []
        bid = float(data["best_bid_price"] or 0.0), float(data["best_bid_amount"] or 0.0)
        ask = float(data["best_ask_price"] or 0.0), float(data["best_ask_amount"] or 0.0)
        return self._quote(instrument, us_of_ms(data["timestamp"]), bid, ask, received_time_us)

    def _book_change(self, data: dict[str, Any], received_time_us: int) -> list[Event]:
        instrument = self._instrument(data["instrument_name"])
        if instrument is None:
            return []
        # A row is [what happened, price, amount]; the amount of a deleted level is 0.
        bids = [row[1:] for row in data["bids"]]
        asks = [row[1:] for row in data["asks"]]
        number = data["change_id"]
        if data["type"] == "snapshot":
            book = self._load_book(instrument, bids, asks, number)
        else:
            standing = self._books.get(instrument)
            if standing is not None and standing.sequence != data["prev_change_id"]:
                return self._gap(instrument)
            changed = self._change_book(instrument, bids, asks, number)
            if changed is None:
                return []
            book = changed
        time_us = us_of_ms(data["timestamp"])
        return self._book_event(book, instrument, time_us, received_time_us)

    def _whole_book(self, data: dict[str, Any], received_time_us: int) -> list[Event]:
        instrument = self._instrument(data["instrument_name"])
        if instrument is None:
            return []
        key = f"{instrument} whole"
        book = self._load_book(key, data["bids"], data["asks"], data["change_id"])
        time_us = us_of_ms(data["timestamp"])
        return self._book_event(book, instrument, time_us, received_time_us)
