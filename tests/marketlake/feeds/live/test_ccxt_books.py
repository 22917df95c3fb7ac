"""ccxt's own client against venues whose books lose changes, are wrong, or stay crossed."""

from __future__ import annotations

import pytest

from marketlake.feeds.live.ledger import Ledger

from .frames import (
    binance_depth,
    binance_snapshot,
    kraken_book,
    okx_book,
)
from .local_venues import (
    CLOSE,
    Pause,
)
from .watching import first_session, settings_for, source_of, supervise

pytest.importorskip("ccxt")


@pytest.fixture
def ledger():
    return Ledger(15)


def test_a_gap_of_binance_is_mended_by_a_new_snapshot(server, ledger):
    snapshots = iter([binance_snapshot(10), binance_snapshot(30)])
    server.rest["api.binance.com/api/v3/depth"] = lambda _: next(snapshots)
    server.play(
        "btcusdt@depth@100ms",
        # 14 is missing; what follows is of the book that was dropped.
        [
            binance_depth(11, 13, bids=[["99.0", "5"]]), Pause(0.3),
            binance_depth(15, 15, bids=[["98.0", "1"]]), Pause(0.1),
        ],
        [binance_depth(31, 32, bids=[["97.0", "3"]])],
    )  # fmt: skip
    settings = settings_for(server, "binance")
    source = source_of(settings, ledger, "binance", "BTC-USDT", "books")
    books = supervise(source, settings, ledger, lambda found: found and found[-1].sequence == 32)
    assert [(book.sequence, book.bids) for book in books if book.sequence in (13, 32)] == [
        (13, [(100.0, 1.0), (99.0, 5.0)]),
        (32, [(100.0, 1.0), (97.0, 3.0)]),
    ]
    assert all(98.0 not in dict(book.bids) for book in books)
    assert ledger.gaps["binance", "books"] == 1
    assert ledger.failures.total() == 0


def test_a_gap_of_okx_is_mended_by_subscribing_again(server, ledger):
    server.play(
        "books:BTC-USDT",
        [
            okx_book(5, -1, [["100", "1"]], [["101", "1"]]), Pause(0.1),
            okx_book(6, 5, [["99", "2"]], []), Pause(0.1),
            okx_book(9, 8, [["98", "2"]], []),
        ],
        [okx_book(20, -1, [["100", "4"]], [["102", "4"]])],
    )  # fmt: skip
    settings = settings_for(server, "okx")
    source = source_of(settings, ledger, "okx", "BTC-USDT", "books")
    books = supervise(source, settings, ledger, lambda found: found and found[-1].sequence == 20)
    assert [book.sequence for book in books] == [5, 6, 20]
    assert books[-1].bids == [(100.0, 4.0)]
    assert ledger.gaps["okx", "books"] == 1


def test_a_wrong_checksum_of_kraken_is_mended_by_a_new_connection(server, ledger):
    # Digits of asks, then of bids: price with one decimal, volume with eight, no leading zeros.
    first = "1010" + "100000000" + "1000" + "150000000"
    second = "1010" + "100000000" + "1000" + "150000000" + "990" + "25000000"
    server.play(
        "book:BTC/USD",
        [
            kraken_book("update", [(98.0, 1.0)], [], "of a book that did not come"),
            kraken_book("snapshot", [(100.0, 1.5)], [(101.0, 1.0)], first),
            Pause(0.1),
            kraken_book("update", [(99.0, 0.25)], [], second),
            Pause(0.1),
            kraken_book("update", [(98.0, 1.0)], [], "another book"),
        ],
        [kraken_book("snapshot", [(100.0, 1.5)], [(101.0, 1.0)], first)],
    )
    settings = settings_for(server, "kraken")
    source = source_of(settings, ledger, "kraken", "BTC-USD", "books")
    books = supervise(source, settings, ledger, lambda found: len(found) >= 3)
    assert [book.bids for book in books] == [
        [(100.0, 1.5)],
        [(100.0, 1.5), (99.0, 0.25)],
        [(100.0, 1.5)],
    ]
    assert books[1].event_time_us == 1_700_000_000_123_000  # ccxt's milliseconds
    assert ledger.skipped["kraken", "before_snapshot"] == 1
    assert ledger.gaps["kraken", "books"] == 1
    assert ledger.failures == {("kraken", "gap"): 1}


def test_a_book_that_stays_crossed_is_dropped(server, ledger):
    crossed = [okx_book(n, n - 1, [["102", str(n)]], []) for n in range(6, 26)]
    paced = [frame for one in crossed for frame in (one, Pause(0.03))]
    server.play(
        "books:BTC-USDT",
        [okx_book(5, -1, [["100", "1"]], [["101", "1"]]), Pause(0.1), *paced],
        [okx_book(50, -1, [["100", "1"]], [["101", "1"]])],
    )
    settings = settings_for(server, "okx")
    source = source_of(settings, ledger, "okx", "BTC-USDT", "books")
    books = supervise(source, settings, ledger, lambda found: len(found) >= 2)
    assert [book.sequence for book in books] == [5, 50]
    assert ledger.skipped["okx", "crossed"] >= 10
    assert ledger.failures == {("okx", "gap"): 1}


def test_a_book_carries_its_twenty_best_levels(server, ledger):
    bids = [[str(100 - n), "1"] for n in range(30)]
    asks = [[str(101 + n), "2"] for n in range(30)]
    server.play("books:BTC-USDT", [okx_book(5, -1, bids, asks), Pause(0.3), CLOSE])
    source = source_of(settings_for(server, "okx"), ledger, "okx", "BTC-USDT", "books")
    [book], _ = first_session(source)
    assert book.bids == [(100.0 - n, 1.0) for n in range(20)]
    assert book.asks == [(101.0 + n, 2.0) for n in range(20)]
