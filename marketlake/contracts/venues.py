"""Venues: which markets each has, and what its published base tier charges.

The fees are those of the lowest tier (no volume, no token discount) of each venue's own published
schedule, and of its dearest group of pairs where pairs differ: an opportunity that is left after
them is left for anyone. They were written down by hand, not looked up live, and venues change
them: settings may override every one, and ``as_of`` says how old the figure is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Final, Literal, get_args

Market = Literal["spot", "perp", "equity", "fx"]
MARKETS: Final[tuple[Market, ...]] = get_args(Market)


@dataclass(frozen=True, slots=True)
class Funding:
    """How a venue makes the funding rate of its perpetuals from their premium.

    ``rate = premium + clamp(interest - premium, -damper, +damper)``, paid by longs to shorts where
    above zero. Caps are left out.

    Attributes
    ----------
    hours : float
        What the rate is for; some venues pay it in parts, some at once.
    interest_bps : float
        Interest of ``hours`` hours.
    damper_bps : float
        How far the premium may be from the interest without showing.
    source : str
        Where the venue says so, in words.
    """

    hours: float
    interest_bps: float
    damper_bps: float
    source: str


@dataclass(frozen=True, slots=True)
class Venue:
    """One place of trade.

    Attributes
    ----------
    name : str
        Lower-case name, as on the wire.
    taker_fee_bps : mapping of Market to float
        Fee on the notional for taking liquidity, base tier, in basis points. Its keys are the
        markets the venue has.
    maker_fee_bps : mapping of Market to float
        The same for resting orders; a market without a published figure is absent.
    source : str
        The published schedule the fees come from, in words.
    as_of : datetime.date
        The day for which the figures were written down.
    funding : Funding or None
        Of its perpetuals; None where it has none, or where it was not looked up.
    """

    name: str
    taker_fee_bps: Mapping[Market, float]
    maker_fee_bps: Mapping[Market, float]
    source: str
    as_of: date
    funding: Funding | None = None

    @property
    def markets(self) -> tuple[Market, ...]:
        """The markets this venue has, in the order of ``MARKETS``."""
        return tuple(market for market in MARKETS if market in self.taker_fee_bps)

    def has(self, market: Market) -> bool:
        """Say whether the venue has ``market``."""
        return market in self.taker_fee_bps


_AS_OF: Final = date(2025, 6, 30)
_Fees = tuple[float, float | None]
"""``(taker, maker)`` in basis points; the maker fee is None where it is not known."""


def _usual_funding(source: str) -> Funding:
    """Give the formula that most venues share: 0.03 % a day, and a damper of 0.05 %."""
    return Funding(8.0, 1.0, 5.0, source)


_FUNDING: Final[Mapping[str, Funding]] = {
    "binance": _usual_funding("Binance notice on funding of two contracts, February 2026"),
    "bybit": _usual_funding("Bybit help centre, introduction to funding rate"),
    "okx": _usual_funding(
        "OKX announcement of the formula from April 2025; before, the premium without interest "
        "and damper"
    ),
    "gateio": _usual_funding("Gate futures page, and announcement of May 2026"),
    "bitget": _usual_funding("Bitget announcement of September 2025"),
    "bitmex": _usual_funding("BitMEX perpetual contracts guide; its damper not seen again"),
    "hyperliquid": _usual_funding("Hyperliquid documentation; paid in hourly eighths"),
    "deribit": Funding(8.0, 0.0, 2.5, "Deribit support, funding specifications; paid continuously"),
}
"""For contracts with the usual interest, and funding of eight hours: some contracts have less."""


def _venue(name: str, source: str, **fees: _Fees) -> Venue:
    taker: dict[Market, float] = {}
    maker: dict[Market, float] = {}
    for market in MARKETS:
        if market in fees:
            taker_bps, maker_bps = fees[market]
            taker[market] = taker_bps
            if maker_bps is not None:
                maker[market] = maker_bps
    return Venue(
        name,
        MappingProxyType(taker),
        MappingProxyType(maker),
        source,
        _AS_OF,
        _FUNDING.get(name) if "perp" in fees else None,
    )


_TABLE: Final[tuple[Venue, ...]] = (
    _venue(
        "binance",
        "Binance fee schedule, spot VIP 0 and USD-M futures VIP 0, no BNB discount",
        spot=(10.0, 10.0),
        perp=(5.0, 2.0),
    ),
    _venue("binanceus", "Binance.US fee schedule, volume under 10,000 USD", spot=(60.0, 40.0)),
    _venue(
        "okx",
        "OKX fee schedule, regular users level 1, dearest spot pairs",
        spot=(15.0, 10.0),
        perp=(5.0, 2.0),
    ),
    _venue("bybit", "Bybit fee schedule, non-VIP", spot=(10.0, 10.0), perp=(5.5, 2.0)),
    _venue(
        "kraken",
        "Kraken Pro fee schedule, volume under 10,000 USD; Kraken Futures, base tier",
        spot=(40.0, 25.0),
        perp=(5.0, 2.0),
        fx=(20.0, 20.0),
    ),
    _venue("coinbase", "Coinbase Exchange fee schedule, under 10,000 USD", spot=(60.0, 40.0)),
    _venue(
        "huobi",
        "HTX (formerly Huobi) fee schedule, normal users",
        spot=(20.0, 20.0),
        perp=(5.0, 2.0),
    ),
    _venue("kucoin", "KuCoin fee schedule, level 0, class A", spot=(10.0, 10.0), perp=(6.0, 2.0)),
    _venue("gateio", "Gate fee schedule, VIP 0", spot=(20.0, 20.0), perp=(5.0, 2.0)),
    _venue(
        "bitfinex",
        "Bitfinex fees, base tier; derivatives fees, base tier",
        spot=(20.0, 10.0),
        perp=(6.5, 2.0),
    ),
    _venue(
        "bitstamp",
        "Bitstamp fee schedule, volume under 10,000 USD",
        spot=(40.0, 30.0),
        fx=(40.0, 30.0),
    ),
    _venue("gemini", "Gemini ActiveTrader fee schedule, base tier", spot=(40.0, 20.0)),
    _venue("bitmex", "BitMEX fees, base tier", spot=(10.0, 10.0), perp=(7.5, 2.0)),
    _venue("deribit", "Deribit fees, perpetuals", perp=(5.0, 0.0)),
    _venue("mexc", "MEXC fee schedule, base tier", spot=(5.0, 0.0), perp=(4.0, 1.0)),
    _venue("bitget", "Bitget fee schedule, VIP 0", spot=(10.0, 10.0), perp=(6.0, 2.0)),
    _venue("cryptocom", "Crypto.com Exchange fee schedule, level 1", spot=(50.0, 25.0)),
    _venue("upbit", "Upbit fees, BTC and USDT markets (KRW: 5 bps)", spot=(25.0, 25.0)),
    _venue("bithumb", "Bithumb fees, without coupon", spot=(25.0, 25.0)),
    _venue("bitflyer", "bitFlyer Lightning fees, volume under 100,000 JPY", spot=(15.0, 15.0)),
    _venue("poloniex", "Poloniex fee schedule, tier 1", spot=(20.0, 20.0)),
    _venue("phemex", "Phemex fee schedule, VIP 0", spot=(10.0, 10.0), perp=(6.0, 1.0)),
    _venue("hyperliquid", "Hyperliquid fees, tier 0", spot=(7.0, 4.0), perp=(4.5, 1.5)),
    _venue("dydx", "dYdX Chain fee schedule, tier 1", perp=(5.0, 1.0)),
    _venue("whitebit", "WhiteBIT fees, base tier", spot=(10.0, 10.0), perp=(5.5, 1.0)),
    _venue("lbank", "LBank fee schedule, base tier", spot=(10.0, 10.0), perp=(6.0, 2.0)),
    _venue("ascendex", "AscendEX fee schedule, VIP 0, altcoins", spot=(20.0, 20.0)),
    _venue("bingx", "BingX fee schedule, base tier", spot=(10.0, 10.0), perp=(5.0, 2.0)),
    _venue("bitvavo", "Bitvavo fees, category A, lowest volume", spot=(25.0, 15.0)),
    _venue("coinone", "Coinone fees, base tier", spot=(20.0, 20.0)),
    _venue("independentreserve", "Independent Reserve fees, base tier", spot=(50.0, 50.0)),
    _venue("mercado", "Mercado Bitcoin fees, base tier", spot=(70.0, 30.0)),
    _venue("alpaca", "Alpaca pricing, commission-free US equities", equity=(0.0, 0.0)),
    _venue(
        "polygon",
        "Polygon.io: consolidated data without execution, so without a fee of its own",
        equity=(0.0, None),
        fx=(0.0, None),
    ),
    _venue("oanda", "OANDA pricing, spread-only accounts, no commission", fx=(0.0, None)),
    _venue("dukascopy", "Dukascopy commissions, base tier, 35 USD a million", fx=(0.35, None)),
)

VENUES: Final[Mapping[str, Venue]] = MappingProxyType({venue.name: venue for venue in _TABLE})
"""Every known venue by its wire name."""
