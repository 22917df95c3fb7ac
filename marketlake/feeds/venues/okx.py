"""OKX: public channels of the version 5 WebSocket, spot and swaps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

from marketlake.contracts.events import Bar, Event
from marketlake.feeds.venues.base import Normaliser, aggressor
from marketlake.feeds.venues.clock import us_of_ms

_CANDLES: Final = {
    "candle1s": "1s",
    "candle1m": "1m",
    "candle5m": "5m",
    "candle15m": "15m",
    "candle1H": "1h",
    "candle4H": "4h",
    "candle1Dutc": "1d",
}
"""``candle1D`` opens at midnight in Hong Kong, so it is no bar of ours."""

_WHOLE_BOOKS: Final = ("books5", "bbo-tbt")
_CHANGING_BOOKS: Final = ("books", "books50-l2-tbt", "books-l2-tbt")

_Reader = Callable[[str, dict[str, Any], Any, int], list[Event]]
"""``(instrument, message, one row of its data, receive time)`` to events."""


class OkxNormaliser(Normaliser):
    """Quantities of swaps are contracts; the reference table holds their size.

    Book changes are chained by ``prevSeqId`` where the frames have it (from 2023).
    """

    venue: ClassVar[str] = "okx"

    def __init__(self, *, clock_offset_us: int = 0) -> None:
        super().__init__(clock_offset_us=clock_offset_us)
        self._readers: dict[str, _Reader] = {
            "tickers": self._ticker_row,
            "trades": self._trade_row,
            "trades-all": self._trade_row,
            **dict.fromkeys(_CANDLES, self._candle_row),
            **dict.fromkeys((*_WHOLE_BOOKS, *_CHANGING_BOOKS), self._book_row),
        }

    def _name(self, symbol: str) -> str | None:
        parts = symbol.split("-")
        if len(parts) == 2:
            return symbol
        if len(parts) == 3 and parts[2] == "SWAP":
            return f"{parts[0]}-{parts[1]}-PERP"
        return None

    def _events(self, message: Any, received_time_us: int) -> list[Event]:
        if "event" in message:
            known = message["event"] in ("subscribe", "unsubscribe")
            return self._skip("subscription" if known else "status")
        channel, symbol = message["arg"]["channel"], message["arg"].get("instId", "")
        read = self._readers.get(channel)
        if read is None:
            return self._skip("unsupported_channel")
        instrument = self._instrument(symbol)
        if instrument is None:
            return []
        events: list[Event] = []
        for row in message["data"]:
            events += read(instrument, message, row, received_time_us)
        return events

    def _ticker_row(
        self, instrument: str, _message: dict[str, Any], row: dict[str, str], received: int
    ) -> list[Event]:
        bid = float(row["bidPx"] or 0.0), float(row["bidSz"] or 0.0)
        ask = float(row["askPx"] or 0.0), float(row["askSz"] or 0.0)
        return self._quote(instrument, us_of_ms(row["ts"]), bid, ask, received)

    def _trade_row(
        self, instrument: str, _message: dict[str, Any], row: dict[str, str], received: int
    ) -> list[Event]:
        return [
            self._trade(
                instrument,
                us_of_ms(row["ts"]),
                float(row["px"]),
                float(row["sz"]),
                aggressor(row["side"]),
                received,
                trade_id=row["tradeId"],
                sequence=int(row["tradeId"]),
            )
        ]

    def _candle_row(
        self, instrument: str, message: dict[str, Any], row: list[str], received: int
    ) -> list[Event]:
        if row[-1] != "1":
            return self._skip("open_bar")
        open_, high, low, close, volume = (float(text) for text in row[1:6])
        return [
            Bar(
                venue=self.venue,
                instrument=instrument,
                event_time_us=us_of_ms(row[0]),
                interval=_CANDLES[message["arg"]["channel"]],
                open=open_,
                high=high,
                low=low,
                close=close,
                volume=volume,
                received_time_us=received,
            )
        ]

    def _book_row(
        self, instrument: str, message: dict[str, Any], row: dict[str, Any], received: int
    ) -> list[Event]:
        channel = message["arg"]["channel"]
        key = f"{instrument} {channel}"
        number = row.get("seqId")
        if channel in _WHOLE_BOOKS or message["action"] == "snapshot":
            book = self._load_book(key, row["bids"], row["asks"], number)
        else:
            standing = self._books.get(key)
            if (
                standing is not None
                and row.get("prevSeqId", standing.sequence) != standing.sequence
            ):
                return self._gap(key)
            changed = self._change_book(key, row["bids"], row["asks"], number)
            if changed is None:
                return []
            book = changed
        return self._book_event(book, instrument, us_of_ms(row["ts"]), received)
