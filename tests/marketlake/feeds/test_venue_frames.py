"""Frames of venues, written by hand after its documentation, with events derived by hand."""

import pytest

from marketlake.contracts.events import Book, Quote, Trade
from marketlake.feeds.venues.registry import NORMALISERS, normaliser_of
from marketlake.feeds.venues.symbols import longest_first, split_symbol
from tests.marketlake.feeds.framing import RECEIVED, feed

# ---- every venue ---------------------------------------------------------------------------


@pytest.mark.parametrize("venue", sorted(NORMALISERS))
@pytest.mark.parametrize("raw", ["", "{", "[]", "5", "null", '"x"', "{}", '{"data": 1}', b"\xff"])
def test_no_frame_raises_and_each_is_counted(venue, raw):
    normaliser = normaliser_of(venue)
    assert normaliser.frame(raw, RECEIVED) == []
    assert normaliser.frames == sum(normaliser.skipped.values()) == 1


def test_unknown_venue_is_named():
    with pytest.raises(ValueError, match=r"no normaliser for the venue 'mtgox'; there are: bina"):
        normaliser_of("mtgox")


def test_longest_quote_first():
    assert split_symbol("ADABUSD", longest_first("USD BUSD")) == ("ADA", "BUSD")
    assert split_symbol("SHIBUSD", longest_first("USD")) == ("SHIB", "USD")
    assert split_symbol("USD", longest_first("USD")) is None


# ---- Bitfinex ------------------------------------------------------------------------------


def test_bitfinex():
    normaliser = normaliser_of("bitfinex")
    control = [
        {"event": "info", "version": 2},
        {"event": "conf", "status": "OK", "flags": 65_536},
        {"event": "subscribed", "channel": "trades", "chanId": 1, "symbol": "tIOTUST"},
        {"event": "subscribed", "channel": "book", "chanId": 2, "symbol": "tBTCF0:USTF0"}
        | {"prec": "P0"},
    ]
    assert feed(normaliser, *control) == [[]] * 4
    history, [executed], repeat, [start], [change], [removed], beat, lost = feed(
        normaliser,
        [1, [[12, 2_000, -4, 1.5], [11, 1_000, 3, 1.25]], 1],
        [1, "te", [13, 3_000, -0.5, 1.75], 2],
        [1, "tu", [13, 3_000, -0.5, 1.75], 3],
        [2, [[100, 2, 1.5], [101, 1, -2]], 4],
        [2, [99, 1, 0.5], 5],
        [2, [101, 0, -1], 6],
        [2, "hb", 7],
        [2, [98, 1, 1], 9],  # 8 is missing
    )
    assert [(t.trade_id, t.side, t.quantity) for t in history] == [
        ("11", "buy", 3),
        ("12", "sell", 4),
    ]
    assert executed == Trade(
        "bitfinex", "IOTA-USDT", 3_000_000, 1.75, 0.5, "13", "sell", 13, RECEIVED
    )
    assert start == Book(
        "bitfinex", "BTC-USDT-PERP", RECEIVED, [(100, 1.5)], [(101, 2)], 4, RECEIVED
    )
    assert change.bids == [(100, 1.5), (99, 0.5)]
    assert removed.asks == []
    assert repeat == beat == lost == []
    reasons = {"status": 1, "subscription": 3, "repeat": 1, "heartbeat": 1, "sequence_gap": 1}
    assert normaliser.skipped == reasons


# ---- BitMEX --------------------------------------------------------------------------------


def bitmex(action, *rows, table="orderBookL2"):
    return {"table": table, "action": action, "data": [{"symbol": "XBTUSD"} | r for r in rows]}


def test_bitmex_book_by_ids():
    normaliser = normaliser_of("bitmex")
    early, [start], [change], [inserted], [deleted], lost = feed(
        normaliser,
        bitmex("update", {"id": 1, "side": "Buy", "size": 5}),
        bitmex(
            "partial",
            {"id": 1, "side": "Buy", "size": 5, "price": 100},
            {"id": 2, "side": "Sell", "size": 6, "price": 101},
        ),
        bitmex("update", {"id": 1, "side": "Buy", "size": 7}),
        bitmex("insert", {"id": 3, "side": "Sell", "size": 8, "price": 100.5}),
        bitmex("delete", {"id": 2, "side": "Sell"}),
        bitmex("update", {"id": 9, "side": "Sell", "size": 1}),
    )
    assert early == lost == []
    assert start == Book("bitmex", "BTC-USD-PERP", RECEIVED, [(100, 5)], [(101, 6)], None, RECEIVED)
    assert change.bids == [(100, 7)]
    assert inserted.asks == [(100.5, 8), (101, 6)]
    assert deleted.asks == [(100.5, 8)]
    assert normaliser.skipped == {"before_snapshot": 1, "sequence_gap": 1}


