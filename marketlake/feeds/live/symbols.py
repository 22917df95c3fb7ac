"""Our instruments and the markets of a ccxt class: which is which, and what their amounts count."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from marketlake.contracts.instruments import Instrument, resolve
from marketlake.feeds.live.ports import FeedError
from marketlake.feeds.live.venues import LiveVenue

_NEAR = 4


@dataclass(frozen=True, slots=True)
class Listing:
    """An instrument as a venue lists it.

    Attributes
    ----------
    symbol : str
        ccxt's unified symbol, such as ``BTC/USDT:USDT``.
    per_amount : float
        Units of the wire's ``quantity`` in one unit of ccxt's amount; 1 where they count alike.
    """

    instrument: str
    symbol: str
    per_amount: float


def instrument_of(market: Mapping[str, Any]) -> str | None:
    """Name a ccxt market as the wire does; None for what the wire has no name for.

    Dated futures, options and contracts settled in a third asset have none.
    """
    base, quote = market["base"], market["quote"]
    if market.get("spot"):
        return f"{base}-{quote}"
    if market.get("swap") and market.get("settle") in (base, quote, "USD", "USDC", "USDT"):
        return f"{base}-{quote}-PERP"
    return None


def list_instrument(
    venue: LiveVenue, instrument: str, markets: Mapping[str, Mapping[str, Any]]
) -> Listing:
    """Find an instrument among the markets of a ccxt class.

    Parameters
    ----------
    markets : mapping
        ccxt's ``markets``, by unified symbol.

    Raises
    ------
    FeedError
        The venue does not list it, or its contract size is unknown here.
    """
    known = resolve(venue.name, instrument)
    found = [
        market
        for market in markets.values()
        if instrument_of(market) == instrument and market.get("active") is not False
    ]
    if not found:
        raise FeedError(f"{venue.name} has no {instrument}{_near(instrument, markets)}")
    if known is None:
        raise FeedError(
            f"{venue.name} lists {instrument}, but the reference table cannot tell its contract:"
            " add it to marketlake/contracts/instruments.py"
        )
    market = _meant(known, found)
    return Listing(instrument, market["symbol"], _per_amount(venue, known, market))


def _meant(known: Instrument, found: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Choose the contract that the reference table describes: linear or inverse."""
    if known.market != "perp":
        return found[0]
    kind: Literal["linear", "inverse"] = (
        "linear" if known.contract_currency == "base" else "inverse"
    )
    for market in found:
        if market.get(kind):
            return market
    raise FeedError(
        f"{known.venue} lists {known.instrument} only as {found[0]['symbol']}, which is not {kind}"
        " as the reference table has it"
    )


def _per_amount(venue: LiveVenue, known: Instrument, market: Mapping[str, Any]) -> float:
    if known.market != "perp":
        return 1.0
    size = 1.0 if venue.amounts == "currency" else float(market.get("contractSize") or 1.0)
    return size / known.contract_size


def _near(instrument: str, markets: Mapping[str, Mapping[str, Any]]) -> str:
    names = {name for market in markets.values() if (name := instrument_of(market)) is not None}
    return near(instrument, names)


def near(wanted: str, names: Iterable[str]) -> str:
    """Name those that come near what was wanted, as the end of an error's line."""
    known = sorted(names)
    same_base = [name for name in known if name.startswith(wanted.partition("-")[0] + "-")]
    close = get_close_matches(wanted, known, _NEAR, 0.7) or same_base[:_NEAR]
    return f"; near it: {', '.join(close)}" if close else ""
