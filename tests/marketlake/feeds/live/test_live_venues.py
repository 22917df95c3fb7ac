"""Every venue of the table against the installed ccxt, and instruments against its markets."""

from __future__ import annotations

import asyncio

import pytest

from marketlake.contracts.venues import VENUES
from marketlake.feeds.live.book_checks import OWN_CHECKS
from marketlake.feeds.live.ccxt_client import make_exchange, through_gateway
from marketlake.feeds.live.ledger import Ledger
from marketlake.feeds.live.plan import make_sources
from marketlake.feeds.live.ports import CHANNELS, FeedError
from marketlake.feeds.live.symbols import Listing, instrument_of, list_instrument
from marketlake.feeds.live.venues import EQUITY_VENUES, LIVE_NAMES, LIVE_VENUES
from marketlake.settings.model import FeedSettings

ccxt_pro = pytest.importorskip("ccxt.pro")
CLASSES = sorted({(name, c) for name, v in LIVE_VENUES.items() for c in v.classes.values()})
GATEWAY = "http://127.0.0.1:9"


def addresses(node):
    if isinstance(node, dict):
        for value in node.values():
            yield from addresses(value)
    elif isinstance(node, str):
        yield node


def test_there_are_more_than_25_and_every_one_is_in_the_reference_table():
    assert len(LIVE_VENUES) >= 25
    assert set(LIVE_NAMES) <= set(VENUES)
    assert set(EQUITY_VENUES).isdisjoint(LIVE_VENUES)
    for venue in LIVE_VENUES.values():
        # What is watched can be told apart by the pipeline.
        assert set(VENUES[venue.name].markets) <= set(venue.classes) | {"fx"}


@pytest.mark.parametrize(("name", "ccxt_class"), CLASSES)
def test_ccxt_has_what_the_table_says(name, ccxt_class):
    venue = LIVE_VENUES[name]
    settings = FeedSettings(gateways={name: GATEWAY})

    async def look():
        exchange = make_exchange(ccxt_class, venue, settings)
        found = exchange.has, exchange.timeframes, exchange.urls["api"], exchange.options
        await exchange.close()
        return found

    has, timeframes, urls, options = asyncio.run(look())
    assert has["watchTrades"] is True
    assert has["watchOrderBook"] is True
    if venue.quotes == "bids_asks":
        assert has["watchBidsAsks"] is True
    elif venue.quotes == "ticker":
        assert has["watchTicker"] is True
    else:
        assert not has.get("watchBidsAsks")
    if venue.bars and ccxt_class != "krakenfutures":
        assert has["watchOHLCV"] is True
        assert "1m" in timeframes
    # Nothing of the venue is asked elsewhere than at the gateway.
    found = [a for a in addresses(urls) if "://" in a]
    assert found
    assert all(address.split("://", 1)[1].startswith("127.0.0.1:9/") for address in found)
    # Our options are added to the class's own, which stay.
    base = getattr(ccxt_pro, ccxt_class)().options
    assert set(base) <= set(options)


def test_every_venue_is_planned_for_each_of_its_markets():
    instruments = {"spot": "BTC-USDT", "perp": "BTC-USDT-PERP", "fx": "EUR-USD"}
    wanted = {
        name: tuple(i for market, i in instruments.items() if VENUES[name].has(market))
        for name in LIVE_VENUES
    }
    sources = make_sources(wanted, CHANNELS, FeedSettings(), Ledger(15), None)
    planned = {(source.venue, source.part) for source in sources}
    expected = {
        (name, LIVE_VENUES[name].classes[market])
        for name in LIVE_VENUES
        for market in instruments
        if VENUES[name].has(market)
    }
    assert planned == expected
    assert {name for name, _ in planned} == set(LIVE_VENUES)


def test_a_change_of_deribit_must_name_the_one_before():
    def change(number, before=None, name="BTC-PERPETUAL"):
        data = {"instrument_name": name, "change_id": number}
        data |= {} if before is None else {"prev_change_id": before}
        return {"params": {"channel": f"book.{name}.100ms", "data": data}}

    check = OWN_CHECKS["deribit"]()
    sent = [
        change(10),  # a snapshot
        change(12, 10),
        change(5, name="ETH-PERPETUAL"),
        change(15, 12),
        change(20, 18),  # what led to 18 is missing
        change(30),  # another snapshot
        change(31, 30),
    ]
    lines = [check.wrong(None, message) for message in sent]
    assert lines == [
        None, None, None, None,
        "the book of BTC-PERPETUAL lacks the changes between 15 and 18", None, None,
    ]  # fmt: skip


