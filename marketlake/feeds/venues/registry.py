"""Which normaliser reads which venue."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from marketlake.feeds.venues.base import Normaliser
from marketlake.feeds.venues.binance import BinanceNormaliser
from marketlake.feeds.venues.bitfinex import BitfinexNormaliser
from marketlake.feeds.venues.bitmex import BitmexNormaliser
from marketlake.feeds.venues.bitstamp import BitstampNormaliser
from marketlake.feeds.venues.coinbase import CoinbaseNormaliser
from marketlake.feeds.venues.deribit import DeribitNormaliser
from marketlake.feeds.venues.gemini import GeminiNormaliser
from marketlake.feeds.venues.kraken import KrakenNormaliser
from marketlake.feeds.venues.okx import OkxNormaliser

NORMALISERS: Final[Mapping[str, type[Normaliser]]] = MappingProxyType(
    {
        normaliser.venue: normaliser
        for normaliser in (
            BinanceNormaliser,
            BitfinexNormaliser,
            BitmexNormaliser,
            BitstampNormaliser,
            CoinbaseNormaliser,
            DeribitNormaliser,
            GeminiNormaliser,
            KrakenNormaliser,
            OkxNormaliser,
        )
    }
)
"""Normaliser of each venue whose frames are known, by the venue's wire name."""


def normaliser_of(venue: str, **options: Any) -> Normaliser:
    """Make the normaliser of a venue, for one connection.

    Parameters
    ----------
    venue : str
        Wire name of the venue.
    **options
        Passed on: ``clock_offset_us``, and what the venue's own class takes.

    Raises
    ------
    ValueError
        No normaliser for that venue.
    """
    known = NORMALISERS.get(venue)
    if known is None:
        names = ", ".join(sorted(NORMALISERS))
        raise ValueError(f"no normaliser for the venue {venue!r}; there are: {names}")
    return known(**options)