def test_bitmex_tables():
    normaliser = normaliser_of("bitmex")
    time = "2021-07-22T22:36:11.685Z"  # 1626993371.685 s
    [trade], [quote], [bar], quanto = feed(
        normaliser,
        bitmex(
            "insert",
            {"timestamp": time, "side": "Sell", "size": 100, "price": 32180.5, "trdMatchID": "a-b"},
            table="trade",
        ),
        bitmex(
            "insert",
            {"timestamp": time, "bidSize": 1, "bidPrice": 10, "askPrice": 10.5, "askSize": 2},
            table="quote",
        ),
        bitmex(
            "insert",
            {"timestamp": "1970-01-01T00:02:00.000Z", "open": 1, "high": 3, "low": 1, "close": 2}
            | {"volume": 9, "trades": 4},
            table="tradeBin1m",
        ),
        bitmex("insert", {"symbol": "UNIUSDT", "timestamp": time}, table="trade"),
    )
    time_us = 1_626_993_371_685_000
    assert trade == Trade(
        "bitmex", "BTC-USD-PERP", time_us, 32180.5, 100, "a-b", "sell", None, RECEIVED
    )
    assert quote == Quote("bitmex", "BTC-USD-PERP", time_us, 10, 1, 10.5, 2, None, RECEIVED)
    assert (bar.event_time_us, bar.interval, bar.close) == (60_000_000, "1m", 2)
    assert quanto == []
    assert normaliser.skipped == {"unsupported_instrument": 1}


# ---- Bitstamp ------------------------------------------------------------------------------


def test_bitstamp():
    normaliser = normaliser_of("bitstamp")
    book = {"microtimestamp": "1641343691244908", "bids": [["3", "1"]], "asks": [["4", "2"]]}
    sale = {"id": 5, "microtimestamp": "1641343699596000", "price_str": "3805.44"}
    sale |= {"amount_str": "0.0792", "type": 1}
    [trade], [whole], change, done = feed(
        normaliser,
        {"event": "trade", "channel": "live_trades_ethusd", "data": sale},
        {"event": "data", "channel": "order_book_usdteur", "data": book},
        {"event": "data", "channel": "diff_order_book_ethusd", "data": book},
        {"event": "bts:subscription_succeeded", "channel": "live_trades_ethusd", "data": {}},
    )
    assert trade == Trade(
        "bitstamp", "ETH-USD", 1_641_343_699_596_000, 3805.44, 0.0792, "5", "sell", 5, RECEIVED
    )
    assert (whole.instrument, whole.bids, whole.asks) == ("USDT-EUR", [(3, 1)], [(4, 2)])
    assert whole.event_time_us == 1_641_343_691_244_908
    assert change == done == []
    assert normaliser.skipped == {"before_snapshot": 1, "subscription": 1}


# ---- Coinbase ------------------------------------------------------------------------------


def test_coinbase():
    normaliser = normaliser_of("coinbase")
    product = {"product_id": "SKL-BTC"}
    match = {"type": "match", "trade_id": 1, "side": "sell", "size": "985", "price": "0.5"}
    match |= {"sequence": 9, "time": "2021-04-17T16:43:37.089723Z"} | product
    ticker = {"type": "ticker", "sequence": 9, "best_bid": "1", "best_ask": "2"} | product
    sizes = {"best_bid_size": "3", "best_ask_size": "4", "time": "1970-01-01T00:00:01Z"}
    time = {"time": "1970-01-01T00:00:02Z"}
    [trade], [start], [change], no_size, [quote] = feed(
        normaliser,
        match,
        {"type": "snapshot", "bids": [["1", "2"]], "asks": [["3", "4"]]} | product,
        {"type": "l2update", "changes": [["sell", "3", "0"], ["buy", "2", "1"]]} | product | time,
        ticker,
        ticker | sizes,
    )
    # The maker sold, so the aggressor bought; 1618677817.089723 s.
    assert trade == Trade(
        "coinbase", "SKL-BTC", 1_618_677_817_089_723, 0.5, 985, "1", "buy", 9, RECEIVED
    )
    assert (start.bids, start.asks, start.event_time_us) == ([(1, 2)], [(3, 4)], RECEIVED)
    assert (change.bids, change.asks, change.event_time_us) == ([(2, 1), (1, 2)], [], 2_000_000)
    assert no_size == []
    assert quote == Quote("coinbase", "SKL-BTC", 1_000_000, 1, 3, 2, 4, 9, RECEIVED)
    assert normaliser.skipped == {"quote_without_size": 1}
    # A change of no side that is known is a lost change: the book is not told any more.
    lost, after = feed(
        normaliser,
        {"type": "l2update", "changes": [["offer", "3", "0"], ["buy", "2", "1"]]} | product | time,
        {"type": "l2update", "changes": [["buy", "2", "1"]]} | product | time,
    )
    assert lost == after == []
    assert normaliser.skipped == {"quote_without_size": 1, "malformed": 1, "before_snapshot": 1}