def test_own_checks_are_of_classes_in_use():
    assert set(OWN_CHECKS) <= {c for _, c in CLASSES}
    for ccxt_class in OWN_CHECKS:
        assert "handle_order_book" in dir(getattr(ccxt_pro, ccxt_class))


@pytest.mark.parametrize(
    ("address", "moved"),
    [
        ("wss://a.b:443/c/d", "ws://g:1/a.b:443/c/d"),
        ("https://{hostname}/x", "http://g:1/{hostname}/x"),
        ("mailto:nobody", "mailto:nobody"),
    ],
)
def test_addresses_go_through_a_gateway(address, moved):
    assert through_gateway(address, "http://g:1") == moved
    assert through_gateway("wss://a/b", "https://g") == "wss://g/a/b"


# ---- symbols -------------------------------------------------------------------------------


def market(base, quote, settle=None, **more):
    symbol = f"{base}/{quote}" + (f":{settle}" if settle else "")
    linear = None if settle is None else settle == quote
    return {
        "symbol": symbol, "base": base, "quote": quote, "settle": settle, "spot": settle is None,
        "swap": settle is not None, "linear": linear,
        "inverse": None if linear is None else not linear, "active": True, "contractSize": None,
        **more,
    }  # fmt: skip


def markets(*listed):
    return {one["symbol"]: one for one in listed}


def test_spot_linear_and_inverse_are_told_apart():
    listed = markets(
        market("BTC", "USDT"),
        market("BTC", "USDT", "USDT", contractSize=0.01),
        market("BTC", "USD", "BTC", contractSize=100.0),
        market("BTC", "USD", "USD", contractSize=0.01),
    )
    okx, kraken = LIVE_VENUES["okx"], LIVE_VENUES["kraken"]
    assert list_instrument(okx, "BTC-USDT", listed) == Listing("BTC-USDT", "BTC/USDT", 1.0)
    # The wire counts contracts where the reference table does: 0.01 BTC, 100 USD at OKX.
    assert list_instrument(okx, "BTC-USDT-PERP", listed).per_amount == 1.0
    assert list_instrument(okx, "BTC-USD-PERP", listed) == Listing(
        "BTC-USD-PERP", "BTC/USD:BTC", 1.0
    )
    # Kraken's are linear, and counted in BTC: a ccxt that counted in contracts is converted.
    assert list_instrument(kraken, "BTC-USD-PERP", listed) == Listing(
        "BTC-USD-PERP", "BTC/USD:USD", 0.01
    )


def test_deribits_amounts_are_dollars_already():
    listed = markets(market("BTC", "USD", "BTC", contractSize=10.0))
    assert list_instrument(LIVE_VENUES["deribit"], "BTC-USD-PERP", listed).per_amount == 1.0


@pytest.mark.parametrize(
    ("venue", "instrument", "message"),
    [
        ("kraken", "BTC-USDC", "kraken has no BTC-USDC; near it: BTC-USD, BTC-USDT"),
        ("kraken", "BTC-JPY", "kraken has no BTC-JPY; near it: BTC-"),
        ("kraken", "DOGE-USD", "kraken has no DOGE-USD$"),
        ("okx", "OLD-USDT", "okx has no OLD-USDT"),
        ("okx", "XYZ-USDT-PERP", "the reference table cannot tell its contract"),
        ("okx", "ETH-USD-PERP", "only as ETH/USD:USD, which is not inverse"),
    ],
)
def test_what_a_venue_lacks_is_one_line_with_what_comes_near(venue, instrument, message):
    listed = markets(
        market("BTC", "USDT"),
        market("BTC", "USD"),
        market("OLD", "USDT", active=False),
        market("XYZ", "USDT", "USDT"),
        market("ETH", "USD", "USD"),
    )
    with pytest.raises(FeedError, match=message):
        list_instrument(LIVE_VENUES[venue], instrument, listed)


def test_options_and_dated_futures_have_no_name():
    assert instrument_of(market("BTC", "USDT")) == "BTC-USDT"
    assert instrument_of(market("BTC", "USDT", "USDT", swap=False, future=True)) is None
    assert instrument_of(market("BTC", "USDC", "USDC")) == "BTC-USDC-PERP"
