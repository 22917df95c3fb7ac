"""Bitfinex: WebSocket version 2, public channels."""

from __future__ import annotations

from typing import Any, ClassVar, Final, NamedTuple

from marketlake.contracts.events import Event
from marketlake.feeds.venues.base import Normaliser
from marketlake.feeds.venues.clock import us_of_ms
from marketlake.feeds.venues.symbols import longest_first, split_symbol

FLAG_TIMESTAMP: Final = 32_768
FLAG_SEQUENCE: Final = 65_536
"""Bits of the ``conf`` event: each array then ends in a sequence number, and in a time (ms)."""

_ASSETS: Final = {
    "ALG": "ALGO",
    "AMP": "AMPL",
    "ATO": "ATOM",
    "BAB": "BCH",
    "DAT": "DATA",
    "DOG": "MDOGE",
    "DSH": "DASH",
    "EUS": "EURS",
    "EUT": "EURT",
    "IOT": "IOTA",
    "MNA": "MANA",
    "OMN": "OMNI",
    "QSH": "QASH",
    "QTM": "QTUM",
    "SNG": "SNGLS",
    "SPK": "SPANK",
    "STJ": "STORJ",
    "TSD": "TUSD",
    "UDC": "USDC",
    "UST": "USDT",
}
"""Bitfinex's own short names, after its ``pub:map:currency:sym`` list (MDOGE: a million DOGE)."""

_QUOTES: Final = longest_first("USD EUR GBP JPY BTC ETH UST UDC XCH TRY")


class _Channel(NamedTuple):
    name: str
    symbol: str
    precision: str


class BitfinexNormaliser(Normaliser):
    """Trades (``te``; its ``tu`` is a ``repeat``) and P0 books; tickers hold sums of 25 levels
    for sizes, so they are counted as ``quote_without_size``.

    The first message of a trades channel lists recent trades: real executions with their ids,
    emitted oldest first. Books carry no time unless the connection asked for it.
    """

    venue: ClassVar[str] = "bitfinex"

    def __init__(self, *, clock_offset_us: int = 0) -> None:
        super().__init__(clock_offset_us=clock_offset_us)
        self._channels: dict[int, _Channel] = {}
        self._flags = 0
        self._sequence: int | None = None

    def reset(self) -> None:
        super().reset()
        self._channels.clear()
        self._flags = 0
        self._sequence = None

    def _name(self, symbol: str) -> str | None:
        if not symbol.startswith("t") or "TEST" in symbol:  # f…: funding; TEST…: paper trading
            return None
        pair = symbol[1:]
        parts = tuple(pair.split(":")) if ":" in pair else split_symbol(pair, _QUOTES)
        if parts is None or len(parts) != 2:
            return symbol
        perp = all(part.endswith("F0") for part in parts)
        base, quote = (part.removesuffix("F0") if perp else part for part in parts)
        name = f"{_ASSETS.get(base, base)}-{_ASSETS.get(quote, quote)}"
        return f"{name}-PERP" if perp else name

    def _events(self, message: Any, received_time_us: int) -> list[Event]:
        if isinstance(message, dict):
            return self._control(message)
        time_us: int | None = None
        body = list(message)
        if self._flags & FLAG_TIMESTAMP:
            time_us = us_of_ms(body.pop())
        sequence = self._next_sequence(body.pop()) if self._flags & FLAG_SEQUENCE else None
        if body[1] == "hb":
            return self._skip("heartbeat")
        channel = self._channels.get(body[0])
        if channel is None:
            return self._skip("unsupported_channel")
        if channel.name == "trades":
            return self._trades(channel, body, received_time_us)
        if channel.name == "book" and channel.precision.startswith("P0") and body[1] != "cs":
            if time_us is None:
                time_us = self._local_time(received_time_us)
            return self._levels(channel, body[1], time_us, sequence, received_time_us)
        return self._skip(
            "quote_without_size" if channel.name == "ticker" else "unsupported_channel"
        )

    def _control(self, message: dict[str, Any]) -> list[Event]:
        event = message["event"]
        if event == "subscribed":
            self._channels[message["chanId"]] = _Channel(
                message["channel"], message.get("symbol", ""), message.get("prec", "")
            )
        elif event == "unsubscribed":
            self._channels.pop(message["chanId"], None)
        elif event == "conf":
            self._flags = message.get("flags", 0)
        else:
            return self._skip("status")
        return self._skip("subscription")

    def _next_sequence(self, number: int) -> int:
        """Check the connection's sequence; after a gap no book of the connection is whole."""
        if self._sequence is not None and number != self._sequence + 1:
            self._books.clear()
            self._notes.append("sequence_gap")
        self._sequence = number
        return number

    def _trades(self, channel: _Channel, body: list[Any], received_time_us: int) -> list[Event]:
        if body[1] == "tu":
            return self._skip("repeat")
        if body[1] != "te" and not isinstance(body[1], list):
            return self._skip("unsupported_channel")
        instrument = self._instrument(channel.symbol)
        if instrument is None:
            return []
        rows = [body[2]] if body[1] == "te" else sorted(body[1], key=lambda row: (row[1], row[0]))
        return [
            self._trade(
                instrument,
                us_of_ms(time_ms),
                float(price),
                abs(float(amount)),
                "buy" if amount > 0 else "sell",
                received_time_us,
                trade_id=number,
                sequence=number,
            )
            for number, time_ms, amount, price in rows
        ]

    def _levels(
        self,
        channel: _Channel,
        rows: list[Any],
        time_us: int,
        sequence: int | None,
        received_time_us: int,
    ) -> list[Event]:
        instrument = self._instrument(channel.symbol)
        if instrument is None:
            return []
        if not rows or isinstance(rows[0], list):  # a snapshot, which may be empty
            bids = [(price, amount) for price, _, amount in rows if amount > 0]
            asks = [(price, -amount) for price, _, amount in rows if amount < 0]
            book = self._load_book(instrument, bids, asks, sequence)
            return self._book_event(book, instrument, time_us, received_time_us)
        price, count, amount = rows
        level = [(price, abs(amount) if count else 0.0)]
        sides = (level, []) if amount > 0 else ([], level)
        changed = self._change_book(instrument, *sides, sequence)
        if changed is None:
            return []
        return self._book_event(changed, instrument, time_us, received_time_us)