# ---- Deribit -------------------------------------------------------------------------------


def deribit(channel, data):
    params = {"channel": channel, "data": data}
    return {"jsonrpc": "2.0", "method": "subscription", "params": params}


def test_deribit():
    normaliser = normaliser_of("deribit")
    name = {"instrument_name": "BTC-PERPETUAL", "timestamp": 5}
    raw = "book.BTC-PERPETUAL.raw"
    sale = name | {"trade_seq": 3, "trade_id": "77", "price": 10, "amount": 20, "direction": "sell"}
    best = {"best_bid_price": 1, "best_bid_amount": 2, "best_ask_price": 3, "best_ask_amount": 4}
    start = {"type": "snapshot", "change_id": 1, "bids": [["new", 1, 2]], "asks": [["new", 3, 4]]}
    change = {"type": "change", "prev_change_id": 1, "change_id": 4, "bids": []}
    change |= {"asks": [["delete", 3, 0], ["new", 3.5, 6]]}
    [trade], [quote], option, [first], [second], lost, [whole] = feed(
        normaliser,
        deribit("trades.BTC-PERPETUAL.raw", [sale]),
        deribit("ticker.BTC-PERPETUAL.raw", name | best),
        deribit("ticker.X.raw", best | {"instrument_name": "BTC-24SEP21-8000-P"}),
        deribit(raw, name | start),
        deribit(raw, name | change),
        deribit(raw, name | change | {"prev_change_id": 5}),
        deribit(
            "book.BTC-PERPETUAL.none.20.100ms",
            name | {"change_id": 8, "bids": [[7, 1]], "asks": [[8, 1]]},
        ),
    )
    assert trade == Trade("deribit", "BTC-USD-PERP", 5_000, 10, 20, "77", "sell", 3, RECEIVED)
    assert quote == Quote("deribit", "BTC-USD-PERP", 5_000, 1, 2, 3, 4, None, RECEIVED)
    assert (first.sequence, second.sequence, second.asks) == (1, 4, [(3.5, 6)])
    assert (whole.bids, whole.sequence) == ([(7, 1)], 8)
    assert option == lost == []
    assert normaliser.skipped == {"unsupported_instrument": 1, "sequence_gap": 1}


# ---- Gemini --------------------------------------------------------------------------------


def test_gemini():
    normaliser = normaliser_of("gemini")

    def sale(number, side):
        names = {"type": "trade", "symbol": "SHIBUSD", "event_id": number, "timestamp": number}
        return names | {"price": "2", "quantity": "3", "side": side}

    def levels(*changes, **more):
        return {"type": "l2_updates", "symbol": "SHIBUSD", "changes": list(changes)} | more

    early, [older, newer, start], [change], [trade], beat = feed(
        normaliser,
        levels(["buy", "1", "1"]),
        levels(["buy", "1", "5"], ["sell", "3", "6"], trades=[sale(8, "buy"), sale(7, "sell")]),
        levels(["buy", "1", "0"], ["buy", "2", "9"]),
        sale(9, "sell"),
        {"type": "heartbeat", "timestamp": 1},
    )
    assert early == beat == []
    assert (older.trade_id, newer.trade_id) == ("7", "8")
    assert start == Book("gemini", "SHIB-USD", RECEIVED, [(1, 5)], [(3, 6)], None, RECEIVED)
    assert (change.bids, change.asks) == ([(2, 9)], [(3, 6)])
    assert trade == Trade("gemini", "SHIB-USD", 9_000, 2, 3, "9", "sell", 9, RECEIVED)
    assert normaliser.skipped == {"before_snapshot": 1, "heartbeat": 1}
    # A trade of neither side is a trade all the same; a change of neither side is a lost change.
    [auction], lost = feed(normaliser, sale(10, "auction"), levels(["", "2", "0"]))
    assert (auction.trade_id, auction.side) == ("10", None)
    assert lost == []
    assert normaliser.skipped == {"before_snapshot": 1, "heartbeat": 1, "malformed": 1}
