"""Frames of Binance, written by hand, with the sequence rules of its documentation."""

from marketlake.contracts.events import Bar, Book, Quote, Trade
from marketlake.feeds.venues.binance import BinanceNormaliser
from tests.marketlake.feeds.framing import RECEIVED, feed


def depth(first, last, bids=(), asks=(), previous=None, symbol="BTCUSDT"):
    data = {"e": "depthUpdate", "E": 1_000, "s": symbol, "U": first, "u": last}
    data |= {"b": list(bids), "a": list(asks)}
    if previous is not None:
        data |= {"pu": previous, "T": 999}
    return {"stream": "x", "data": data}


def snapshot(last):
    return {"lastUpdateId": last, "bids": [["100", "1"]], "asks": [["101", "1"]]}


def test_binance_trade_of_each_side():
    data = {"e": "trade", "E": 3, "s": "BTCUSDT", "t": 7, "p": "10.5", "q": "2", "T": 2, "m": True}
    [[sold], [bought]] = feed(BinanceNormaliser(), {"data": data}, {"data": data | {"m": False}})
    assert sold == Trade("binance", "BTC-USDT", 2_000, 10.5, 2.0, "7", "sell", 7, RECEIVED)
    assert bought.side == "buy"


def test_binance_takes_one_trade_stream():
    data = {"e": "aggTrade", "E": 3, "s": "LRCBTC", "a": 9, "p": "1", "q": "2", "T": 2, "m": False}
    default, aggregated = BinanceNormaliser(), BinanceNormaliser(trade_stream="aggTrade")
    assert feed(default, data) == [[]]
    assert default.skipped == {"repeat": 1}
    [[trade]] = feed(aggregated, data)
    assert (trade.instrument, trade.trade_id, trade.side) == ("LRC-BTC", "9", "buy")


def test_binance_quote_without_exchange_time_uses_the_corrected_receive_time():
    data = {"u": 5, "s": "BTCUSDT", "b": "10", "B": "1", "a": "11", "A": "2"}
    [[quote]] = feed(BinanceNormaliser(clock_offset_us=1_270_000), {"data": data})
    time_us = RECEIVED + 1_270_000
    assert quote == Quote("binance", "BTC-USDT", time_us, 10, 1, 11, 2, 5, RECEIVED)


def test_binance_usdm_quote_and_odd_symbols():
    normaliser = BinanceNormaliser(market="perp", clock_offset_us=5)
    data = {"e": "bookTicker", "u": 5, "s": "ETHUSDT", "T": 7, "E": 8}
    data |= {"b": "10", "B": "1", "a": "11", "A": "2"}
    [[quote], dated, unknown, crossed, empty] = feed(
        normaliser,
        data,
        data | {"s": "BTCUSDT_240927"},
        data | {"s": "WHAT"},
        data | {"b": "11"},
        data | {"A": "0"},
    )
    assert (quote.instrument, quote.event_time_us) == ("ETH-USDT-PERP", 7_000)
    assert dated == unknown == crossed == empty == []
    reasons = ("unsupported_instrument", "unknown_instrument", "crossed", "one_sided")
    assert normaliser.skipped == dict.fromkeys(reasons, 1)


def test_binance_bar_counts_when_it_is_closed():
    bar = {"t": 60_000, "i": "1m", "o": "1", "h": "3", "l": "0.5", "c": "2", "v": "9", "n": 4}
    frame = {"data": {"e": "kline", "s": "BTCUSDT", "k": bar | {"x": False}}}
    normaliser = BinanceNormaliser()
    still_open, [closed] = feed(
        normaliser, frame, {"data": {"e": "kline", "s": "BTCUSDT", "k": bar | {"x": True}}}
    )
    assert still_open == []
    assert closed == Bar(
        "binance", "BTC-USDT", 60_000_000, "1m", 1, 3, 0.5, 2, 9, 4, received_time_us=RECEIVED
    )
    assert normaliser.skipped == {"open_bar": 1}


def test_binance_spot_depth_bridges_the_snapshot():
    normaliser = BinanceNormaliser(default_instrument="BTC-USDT")
    old, held, [start], [change], lost, after = feed(
        normaliser,
        depth(8, 10, bids=[["99", "9"]]),  # in the snapshot already
        depth(11, 12, bids=[["100", "3"]]),  # came before the snapshot, follows it
        snapshot(10),
        depth(13, 13, asks=[["101", "0"], ["102", "4"]]),
        depth(15, 15, bids=[["100.5", "1"]]),  # 14 is missing
        depth(16, 16),
    )
    assert old == held == lost == after == []
    assert start == Book("binance", "BTC-USDT", RECEIVED, [(100, 3)], [(101, 1)], 12, RECEIVED)
    assert (change.bids, change.asks) == ([(100, 3)], [(102, 4)])
    assert (change.event_time_us, change.sequence) == (1_000_000, 13)
    assert normaliser.skipped == {"before_snapshot": 3, "sequence_gap": 1}
    # A new snapshot takes up what was held since the gap.
    [[book]] = feed(normaliser, snapshot(14))
    assert (book.bids, book.sequence) == ([(100.5, 1), (100, 1)], 16)


def test_binance_snapshot_that_is_too_old_is_a_gap():
    normaliser = BinanceNormaliser(default_instrument="BTC-USDT")
    assert feed(normaliser, depth(20, 21), snapshot(18)) == [[], []]
    assert normaliser.skipped == {"before_snapshot": 1, "sequence_gap": 1}


def test_binance_usdm_depth_chains_by_pu():
    normaliser = BinanceNormaliser(market="perp", default_instrument="BTC-USDT-PERP")
    [_], [bridge], [chained], lost = feed(
        normaliser,
        snapshot(10) | {"E": 5, "T": 4},
        depth(7, 12, bids=[["100", "2"]], previous=6),  # U <= lastUpdateId <= u
        depth(15, 18, asks=[["101", "5"]], previous=12),
        depth(20, 22, previous=19),
    )
    assert bridge.bids == [(100, 2)]
    assert (chained.asks, chained.event_time_us) == ([(101, 5)], 999_000)
    assert lost == []
    assert normaliser.skipped == {"sequence_gap": 1}


def test_a_change_that_cannot_be_read_drops_the_book():
    normaliser = BinanceNormaliser(default_instrument="BTC-USDT")
    feed(normaliser, snapshot(10), depth(11, 11, bids=[["100", "2"], ["x", "1"]]))
    assert feed(normaliser, depth(12, 12, bids=[["100", "5"]])) == [[]]
    assert normaliser.skipped == {"malformed": 1, "before_snapshot": 1}


def test_crossed_book_is_counted_and_recovers():
    normaliser = BinanceNormaliser(default_instrument="BTC-USDT")
    _, crossed, [recovered] = feed(
        normaliser,
        snapshot(10),
        depth(11, 11, bids=[["101", "1"]]),
        depth(12, 12, asks=[["101", "0"], ["103", "1"]]),
    )
    assert crossed == []
    assert normaliser.skipped == {"crossed": 1}
    assert (recovered.bids, recovered.asks) == ([(101, 1), (100, 1)], [(103, 1)])


def test_a_new_connection_drops_the_books():
    normaliser = BinanceNormaliser(default_instrument="BTC-USDT")
    feed(normaliser, snapshot(10))
    normaliser.reset()
    assert feed(normaliser, depth(11, 11)) == [[]]
    assert normaliser.skipped == {"before_snapshot": 1}
