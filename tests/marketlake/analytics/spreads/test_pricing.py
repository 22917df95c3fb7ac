"""Conversion of quote currencies, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from marketlake.analytics.spreads.indicative import NO_CLOSE_US
from marketlake.analytics.spreads.pricing import conversion, spread
from marketlake.analytics.spreads.universe import build_universe
from marketlake.contracts.instruments import resolve, with_fee

NOW = 1_736_949_600_000_000
MAX_AGE_US = 1_000_000


class Market:
    """Instruments with a quote each: ``(venue, instrument, bid, ask, fee, age)``."""

    def __init__(self, *quotes):
        quotes = sorted(quotes)
        listed = [with_fee(resolve(v, i), fee) for v, i, _, _, fee, _ in quotes]
        self.names = [(v, i) for v, i, *_ in quotes]
        self.venues = {v: c for c, v in enumerate(sorted({v for v, _ in self.names}))}
        self.universe, self.currencies = build_universe(listed)
        self.bid = np.array([q[2] for q in quotes])
        self.ask = np.array([q[3] for q in quotes])
        self.times = np.array([NOW - q[5] for q in quotes], np.int64)

    def convert(self, sold, bought, near="binance", far="okx"):
        place = [self.currencies.index(a) for a in (sold, bought)]
        venues = [self.venues.get(v, -1) for v in (near, far)]
        found = conversion(
            self.universe, *place, *venues, self.bid, self.ask, self.times, NOW, MAX_AGE_US
        )
        return found[:2]

    def spread(self, buy, sell):
        codes = [self.names.index(name) for name in (buy, sell)]
        return spread(self.universe, *codes, self.bid, self.ask, self.times, NOW, MAX_AGE_US)[:3]


def test_a_currency_is_itself():
    market = Market(("kraken", "USDT-USD", 0.999, 1.001, 5.0, 0))
    assert market.convert("USD", "USD") == (1.0, 0.0)


def test_the_base_is_sold_at_the_bid_and_the_quote_at_one_over_the_ask():
    market = Market(("kraken", "USDT-USD", 0.998, 1.001, 5.0, 0))
    assert market.convert("USDT", "USD") == (0.998, 5.0)
    assert market.convert("USD", "USDT") == (1 / 1.001, 5.0)


def test_two_steps_multiply_rates_and_add_fees():
    market = Market(
        ("kraken", "USDC-USD", 0.998, 1.002, 5.0, 0), ("okx", "USDC-USDT", 0.997, 1.003, 7.0, 0)
    )
    # USDT buys USDC at the ask 1.003, and USDC gives dollars at the bid 0.998.
    rate, fee = market.convert("USDT", "USD")
    assert rate == pytest.approx(0.998 / 1.003, rel=1e-15)
    assert fee == 12.0


def test_one_step_is_taken_before_two_even_if_worse():
    market = Market(
        ("kraken", "USDC-USD", 1.5, 1.6, 5.0, 0), ("okx", "USDC-USDT", 0.99, 1.0, 7.0, 0),
        ("bybit", "USDT-USD", 0.9, 1.1, 1.0, 0),
    )  # fmt: skip
    assert market.convert("USDT", "USD") == (0.9, 1.0)


def test_without_a_fresh_way_there_is_no_rate():
    market = Market(
        ("kraken", "USDT-USD", 0.9, 1.1, 1.0, MAX_AGE_US + 1),
        ("okx", "BTC-USDT", 1.0, 2.0, 1.0, 0), ("kraken", "BTC-USD", 1.0, 2.0, 1.0, 0),
    )  # fmt: skip
    # Bitcoin is no money between two currencies.
    assert math.isnan(market.convert("USDT", "USD")[0])


def test_a_conversion_at_its_age_limit_still_counts():
    market = Market(("kraken", "USDT-USD", 0.9, 1.1, 1.0, MAX_AGE_US))
    assert market.convert("USDT", "USD") == (0.9, 1.0)


def test_the_venue_of_the_sale_converts_then_that_of_the_purchase_then_the_freshest():
    quotes = {
        "okx": ("okx", "USDC-USDT", 0.91, 1.0, 1.0, 900_000),
        "binance": ("binance", "USDC-USDT", 0.92, 1.0, 2.0, 800_000),
        "kraken": ("kraken", "USDC-USDT", 0.93, 1.0, 3.0, 700_000),
        "bybit": ("bybit", "USDC-USDT", 0.94, 1.0, 4.0, 0),
    }
    order = [("okx", 0.91), ("binance", 0.92), ("bybit", 0.94), ("kraken", 0.93)]
    for i, (venue, rate) in enumerate(order):
        market = Market(*quotes.values())
        assert market.convert("USDC", "USDT")[0] == rate, f"choice {i}"
        del quotes[venue]


def test_equally_fresh_converters_are_taken_by_name():
    market = Market(
        ("kraken", "USDC-USDT", 0.93, 1.0, 3.0, 5), ("bybit", "USDC-USDT", 0.94, 1.0, 4.0, 5)
    )
    assert market.convert("USDC", "USDT") == (0.94, 4.0)


def test_perpetuals_convert_nothing():
    market = Market(
        ("binance", "USDC-USDT-PERP", 0.93, 1.0, 3.0, 0), ("okx", "BTC-USDT", 1.0, 2.0, 1.0, 0)
    )
    assert math.isnan(market.convert("USDC", "USDT")[0])


def test_a_spread_converts_the_proceeds_into_the_currency_paid():
    market = Market(
        ("binance", "BTC-USDT", 94_900.0, 95_000.0, 10.0, 0),
        ("coinbase", "BTC-USD", 95_100.0, 95_200.0, 60.0, 0),
        ("kraken", "USDT-USD", 0.998, 0.999, 20.0, 0),
    )
    rate, gross, fees = market.spread(("binance", "BTC-USDT"), ("coinbase", "BTC-USD"))
    # 95,100 dollars buy 95,100 / 0.999 tether.
    assert rate == 1 / 0.999
    assert gross == pytest.approx((95_100 / 0.999 / 95_000 - 1) * 1e4, rel=1e-12)
    assert fees == 90.0
    rate, gross, fees = market.spread(("coinbase", "BTC-USD"), ("binance", "BTC-USDT"))
    assert rate == 0.998
    assert gross == pytest.approx((94_900 * 0.998 / 95_200 - 1) * 1e4, rel=1e-12)


@pytest.mark.parametrize("age", [0, MAX_AGE_US])
def test_there_is_no_spread_within_a_venue_nor_without_both_prices_fresh(age):
    market = Market(
        ("binance", "BTC-USDT", np.nan, 100.0, 1.0, age), ("okx", "BTC-USDT", 101.0, 1e9, 1.0, age),
        ("okx", "BTC-USDC", 101.0, 102.0, 1.0, 0), ("okx", "USDC-USDT", 1.0, 1.0, 1.0, 0),
        ("bybit", "BTC-USDT", 101.0, 102.0, 1.0, MAX_AGE_US + 1),
    )  # fmt: skip
    binance, okx, bybit = (("binance", "BTC-USDT"), ("okx", "BTC-USDT"), ("bybit", "BTC-USDT"))
    assert market.spread(binance, okx)[0] == 1.0
    assert math.isnan(market.spread(okx, binance)[0]), "no bid"
    assert math.isnan(market.spread(okx, ("okx", "BTC-USDC"))[0]), "one venue"
    assert math.isnan(market.spread(binance, bybit)[0]), "old bid"
    assert math.isnan(market.spread(bybit, okx)[0]), "old ask"


def test_what_was_never_quoted_is_old():
    market = Market(
        ("binance", "BTC-USDT", 1.0, 2.0, 1.0, 0), ("okx", "BTC-USDT", 3.0, 4.0, 1.0, 0)
    )
    market.times[:] = NO_CLOSE_US
    assert math.isnan(market.spread(("binance", "BTC-USDT"), ("okx", "BTC-USDT"))[0])
