"""How each simulated venue behaves: latency, spread, ticks, depth and its noise around the market.

The numbers are of the size seen on the real venues of these names; they are no measurement of
them. What matters to the simulation: ``noise_bps`` and ``REQUOTE_BPS`` bound how far a standing
quote can be from the market, so that no pair of venues can be traded against each other at
``NO_ARBITRAGE_FEE_BPS`` a leg unless an incident says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NO_ARBITRAGE_FEE_BPS: Final = 10.0
"""Taker fee a leg, at and above which the market outside incidents offers no arbitrage."""

REQUOTE_BPS: Final = 3.0
"""A venue quotes anew once its price has moved this far from its last quote."""


@dataclass(frozen=True, slots=True)
class VenueProfile:
    """One venue.

    Parameters
    ----------
    quote_assets
        Assets in which the venue prices its pairs.
    weight
        Share of the activity, relative to the other venues.
    latency_ms, latency_sigma
        Median and log standard deviation of reception minus event time.
    lag_ms
        By how much the venue's prices follow the market's.
    spread_bps
        Full spread of a liquid pair in calm times.
    noise_bps
        Bound of the venue's own deviation from the market.
    price_digits
        Significant digits of a price: sets the tick size.
    book_levels
        Levels a side of a published book, 10 to 20.
    publishes_empty_bars
        Whether a minute without a trade is published, flat and with volume 0, or left out.
    has_perpetuals
        Whether the venue lists perpetuals, counted in units of the base.
    """

    quote_assets: frozenset[str]
    weight: float
    latency_ms: float
    latency_sigma: float
    lag_ms: float
    spread_bps: float
    noise_bps: float
    price_digits: int
    book_levels: int
    publishes_empty_bars: bool
    has_perpetuals: bool = False

    def __post_init__(self) -> None:
        # Two venues, each stale by REQUOTE_BPS and off by its noise, and the same again in the
        # pair that converts between their quote currencies.
        if 4 * (self.noise_bps + REQUOTE_BPS) > 2 * NO_ARBITRAGE_FEE_BPS:
            raise ValueError(f"venue profile: noise_bps {self.noise_bps} would allow arbitrage")


VENUE_PROFILES: Final[dict[str, VenueProfile]] = {
    "binance": VenueProfile(
        quote_assets=frozenset({"USDT", "USDC", "BTC"}),
        weight=1.0,
        latency_ms=6.0,
        latency_sigma=0.35,
        lag_ms=0.0,
        spread_bps=0.4,
        noise_bps=1.0,
        price_digits=6,
        book_levels=20,
        publishes_empty_bars=True,
        has_perpetuals=True,
    ),
    "coinbase": VenueProfile(
        quote_assets=frozenset({"USD", "BTC"}),
        weight=0.6,
        latency_ms=45.0,
        latency_sigma=0.4,
        lag_ms=20.0,
        spread_bps=0.8,
        noise_bps=1.5,
        price_digits=6,
        book_levels=20,
        publishes_empty_bars=False,
    ),
    "kraken": VenueProfile(
        quote_assets=frozenset({"USD", "USDC", "USDT", "BTC"}),
        weight=0.3,
        latency_ms=60.0,
        latency_sigma=0.5,
        lag_ms=60.0,
        spread_bps=1.6,
        noise_bps=2.0,
        price_digits=5,
        book_levels=10,
        publishes_empty_bars=False,
    ),
    "okx": VenueProfile(
        quote_assets=frozenset({"USDT", "USDC", "BTC"}),
        weight=0.6,
        latency_ms=12.0,
        latency_sigma=0.4,
        lag_ms=10.0,
        spread_bps=0.6,
        noise_bps=1.2,
        price_digits=6,
        book_levels=15,
        publishes_empty_bars=True,
    ),
    "bybit": VenueProfile(
        quote_assets=frozenset({"USDT", "USDC"}),
        weight=0.5,
        latency_ms=15.0,
        latency_sigma=0.45,
        lag_ms=15.0,
        spread_bps=0.7,
        noise_bps=1.5,
        price_digits=6,
        book_levels=20,
        publishes_empty_bars=True,
        has_perpetuals=True,
    ),
}

INSTRUMENT_WEIGHTS: Final[dict[str, float]] = {
    "BTC-USDT": 1.0,
    "BTC-USD": 0.9,
    "ETH-USDT": 0.7,
    "SOL-USDT": 0.5,
    "BTC-USDC": 0.3,
    "USDC-USDT": 0.25,
    "USDC-USD": 0.25,
    "ETH-BTC": 0.2,
}
"""Share of the activity, relative to the other instruments of a venue."""

OTHER_INSTRUMENT_WEIGHT: Final = 0.3


def listing_weight(venue: str, instrument: str) -> float:
    """Weigh the activity of an instrument on a venue, relative to all listings."""
    weight = INSTRUMENT_WEIGHTS.get(instrument, OTHER_INSTRUMENT_WEIGHT)
    return VENUE_PROFILES[venue].weight * weight


def spread_bps(venue: str, instrument: str) -> float:
    """Give the full spread of an instrument on a venue in calm times: wider where thinner."""
    weight = INSTRUMENT_WEIGHTS.get(instrument, OTHER_INSTRUMENT_WEIGHT)
    return VENUE_PROFILES[venue].spread_bps / float(weight**0.6)
