"""Instruments: what a venue's symbol trades, in which unit, and at what fee.

An instrument is written ``BASE-QUOTE`` or ``BASE-QUOTE-PERP``. Most are derived from the symbol;
what a symbol cannot tell, such as the size of a perpetual's contract, stands in explicit tables.
Where neither knows, the instrument is unknown: a wrong contract size would be a wrong quantity.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from marketlake.contracts.venues import VENUES, Market, Venue

AssetClass = Literal["fiat", "stable", "crypto"]
ContractCurrency = Literal["base", "quote"]

_FIAT = (
    "USD EUR GBP JPY CHF KRW AUD CAD TRY BRL SGD HKD NZD MXN ZAR PLN CZK RON SEK NOK DKK HUF "
    "RUB UAH NGN ARS COP INR IDR THB VND PHP TWD CNY ILS AED"
)
_STABLE = (
    "USDT USDC BUSD DAI FDUSD TUSD USDP GUSD PAX HUSD USDD PYUSD RLUSD USD1 USDE USDS UST "
    "EURT EURC EURI AEUR IDRT BIDR"
)
_CRYPTO = "BTC ETH BNB LTC BCH XRP TRX DOGE DOT SOL EOS KCS OKB HT"

_CLASSES: Final[tuple[tuple[AssetClass, str], ...]] = (
    ("fiat", _FIAT),
    ("stable", _STABLE),
    ("crypto", _CRYPTO),
)

QUOTE_ASSETS: Final[Mapping[str, AssetClass]] = MappingProxyType(
    {asset: kind for kind, assets in _CLASSES for asset in assets.split()}
)
"""Every asset that prices may be quoted in, with its class."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """What is traded under one name at one venue.

    Attributes
    ----------
    venue, instrument : str
        The names on the wire.
    base, quote : str
        Assets: the price is in ``quote`` for one ``base``.
    market : Market
    contract_size : float
        How much of ``contract_currency`` one unit of the wire's ``quantity`` stands for: 1 base
        for spot; for contracts, what one contract stands for. Above zero.
    contract_currency : 'base' or 'quote'
        'quote' for inverse contracts, whose quantity in base is
        ``quantity * contract_size / price``.
    tick_size, quantity_step : float or None
        Smallest steps of price and quantity; None where the table does not know them.
    taker_fee_bps : float
        Fee on the notional, base tier, in basis points.
    """

    venue: str
    instrument: str
    base: str
    quote: str
    market: Market
    contract_size: float
    contract_currency: ContractCurrency
    tick_size: float | None
    quantity_step: float | None
    taker_fee_bps: float


class _Contract(NamedTuple):
    size: float
    currency: ContractCurrency
    tick_size: float | None = None
    quantity_step: float | None = None


_EXPLICIT: Final[Mapping[tuple[str, str], _Contract]] = {
    ("binance", "BTC-USDT"): _Contract(1.0, "base", 0.01, 0.00001),
    ("binance", "ETH-USDT"): _Contract(1.0, "base", 0.01, 0.0001),
    ("binance", "BTC-USDT-PERP"): _Contract(1.0, "base", 0.1, 0.001),
    ("binance", "ETH-USDT-PERP"): _Contract(1.0, "base", 0.01, 0.001),
    ("bitmex", "BTC-USD-PERP"): _Contract(1.0, "quote", 0.5, 100.0),
    ("bitmex", "BTC-USDT-PERP"): _Contract(0.000001, "base", 0.5, 1000.0),
    # Deribit gives amounts of inverse perpetuals in USD already, not in contracts of 10 USD.
    ("deribit", "BTC-USD-PERP"): _Contract(1.0, "quote", 0.5, 10.0),
    ("deribit", "ETH-USD-PERP"): _Contract(1.0, "quote", 0.05, 1.0),
}
"""Entries that a symbol alone does not tell, or whose steps are known."""

_LINEAR_CONTRACT_SIZE: Final[Mapping[str, Mapping[str, float]]] = {
    "bitmex": {},
    "okx": {
        **dict.fromkeys(("BTC", "FIL"), 0.01),
        **dict.fromkeys(("ETH", "BCH"), 0.1),
        **dict.fromkeys(("SOL", "LTC", "LINK", "DOT", "AVAX", "UNI"), 1.0),
        **dict.fromkeys(("XRP", "ADA"), 100.0),
        **dict.fromkeys(("DOGE", "TRX"), 1000.0),
    },
    "huobi": {"BTC": 0.001, "ETH": 0.01},
    "kucoin": {"BTC": 0.001, "ETH": 0.01},
    "gateio": {"BTC": 0.0001, "ETH": 0.01},
    "mexc": {"BTC": 0.0001, "ETH": 0.01},
    "lbank": {},
}
"""Base units of one contract of stablecoin-quoted perpetuals, at venues that count in contracts.

