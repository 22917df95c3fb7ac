"""BitMEX: realtime tables of quotes, trades, bars and books."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from marketlake.contracts.events import INTERVAL_US, Bar, Event, Side
from marketlake.feeds.venues.base import Normaliser
from marketlake.feeds.venues.clock import us_of_iso

_INSTRUMENTS: Final = {"XBTUSD": "BTC-USD-PERP", "XBTUSDT": "BTC-USDT-PERP"}
"""Every other contract is dated, or quanto: the base it stands for changes with the price of BTC,
so that no contract size can be given and a quantity would mean nothing next to another venue's."""

_SIDES: Final[dict[str, Side]] = {"Buy": "buy", "Sell": "sell"}
_BOOK_TABLES: Final = ("orderBookL2", "orderBookL2_25")


class BitmexNormaliser(Normaliser):
    """Quantities are contracts; the reference table holds their size.

    Book rows name a level by id, and a change of size repeats no price, so the ids are kept.
    A change of an id that is not known means a lost frame: the book is dropped, counted as
    ``sequence_gap``. The older book tables carry no time: the receive time is taken.
    """

    venue: ClassVar[str] = "bitmex"

    def __init__(self, *, clock_offset_us: int = 0) -> None:
        super().__init__(clock_offset_us=clock_offset_us)
        self._prices: dict[str, dict[int, tuple[str, float]]] = {}

    def reset(self) -> None:
        super().reset()
        self._prices.clear()

    def _name(self, symbol: str) -> str | None:
        return _INSTRUMENTS.get(symbol)

    def _events(self, message: Any, received_time_us: int) -> list[Event]:
        table = message.get("table")
        if table is None:
            known = "subscribe" in message or "unsubscribe" in message
            return self._skip("subscription" if known else "status")
        action, rows = message["action"], message["data"]
        if table in _BOOK_TABLES:
            return self._book_table(message, action, rows, received_time_us)
        if table == "orderBook10":
            read = self._book10_row
        elif table == "quote":
            read = self._quote_row
        elif table == "trade":
            read = self._trade_row
        elif table.startswith("tradeBin") and table[8:] in INTERVAL_US:
            interval = table[8:]

            def read(row: dict[str, Any], instrument: str, received: int) -> list[Event]:
                return self._bar_row(row, instrument, received, interval)

        else:
            return self._skip("unsupported_channel")
        events: list[Event] = []
        for row in rows:
            instrument = self._instrument(row["symbol"])
            if instrument is not None:
                events += read(row, instrument, received_time_us)
        return events

    def _quote_row(self, row: dict[str, Any], instrument: str, received: int) -> list[Event]:
        bid = float(row.get("bidPrice") or 0.0), float(row.get("bidSize") or 0.0)
        ask = float(row.get("askPrice") or 0.0), float(row.get("askSize") or 0.0)
        return self._quote(instrument, us_of_iso(row["timestamp"]), bid, ask, received)

    def _trade_row(self, row: dict[str, Any], instrument: str, received: int) -> list[Event]:
        return [
            self._trade(
                instrument,
                us_of_iso(row["timestamp"]),
                float(row["price"]),
                float(row["size"]),
                _SIDES[row["side"]],
                received,
                trade_id=row["trdMatchID"],
            )
        ]

    def _book10_row(self, row: dict[str, Any], instrument: str, received: int) -> list[Event]:
        book = self._load_book(f"{instrument} top 10", row["bids"], row["asks"])
        return self._book_event(book, instrument, us_of_iso(row["timestamp"]), received)

    def _bar_row(
        self, row: dict[str, Any], instrument: str, received: int, interval: str
    ) -> list[Event]:
        # BitMEX stamps a bar with its close.
        return [
            Bar(
                venue=self.venue,
                instrument=instrument,
                event_time_us=us_of_iso(row["timestamp"]) - INTERVAL_US[interval],
                interval=interval,
                open=float(row["open"]),
                high=float(row["high"]),
                low=float(row["low"]),
                close=float(row["close"]),
                volume=float(row["volume"]),
                trade_count=row["trades"],
                received_time_us=received,
            )
        ]

    def _book_table(
        self, message: dict[str, Any], action: str, rows: list[dict[str, Any]], received: int
    ) -> list[Event]:
        by_symbol: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            by_symbol.setdefault(row["symbol"], []).append(row)
        if action == "partial" and not rows:
            by_symbol[message["filter"]["symbol"]] = []
        events: list[Event] = []
        for symbol, own in by_symbol.items():
            instrument = self._instrument(symbol)
            if instrument is not None:
                events += self._book_rows(action, own, instrument, received)
        return events

    def _book_rows(
        self, action: str, rows: list[dict[str, Any]], instrument: str, received: int
    ) -> list[Event]:
        if action == "partial":
            prices = {row["id"]: (row["side"], float(row["price"])) for row in rows}
            self._prices[instrument] = prices
            sides = {
                side: [(r["price"], r["size"]) for r in rows if r["side"] == side]
                for side in _SIDES
            }
            book = self._load_book(instrument, sides["Buy"], sides["Sell"])
        else:
            if instrument not in self._books:
                return self._skip("before_snapshot")
            changes = self._book_changes(action, rows, self._prices[instrument])
            if changes is None:
                return self._gap(instrument)
            changed = self._change_book(instrument, changes["Buy"], changes["Sell"])
            if changed is None:
                return []
            book = changed
        stamps = [row["timestamp"] for row in rows if "timestamp" in row]
        time_us = us_of_iso(max(stamps)) if stamps else self._local_time(received)
        return self._book_event(book, instrument, time_us, received)

    @staticmethod
    def _book_changes(
        action: str, rows: list[dict[str, Any]], prices: dict[int, tuple[str, float]]
    ) -> dict[str, list[tuple[float, float]]] | None:
        """Turn rows of levels by id into levels by price; None where an id is not known."""
        changes: dict[str, list[tuple[float, float]]] = {side: [] for side in _SIDES}
        for row in rows:
            number, side = row["id"], row["side"]
            if action == "insert":
                prices[number] = (side, float(row["price"]))
            known = prices.get(number)
            if known is None:
                return None
            old_side, price = known
            if old_side != side:  # the level's price was crossed: it now rests on the other side
                changes[old_side].append((price, 0.0))
                prices[number] = (side, price)
            if action == "delete":
                del prices[number]
            changes[side].append((price, 0.0 if action == "delete" else row["size"]))
        return changes
