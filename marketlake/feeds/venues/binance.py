"""Binance: spot and USD-M perpetuals, combined streams, with depth snapshots over REST."""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar, Final, Literal

from marketlake.contracts.events import INTERVAL_US, Bar, Event
from marketlake.feeds.venues.base import Normaliser
from marketlake.feeds.venues.clock import us_of_ms
from marketlake.feeds.venues.symbols import longest_first, split_symbol

BinanceMarket = Literal["spot", "perp"]
TradeStream = Literal["trade", "aggTrade"]

PENDING_CHANGES_MAX: Final = 1_000
"""Depth changes held for each symbol while its snapshot is awaited; the oldest go first."""

_SPOT_QUOTES: Final = longest_first(
    "USDT BUSD USDC FDUSD TUSD USDP PAX DAI UST BTC ETH BNB XRP TRX DOGE DOT SOL EUR GBP AUD TRY "
    "BRL RUB UAH NGN ZAR IDRT BIDR PLN RON ARS JPY MXN CZK COP AEUR EURI"
)
_PERP_QUOTES: Final = longest_first("USDT BUSD USDC")


class BinanceNormaliser(Normaliser):
    """Frames of ``/stream`` (``{"stream": …, "data": {…}}``), of ``/ws`` (the data alone) and
    REST depth snapshots.

    Parameters
    ----------
    market : 'spot' or 'perp'
        Binance writes both alike: the connection tells them apart.
    default_instrument : str, optional
        Wire instrument of REST snapshots, which name no symbol; without it they are counted as
        ``unknown_instrument``.
    trade_stream : 'trade' or 'aggTrade'
        The stream that trades are taken from. Frames of the other are counted as ``repeat``:
        both tell of the same executions.
    clock_offset_us : int
        See `Normaliser`. Spot quotes and snapshots carry no time of the exchange.

    Notes
    -----
    Depth follows Binance's "How to manage a local order book correctly": changes are held until
    the snapshot is there, those it contains already are dropped, the first applied must bridge
    it, and each later one must follow its predecessor.
    """

    venue: ClassVar[str] = "binance"

    def __init__(
        self,
        *,
        market: BinanceMarket = "spot",
        default_instrument: str | None = None,
        trade_stream: TradeStream = "trade",
        clock_offset_us: int = 0,
    ) -> None:
        super().__init__(clock_offset_us=clock_offset_us)
        self.market = market
        self.default_instrument = default_instrument
        self.trade_stream = trade_stream
        self._quotes = _SPOT_QUOTES if market == "spot" else _PERP_QUOTES
        self._pending: dict[str, deque[dict[str, Any]]] = {}
        self._unbridged: set[str] = set()

    def reset(self) -> None:
        super().reset()
        self._pending.clear()
        self._unbridged.clear()

    def _name(self, symbol: str) -> str | None:
        if "_" in symbol:  # dated futures: BTCUSDT_240927
            return None
        parts = split_symbol(symbol, self._quotes)
        if parts is None:
            return symbol
        return "-".join(parts) + ("-PERP" if self.market == "perp" else "")

    def _events(self, message: Any, received_time_us: int) -> list[Event]:
        data = message.get("data", message)
        kind = data.get("e")
        if kind == "depthUpdate":
            return self._depth(data, received_time_us)
        if kind == "bookTicker" or (kind is None and "B" in data and "A" in data):
            return self._book_ticker(data, received_time_us)
        if kind in ("trade", "aggTrade"):
            return self._execution(data, received_time_us)
        if kind == "kline":
            return self._kline(data, received_time_us)
        if "lastUpdateId" in data:
            return self._snapshot(data, received_time_us)
        return self._skip("subscription" if "id" in message else "unsupported_channel")

    def _execution(self, data: dict[str, Any], received_time_us: int) -> list[Event]:
        if data["e"] != self.trade_stream:
            return self._skip("repeat")
        # USD-M prints liquidation and insurance-fund fills as trades too, outside the book.
        if data.get("X", "MARKET") != "MARKET":
            return self._skip("off_book_trade")
        instrument = self._instrument(data["s"])
        if instrument is None:
            return []
        number = data["t" if self.trade_stream == "trade" else "a"]
        return [
            self._trade(
                instrument,
                us_of_ms(data["T"]),
                float(data["p"]),
                float(data["q"]),
                "sell" if data["m"] else "buy",
                received_time_us,
                trade_id=number,
                sequence=number,
            )
        ]

    def _book_ticker(self, data: dict[str, Any], received_time_us: int) -> list[Event]:
        instrument = self._instrument(data["s"])
        if instrument is None:
            return []
        time_us = us_of_ms(data["T"]) if "T" in data else self._local_time(received_time_us)
        bid = float(data["b"]), float(data["B"])
        ask = float(data["a"]), float(data["A"])
        return self._quote(instrument, time_us, bid, ask, received_time_us, data["u"])

    def _kline(self, data: dict[str, Any], received_time_us: int) -> list[Event]:
        bar = data["k"]
        if bar["i"] not in INTERVAL_US:
            return self._skip("unsupported_channel")
        if not bar["x"]:
            return self._skip("open_bar")
        instrument = self._instrument(data["s"])
        if instrument is None:
            return []
        return [
            Bar(
                venue=self.venue,
                instrument=instrument,
                event_time_us=us_of_ms(bar["t"]),
                interval=bar["i"],
                open=float(bar["o"]),
                high=float(bar["h"]),
                low=float(bar["l"]),
                close=float(bar["c"]),
                volume=float(bar["v"]),
                trade_count=bar["n"],
                received_time_us=received_time_us,
            )
        ]

    def _depth(self, data: dict[str, Any], received_time_us: int) -> list[Event]:
        instrument = self._instrument(data["s"])
        if instrument is None:
            return []
        if instrument not in self._books:
            self._hold(instrument, data)
            return self._skip("before_snapshot")
        verdict = self._apply(instrument, data)
        if verdict == "gap":
            self._hold(instrument, data)
            return self._gap(instrument)
        if verdict == "stale":
            return self._skip("before_snapshot")
        time_us = us_of_ms(data.get("T", data["E"]))
        return self._book_event(self._books[instrument], instrument, time_us, received_time_us)

    def _snapshot(self, data: dict[str, Any], received_time_us: int) -> list[Event]:
        instrument = self.default_instrument
        if instrument is None:
            return self._skip("unknown_instrument")
        last: int = data["lastUpdateId"]
        book = self._load_book(instrument, data["bids"], data["asks"], last)
        self._unbridged.add(instrument)
        time_us = us_of_ms(data["T"]) if "T" in data else self._local_time(received_time_us)
        for change in self._pending.pop(instrument, ()):
            verdict = self._apply(instrument, change)
            if verdict == "gap":
                return self._gap(instrument)
            if verdict == "applied":
                time_us = max(time_us, us_of_ms(change.get("T", change["E"])))
        return self._book_event(book, instrument, time_us, received_time_us)

    def _hold(self, instrument: str, data: dict[str, Any]) -> None:
        pending = self._pending.get(instrument)
        if pending is None:
            pending = self._pending[instrument] = deque(maxlen=PENDING_CHANGES_MAX)
        pending.append(data)

    def _apply(self, instrument: str, data: dict[str, Any]) -> Literal["applied", "stale", "gap"]:
        """Apply a depth change to a book that stands, by Binance's rules for its sequence."""
        last: int = self._books[instrument].sequence or 0
        first_id, final_id = data["U"], data["u"]
        spot = self.market == "spot"
        if instrument in self._unbridged:
            if final_id < last or (spot and final_id == last):
                return "stale"
            if first_id > last + (1 if spot else 0):
                return "gap"
        elif (first_id != last + 1) if spot else (data["pu"] != last):
            return "gap"
        self._change_book(instrument, data["b"], data["a"], final_id)
        self._unbridged.discard(instrument)
        return "applied"