A venue that is absent counts in base units. An asset that is absent at a listed venue is unknown.
"""

_INVERSE_CONTRACT_USD: Final[Mapping[str, Mapping[str, float]]] = {
    "binance": {"BTC": 100.0, "*": 10.0},
    "okx": {"BTC": 100.0, "*": 10.0},
    "huobi": {"BTC": 100.0, "*": 10.0},
    "bybit": {"*": 1.0},
    "phemex": {"BTC": 1.0},
}
"""US dollars of one contract of coin-margined ``-USD-PERP``; ``*`` stands for any other base."""

_LINEAR_USD_PERP_VENUES: Final = frozenset({"dydx", "hyperliquid", "kraken"})
"""Venues whose ``-USD-PERP`` are linear and counted in base units."""

_SYMBOL: Final = re.compile(r"([A-Z0-9]{1,20})-([A-Z0-9]{2,10})(-PERP)?", re.ASCII)


def _perp_contract(venue: str, base: str, quote: str) -> _Contract | None:
    size: float | None
    if quote == "USD":
        if venue in _LINEAR_USD_PERP_VENUES:
            return _Contract(1.0, "base")
        sizes = _INVERSE_CONTRACT_USD.get(venue, {})
        size = sizes.get(base, sizes.get("*"))
        return None if size is None else _Contract(size, "quote")
    if QUOTE_ASSETS[quote] != "stable":
        return None
    contracts = _LINEAR_CONTRACT_SIZE.get(venue)
    size = 1.0 if contracts is None else contracts.get(base)
    return None if size is None else _Contract(size, "base")


def _market_of(venue: Venue, base: str, quote: str, *, perp: bool) -> Market:
    if perp:
        return "perp"
    if QUOTE_ASSETS[quote] == "fiat" and QUOTE_ASSETS.get(base) == "fiat":
        return "fx"
    return "equity" if venue.has("equity") else "spot"


@lru_cache(maxsize=65_536)
def resolve(venue: str, instrument: str) -> Instrument | None:
    """Look up an instrument, deriving it from its symbol where no table entry stands.

    Parameters
    ----------
    venue : str
        Wire name of the venue, such as ``okx``.
    instrument : str
        ``BASE-QUOTE`` or ``BASE-QUOTE-PERP``.

    Returns
    -------
    Instrument or None
        None for an unknown venue, an ill-formed symbol, an unknown quote asset, base equal to
        quote, a market the venue does not have, or a perpetual of unknown contract size.

    Notes
    -----
    Cached; both answers of equal arguments are the same object.
    """
    place = VENUES.get(venue)
    symbol = _SYMBOL.fullmatch(instrument)
    if place is None or symbol is None:
        return None
    base, quote, perp = symbol.groups()
    if quote not in QUOTE_ASSETS or base == quote:
        return None
    market = _market_of(place, base, quote, perp=perp is not None)
    if not place.has(market):
        return None
    contract = _EXPLICIT.get((venue, instrument))
    if contract is None:
        contract = _perp_contract(venue, base, quote) if perp else _Contract(1.0, "base")
    if contract is None:
        return None
    return Instrument(
        venue=venue,
        instrument=instrument,
        base=base,
        quote=quote,
        market=market,
        contract_size=contract.size,
        contract_currency=contract.currency,
        tick_size=contract.tick_size,
        quantity_step=contract.quantity_step,
        taker_fee_bps=place.taker_fee_bps[market],
    )


def with_fee(instrument: Instrument, taker_fee_bps: float) -> Instrument:
    """Return the instrument with another taker fee, in basis points.

    Raises
    ------
    ValueError
        The fee is not a number between -100 and 1,000 bps.
    """
    if not -100.0 <= taker_fee_bps <= 1_000.0:
        raise ValueError(
            f"taker fee of {instrument.venue} {instrument.instrument} is {taker_fee_bps!r} bps; "
            "give a number of basis points between -100 (rebate) and 1000"
        )
    if taker_fee_bps == instrument.taker_fee_bps:
        return instrument
    return replace(instrument, taker_fee_bps=float(taker_fee_bps))


UNKNOWN_MARKET: Final = "unknown"
"""The ``market`` partition of rows whose instrument is not known."""


def partition_market(venue: str, instrument: str) -> str:
    """Name the ``market`` partition of a row: the instrument's market, or ``UNKNOWN_MARKET``."""
    known = resolve(venue, instrument)
    return UNKNOWN_MARKET if known is None else known.market
