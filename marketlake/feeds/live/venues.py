"""Venues that are watched through ccxt: what each offers there, and where it differs.

A new venue is a line here; nothing else is to be written. What the lines say is compared with the
installed ccxt by the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

from marketlake.contracts.venues import Market
from marketlake.feeds.live.ports import Channel

QuoteSource = Literal["bids_asks", "ticker"]
BookCheck = Literal["sequence", "checksum", "whole", "none"]
TradeIds = Literal["contiguous", "opaque"]

_SPOT_AND_SWAP: Final[Mapping[str, Any]] = {"fetchMarkets": {"types": ["spot", "swap"]}}


@dataclass(frozen=True, slots=True)
class LiveVenue:
    """How a venue is watched.

    Attributes
    ----------
    name : str
        Wire name.
    classes : mapping of Market to str
        The ccxt class of each market.
    quotes : 'bids_asks', 'ticker' or None
        Where best prices with their sizes come from. None where the venue sends none: tickers
        without sizes, or whose sizes are something else (sums over levels, volumes of a day), are
        no quotes. The book has them.
    bars : bool
        The venue publishes bars.
    book_limit : int or None
        Depth to ask for, at least 20; None for the venue's own, where that is enough.
    book_check : str
        How a lost change of a book is noticed: by ``sequence`` or ``checksum``, by ccxt's class or
        ours; ``whole`` where each message has the whole book, ``none`` where nothing tells. There a
        message that cannot be read costs the connection.
    trade_ids : 'contiguous' or 'opaque'
        Whether each trade's id is its predecessor's plus one, so that a missing one shows.
    trade_time : str or None
        Field of the venue's own message with the time in ISO 8601, where that is finer than a
        millisecond.
    book_trades : tuple of str, or None
        A field of the venue's own message, and the value it has for executions against the book;
        with another value it is none (insurance fund, liquidation).
    amounts : 'contracts' or 'currency'
        What ccxt's amounts of perpetuals count. ``currency``: what a contract is made of.
    options : mapping
        Options of the ccxt class.
    """

    name: str
    classes: Mapping[Market, str]
    quotes: QuoteSource | None = None
    bars: bool = True
    book_limit: int | None = None
    book_check: BookCheck = "none"
    trade_ids: TradeIds = "opaque"
    trade_time: str | None = None
    book_trades: tuple[str, str] | None = None
    amounts: Literal["contracts", "currency"] = "contracts"
    options: Mapping[str, Any] = field(default_factory=dict)

    def publishes(self, channel: Channel) -> bool:
        """Say whether the venue has a channel that can be used."""
        if channel == "quotes":
            return self.quotes is not None
        return channel != "bars" or self.bars


def _spot(ccxt_class: str) -> Mapping[Market, str]:
    return {"spot": ccxt_class, "fx": ccxt_class}


def _spot_and_perp(spot: str, perp: str | None = None) -> Mapping[Market, str]:
    return {**_spot(spot), "perp": perp or spot}


_TABLE: Final[tuple[LiveVenue, ...]] = (
    LiveVenue(
        "binance",
        _spot_and_perp("binance"),
        "bids_asks",
        book_limit=1_000,
        book_check="sequence",
        trade_ids="contiguous",
        book_trades=("X", "MARKET"),
    ),
    LiveVenue(
        "binanceus",
        _spot("binanceus"),
        "bids_asks",
        book_limit=1_000,
        book_check="sequence",
        trade_ids="contiguous",
    ),
    LiveVenue(
        "okx", _spot_and_perp("okx"), "bids_asks", book_check="sequence", options=_SPOT_AND_SWAP
    ),
    LiveVenue(
        "bybit",
        _spot_and_perp("bybit"),
        "bids_asks",
        book_limit=50,
        options={"fetchMarkets": {"types": ["spot", "linear", "inverse"]}},
    ),
    LiveVenue(
        "kraken",
        _spot_and_perp("kraken", "krakenfutures"),
        "bids_asks",
        book_limit=25,
        book_check="checksum",
        trade_ids="contiguous",
        trade_time="timestamp",
    ),
    LiveVenue(
        "coinbase",
        _spot("coinbase"),
        "ticker",
        bars=False,
        trade_ids="contiguous",
        trade_time="time",
    ),
    LiveVenue("huobi", _spot_and_perp("htx"), book_check="sequence"),
    LiveVenue("kucoin", _spot_and_perp("kucoin", "kucoinfutures"), "bids_asks"),
    LiveVenue(
        "gateio",
        _spot_and_perp("gate"),
        "bids_asks",
        book_check="sequence",
        options=_SPOT_AND_SWAP,
    ),
    LiveVenue("bitfinex", _spot_and_perp("bitfinex"), book_limit=25, book_check="checksum"),
    LiveVenue("bitstamp", _spot("bitstamp"), bars=False),
    LiveVenue("gemini", _spot("gemini"), "bids_asks"),
    LiveVenue(
        "deribit", {"perp": "deribit"}, "bids_asks", book_check="sequence", amounts="currency"
    ),
    LiveVenue("mexc", _spot_and_perp("mexc"), "bids_asks"),
    LiveVenue("bitget", _spot_and_perp("bitget"), "bids_asks", book_check="checksum"),
    LiveVenue("cryptocom", _spot("cryptocom"), "bids_asks", book_check="sequence"),
    LiveVenue("upbit", _spot("upbit"), book_check="whole"),
    LiveVenue("bithumb", _spot("bithumb"), bars=False, book_check="whole"),
    LiveVenue("poloniex", _spot("poloniex")),
    LiveVenue("phemex", _spot_and_perp("phemex")),
    LiveVenue("hyperliquid", _spot_and_perp("hyperliquid"), book_check="whole"),
    LiveVenue("dydx", {"perp": "dydx"}),
    LiveVenue("whitebit", _spot_and_perp("whitebit"), book_limit=20),
    LiveVenue("lbank", _spot_and_perp("lbank"), book_check="whole"),
    LiveVenue("bingx", _spot_and_perp("bingx"), book_check="whole"),
    LiveVenue("bitvavo", _spot("bitvavo"), "bids_asks"),
    LiveVenue("coinone", _spot("coinone"), "ticker", bars=False, book_check="whole"),
    LiveVenue("independentreserve", _spot("independentreserve"), bars=False, book_check="checksum"),
)

LIVE_VENUES: Final[Mapping[str, LiveVenue]] = MappingProxyType(
    {venue.name: venue for venue in _TABLE}
)
"""Every venue that is watched through ccxt, by its wire name."""

EQUITY_VENUES: Final = ("alpaca",)
"""Venues with an adapter of their own."""

LIVE_NAMES: Final = (*LIVE_VENUES, *EQUITY_VENUES)
