"""Recorded frames, played to ccxt's own classes, give the events that our normalisers give.

The normalisers were written and tested without ccxt: they are the reference.
"""

from __future__ import annotations

import json
from itertools import islice

import pytest

from marketlake.contracts.events import Book, Quote, Trade
from marketlake.feeds.live.ledger import Ledger
from marketlake.feeds.venues.binance import BinanceNormaliser
from marketlake.feeds.venues.okx import OkxNormaliser
from marketlake.feeds.venues.samples import read_tick_file, read_wire_sample

from .local_venues import CLOSE, LocalVenues, Pause, serve_binance, serve_okx
from .watching import first_session, settings_for, source_of

pytest.importorskip("ccxt")
pytestmark = pytest.mark.recorded


def normalised(normaliser, frames, kind):
    """What our own parser makes of the frames."""
    events = [event for frame in frames for event in normaliser.frame(json.dumps(frame), 1)]
    return [event for event in events if isinstance(event, kind)]


def told(event):
    """The event without what two clocks or two clients may see differently."""
    if isinstance(event, Trade):
        return (event.event_time_us, event.price, event.quantity, event.trade_id, event.side)
    if isinstance(event, Quote):
        return (event.bid_price, event.bid_quantity, event.ask_price, event.ask_quantity)
    return (event.sequence, event.bids, event.asks)


def is_subsequence(some, all_of_them):
    rest = iter(all_of_them)
    return all(one in rest for one in some)


def binance_frames(recorded_data, name, count):
    lines = read_tick_file(recorded_data / "binance-ticks-2024-08-08" / f"{name}_20240808.gz")
    return [json.loads(line.payload) for line in islice(lines, count)]


BINANCE = {
    "spot": ("spot_btcusdt", "BTC-USDT", "api.binance.com/api/v3/depth", "btcusdt@depth@100ms"),
    "perp": (
        "usdm_btcusdt",
        "BTC-USDT-PERP",
        "fapi.binance.com/fapi/v1/depth",
        "btcusdt@depth@100ms",
    ),
}


@pytest.mark.parametrize("market", BINANCE)
def test_binance(recorded_data, market):
    name, instrument, depth, book_stream = BINANCE[market]
    frames = binance_frames(recorded_data, name, 6_000)
    by_stream = {
        kind: [f["data"] for f in frames if f.get("stream", "").startswith(f"btcusdt@{kind}")]
        for kind in ("trade", "bookTicker", "depth")
    }
    [snapshot] = [f for f in frames if "lastUpdateId" in f] or [
        f["data"] for f in frames if "lastUpdateId" in f.get("data", {})
    ]
    with LocalVenues() as server:
        serve_binance(server)
        server.rest[depth] = snapshot
        # Bursts, with room between: no test of speed.
        server.play("btcusdt@trade", _bursts(by_stream["trade"], 40, 0.01))
        server.play("btcusdt@bookTicker", _bursts(by_stream["bookTicker"], 40, 0.01))
        server.play(book_stream, [*_bursts(by_stream["depth"], 2, 0.01), Pause(1.0), CLOSE])
        settings = settings_for(server, "binance")
        ledger = Ledger(15)
        source = source_of(settings, ledger, "binance", instrument, "trades", "quotes", "books")
        events, error = first_session(source, 60)
    assert "closed" in str(error)
    ours = BinanceNormaliser(market=market, default_instrument=instrument)

    trades = [e for e in events if isinstance(e, Trade)]
    expected = normalised(ours, by_stream["trade"], Trade)
    assert [told(t) for t in trades] == [told(t) for t in expected]
    assert len(trades) > 700
    skipped = ledger.skipped["binance", "off_book_trade"]
    assert len(trades) + skipped == len(by_stream["trade"])

    quotes = [told(e) for e in events if isinstance(e, Quote)]
    all_quotes = [told(e) for e in normalised(ours, by_stream["bookTicker"], Quote)]
    assert is_subsequence(quotes, all_quotes)
    assert quotes[-1] == all_quotes[-1]
    assert len(quotes) + ledger.conflated["binance", "quotes"] == len(all_quotes)
    assert len(quotes) > 100

    books = [told(e) for e in events if isinstance(e, Book)]
    all_books = {
        book.sequence: told(book)
        for book in normalised(ours, [snapshot, *by_stream["depth"]], Book)
    }
    assert all(all_books[book[0]] == book for book in books)
    assert books[-1] == told(normalised_last(all_books))
    assert len(books) > 50


def normalised_last(books):
    """The newest book, wrapped so that ``told`` can be asked."""
    sequence, bids, asks = books[max(books)]
    return Book("binance", "x", 0, bids, asks, sequence)


def _bursts(frames, size, pause_s):
    for number, frame in enumerate(frames):
        if number % size == 0:
            yield Pause(pause_s)
        yield frame


def test_okx(recorded_data):
    sample = next((recorded_data / "wire-samples").glob("OKX.ws.*.gz"))
    frames = [json.loads(f.payload) for f in read_wire_sample(sample) if f.direction == "in"]
    mine = [f for f in frames if f.get("arg", {}).get("instId") == "BTC-USDT" and "data" in f]
    trades = [f for f in mine if f["arg"]["channel"] == "trades"]
    books = [f for f in mine if f["arg"]["channel"] == "books"]
    with LocalVenues() as server:
        serve_okx(server)
        server.play("trades:BTC-USDT", trades)
        server.play("books:BTC-USDT", [*_bursts(books, 1, 0.01), Pause(1.0), CLOSE])
        ledger = Ledger(15)
        source = source_of(
            settings_for(server, "okx"), ledger, "okx", "BTC-USDT", "trades", "books"
        )
        events, error = first_session(source)
    assert "closed" in str(error)
    expected = normalised(OkxNormaliser(), trades, Trade)
    assert [told(e) for e in events if isinstance(e, Trade)] == [told(e) for e in expected]
    assert len(expected) > 50
    given = [e for e in events if isinstance(e, Book)]
    all_books = normalised(OkxNormaliser(), books, Book)
    assert is_subsequence([told(e) for e in given], [told(e) for e in all_books])
    assert told(given[-1]) == told(all_books[-1])
    assert len(given) + ledger.conflated["okx", "books"] == len(all_books)
