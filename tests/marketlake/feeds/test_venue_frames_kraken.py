"""Frames of Kraken, written by hand after its documentation, with events derived by hand."""

from marketlake.contracts.events import Quote, Trade
from marketlake.feeds.venues.kraken import book_checksum
from marketlake.feeds.venues.order_book import OrderBook
from marketlake.feeds.venues.registry import normaliser_of
from tests.marketlake.feeds.framing import RECEIVED, feed

ASKS = "0.05005 0.05010 0.05015 0.05020 0.05025 0.05030 0.05035 0.05040 0.05045 0.05050"
BIDS = "0.05000 0.04995 0.04990 0.04980 0.04975 0.04970 0.04965 0.04960 0.04955 0.04950"


def kraken_rows(prices, time="1.5"):
    return [[price, "0.00000500", time] for price in prices.split()]


def test_kraken_checksum_of_its_own_documentation():
    bids, asks = ([(float(p), 0.000005) for p in prices.split()] for prices in (BIDS, ASKS))
    assert book_checksum(OrderBook(bids, asks), 5) == 974_947_235
    assert book_checksum(OrderBook([(1.0, 2.0**53 / 1e8)], []), 5) is None


def test_kraken_book_is_checked_and_kept_to_its_depth():
    normaliser = normaliser_of("kraken")
    # The snapshot misses the best ask of the documented book and holds one more at the end.
    start = {"as": kraken_rows(ASKS[8:] + " 0.05055"), "bs": kraken_rows(BIDS)}
    change = {"a": kraken_rows("0.05005", "2.25"), "c": "974947235"}
    [first], [second], lost, after = feed(
        normaliser,
        [0, start, "book-10", "XBT/USD"],
        [0, change, "book-10", "XBT/USD"],
        [0, change | {"c": "1"}, "book-10", "XBT/USD"],
        [0, change, "book-10", "XBT/USD"],
    )
    assert (first.instrument, first.event_time_us) == ("BTC-USD", 1_500_000)
    assert [price for price, _ in second.asks] == [float(price) for price in ASKS.split()]
    assert second.event_time_us == 2_250_000
    assert lost == after == []
    assert normaliser.skipped == {"checksum_mismatch": 1, "before_snapshot": 1}


def test_kraken_trades_and_spread():
    normaliser = normaliser_of("kraken")
    rows = [["10", "2", "1618678142.557535", "s", "l", ""], ["11", "3", "2.5", "b", "m", ""]]
    [sold, bought], [quote], beat = feed(
        normaliser,
        [9, rows, "trade", "XDG/XBT"],
        [9, ["1", "2", "3.5", "4", "5"], "spread", "EUR/USD"],
        {"event": "heartbeat"},
    )
    assert sold == Trade(
        "kraken", "DOGE-BTC", 1_618_678_142_557_535, 10, 2, None, "sell", None, RECEIVED
    )
    assert (bought.side, bought.event_time_us) == ("buy", 2_500_000)
    assert quote == Quote("kraken", "EUR-USD", 3_500_000, 1, 4, 2, 5, None, RECEIVED)
    assert beat == []
