"""Frames of OKX, written by hand after its documentation, with events derived by hand."""

from marketlake.contracts.events import Book, Quote, Trade
from marketlake.feeds.venues.registry import normaliser_of
from tests.marketlake.feeds.framing import RECEIVED, feed


def okx(channel, instrument, row, **more):
    return {"arg": {"channel": channel, "instId": instrument}, "data": [row], **more}


def test_okx():
    normaliser = normaliser_of("okx")
    sale = {"tradeId": "12", "px": "5.1", "sz": "100", "side": "sell", "ts": "5"}
    best = {"askPx": "3", "askSz": "4", "bidPx": "1", "bidSz": "2", "ts": "6"}
    candle = ["60000", "1", "3", "0.5", "2", "9", "1", "1", "1"]
    [trade], [quote], dated, [bar], forming, joined = feed(
        normaliser,
        okx("trades", "UNI-USD-SWAP", sale),
        okx("tickers", "BTC-USDT", best),
        okx("tickers", "BTC-USD-220527", best),
        okx("candle1H", "BTC-USDT", candle),
        okx("candle1H", "BTC-USDT", [*candle[:-1], "0"]),
        {"event": "subscribe", "arg": {"channel": "trades", "instId": "BTC-USDT"}},
    )
    assert trade == Trade("okx", "UNI-USD-PERP", 5_000, 5.1, 100, "12", "sell", 12, RECEIVED)
    assert quote == Quote("okx", "BTC-USDT", 6_000, 1, 2, 3, 4, None, RECEIVED)
    assert (bar.interval, bar.event_time_us, bar.volume) == ("1h", 60_000_000, 9)
    assert dated == forming == joined == []
    reasons = ("unsupported_instrument", "open_bar", "subscription")
    assert normaliser.skipped == dict.fromkeys(reasons, 1)


def test_okx_book_with_and_without_sequence_numbers():
    def row(bids, asks, **more):
        return {"bids": bids, "asks": asks, "ts": "7"} | more

    normaliser = normaliser_of("okx")
    bid, ask = ["1", "2", "0", "1"], ["3", "4", "0", "1"]
    [start], [change], [numbered], [following], lost = feed(
        normaliser,
        okx("books", "BTC-USDT", row([bid], [ask]), action="snapshot"),
        okx("books", "BTC-USDT", row([["1", "0", "0", "0"]], []), action="update"),
        okx("books", "ETH-USDT", row([bid], [ask], seqId=5, prevSeqId=-1), action="snapshot"),
        okx("books", "ETH-USDT", row([], [], seqId=6, prevSeqId=5), action="update"),
        okx("books", "ETH-USDT", row([bid], [], seqId=9, prevSeqId=8), action="update"),
    )
    assert start == Book("okx", "BTC-USDT", 7_000, [(1, 2)], [(3, 4)], None, RECEIVED)
    assert (change.bids, change.asks) == ([], [(3, 4)])
    assert (numbered.sequence, following.sequence) == (5, 6)
    assert lost == []
    assert normaliser.skipped == {"sequence_gap": 1}
