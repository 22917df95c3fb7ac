"""Instruments: derived from symbols, or from the tables, or unknown."""

import time
import timeit

import pytest

from marketlake.contracts.instruments import (
    QUOTE_ASSETS,
    UNKNOWN_MARKET,
    partition_market,
    resolve,
    with_fee,
)


def test_spot_is_derived():
    found = resolve("kraken", "BTC-USDC")
    assert found is not None
    assert (found.base, found.quote, found.market) == ("BTC", "USDC", "spot")
    assert (found.contract_size, found.contract_currency) == (1.0, "base")
    assert found.taker_fee_bps == 40.0
    assert found.tick_size is None


@pytest.mark.parametrize(
    ("venue", "instrument", "market"),
    [
        ("binance", "USDC-USDT", "spot"),
        ("binance", "FTT-BNB", "spot"),
        ("binance", "1000SHIB-USDT-PERP", "perp"),
        ("kraken", "EUR-USD", "fx"),
        ("kraken", "USDT-USD", "spot"),  # a stablecoin is no currency
        ("oanda", "USD-JPY", "fx"),
        ("alpaca", "AAPL-USD", "equity"),
        ("polygon", "EUR-USD", "fx"),
        ("polygon", "MSFT-USD", "equity"),
    ],
)
def test_market(venue, instrument, market):
    assert resolve(venue, instrument).market == market
    assert partition_market(venue, instrument) == market


@pytest.mark.parametrize(
    ("venue", "instrument", "size", "currency"),
    [
        ("bitmex", "BTC-USD-PERP", 1.0, "quote"),  # XBTUSD: a contract is 1 USD
        ("deribit", "BTC-USD-PERP", 1.0, "quote"),  # amounts are in USD
        ("okx", "BTC-USDT-PERP", 0.01, "base"),
        ("okx", "BTC-USD-PERP", 100.0, "quote"),
        ("okx", "UNI-USD-PERP", 10.0, "quote"),
        ("binance", "BTC-USD-PERP", 100.0, "quote"),  # COIN-M
        ("binance", "ETH-USDT-PERP", 1.0, "base"),
        ("hyperliquid", "BTC-USD-PERP", 1.0, "base"),
    ],
)
def test_contract_size_of_perpetuals(venue, instrument, size, currency):
    found = resolve(venue, instrument)
    assert (found.contract_size, found.contract_currency) == (size, currency)


@pytest.mark.parametrize(
    ("venue", "instrument"),
    [
        ("nowhere", "BTC-USDT"),
        ("Binance", "BTC-USDT"),
        ("binance", "BTCUSDT"),
        ("binance", "btc-usdt"),
        ("binance", "BTC-USDT-SWAP"),
        ("binance", "BTC-USDT-PERP-PERP"),
        ("binance", "BTC-USDT\n"),
        ("binance", "BTC-WHAT"),
        ("binance", "-USDT"),
        ("binance", "A" * 21 + "-USDT"),
        ("binance", "BTC-BTC"),
        ("binance", "ÄTH-USDT"),
        ("binance", ""),
        ("binance", "EUR-USD"),  # no currency market there
        ("gemini", "BTC-USDT-PERP"),  # no perpetuals there
        ("oanda", "BTC-USD"),
        ("alpaca", "BTC-USDT-PERP"),
        ("bitmex", "UNI-USDT-PERP"),  # quanto: no contract size
        ("okx", "XYZ-USDT-PERP"),  # counts in contracts of a size we do not know
        ("binance", "ETH-BTC-PERP"),
    ],
)
def test_unknown(venue, instrument):
    assert resolve(venue, instrument) is None
    assert partition_market(venue, instrument) == UNKNOWN_MARKET


def test_classes_of_quote_assets():
    assert QUOTE_ASSETS["USD"] == "fiat"
    assert QUOTE_ASSETS["USDC"] == "stable"
    assert QUOTE_ASSETS["BTC"] == "crypto"
    assert "BUSD" in QUOTE_ASSETS


def test_fee_can_be_overridden_without_touching_the_table():
    before = resolve("okx", "BTC-USDT")
    after = with_fee(before, 2.5)
    assert after.taker_fee_bps == 2.5
    assert resolve("okx", "BTC-USDT").taker_fee_bps == 15.0
    assert after.instrument == before.instrument


@pytest.mark.parametrize("bps", [float("nan"), -101.0, 1_001.0])
def test_impossible_fee_is_refused(bps):
    with pytest.raises(ValueError, match=r"okx BTC-USDT is .* bps; give"):
        with_fee(resolve("okx", "BTC-USDT"), bps)


def test_look_ups_are_cached():
    assert resolve("okx", "SOL-USDT") is resolve("okx", "SOL-USDT")
    seconds = timeit.timeit(
        lambda: resolve("okx", "SOL-USDT"), timer=time.process_time, number=10_000
    )
    assert seconds < 0.5  # 50 µs each: a hundred times what a cached look-up takes
