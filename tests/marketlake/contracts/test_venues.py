"""The table of venues."""

import dataclasses
from datetime import date

import pytest

from marketlake.contracts.venues import MARKETS, VENUES

WIRE_SAMPLE_VENUES = (
    "binance bitfinex bitmex bitstamp coinbase deribit gemini kraken okx".split()  # noqa: SIM905
)


def test_at_least_28_venues_and_all_that_have_recorded_data():
    assert len(VENUES) >= 28
    assert set(WIRE_SAMPLE_VENUES) | {"binanceus", "bybit", "huobi"} <= set(VENUES)


@pytest.mark.parametrize("name", sorted(VENUES))
def test_each_entry_is_whole(name):
    venue = VENUES[name]
    assert venue.name == name == name.lower()
    assert name.isalnum()
    assert venue.markets
    assert set(venue.markets) <= set(MARKETS)
    assert venue.source
    assert "://" not in venue.source
    assert date(2020, 1, 1) < venue.as_of <= date.today()  # noqa: DTZ011
    for market in venue.markets:
        assert 0.0 <= venue.taker_fee_bps[market] <= 120.0
        # Nobody publishes a base tier where taking costs less than making.
        assert venue.maker_fee_bps.get(market, -1.0) <= venue.taker_fee_bps[market]
    assert set(venue.maker_fee_bps) <= set(venue.markets)


def test_markets_as_known():
    assert VENUES["binance"].markets == ("spot", "perp")
    assert VENUES["alpaca"].markets == ("equity",)
    assert VENUES["oanda"].markets == ("fx",)
    assert VENUES["kraken"].has("fx")
    assert not VENUES["gemini"].has("perp")


def test_published_base_tiers():
    # Binance VIP 0: 0.1 % spot, 0.05 % USD-M; Coinbase Exchange under 10,000 USD: 0.60 %.
    assert VENUES["binance"].taker_fee_bps == {"spot": 10.0, "perp": 5.0}
    assert VENUES["coinbase"].taker_fee_bps["spot"] == 60.0


def test_entries_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        VENUES["okx"].name = "other"
    with pytest.raises(TypeError):
        VENUES["okx"].taker_fee_bps["spot"] = 0.0
    with pytest.raises(TypeError):
        VENUES["other"] = VENUES["okx"]
