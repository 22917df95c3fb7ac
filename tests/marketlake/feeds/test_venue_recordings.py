"""Every recorded frame is accounted for, and agrees with what the venues said themselves.

References: counts by plain ``json`` over the same files; the best prices Binance publishes beside
its depth; the checksums OKX sends with its books.
"""

import gzip
import json
import time
import zlib
from collections import Counter

import pytest

from marketlake.contracts.events import Book, Quote, Trade, encode
from marketlake.feeds.venues.binance import BinanceNormaliser
from marketlake.feeds.venues.registry import NORMALISERS, normaliser_of
from marketlake.feeds.venues.samples import normalise, read_tick_file, read_wire_sample

pytestmark = pytest.mark.recorded

OPTIONS = {"binance": {"trade_stream": "aggTrade"}}
TICK_FILES = {
    "spot_btcusdt": "BTC-USDT",
    "spot_ethusdt": "ETH-USDT",
    "usdm_btcusdt": "BTC-USDT-PERP",
    "usdm_ethusdt": "ETH-USDT-PERP",
}


def wire_sample(folder, venue):
    return next((folder / "wire-samples").glob(f"{venue.upper()}.ws.*.gz"))


def incoming(path):
    with gzip.open(path, "rt") as lines:
        for line in lines:
            if line[:1].isdigit():
                yield json.loads(line.split(": ", 1)[1])


def count_trades(venue, frame):
    """How many trades of instruments with a name on our wire a frame holds, by plain means."""
    if venue == "binance":
        return int(frame.get("data", {}).get("e") == "aggTrade")
    if venue == "bitmex":
        rows = frame["data"] if frame.get("table") == "trade" else []
        return sum(row["symbol"] == "XBTUSD" for row in rows)
    if venue == "bitstamp":
        return int(frame["event"] == "trade")
    if venue == "coinbase":
        return int(frame["type"] in {"match", "last_match"})
    if venue == "gemini":
        return len(frame.get("trades", [])) + (frame["type"] == "trade")
    if venue == "kraken":
        return len(frame[1]) if isinstance(frame, list) and frame[2] == "trade" else 0
    if venue == "okx" and frame["arg"]["channel"] == "trades":
        is_dated = frame["arg"]["instId"] == "BTC-USD-220527"
        return 0 if is_dated else len(frame.get("data", []))
    return 0  # the Deribit sample holds options alone


def count_bitfinex_trades(path):
    channels, count = {}, 0
    for frame in incoming(path):
        if isinstance(frame, dict):
            if frame.get("channel") == "trades":
                channels[frame["chanId"]] = frame["symbol"]
        elif "TEST" not in channels.get(frame[0], "TEST"):
            count += len(frame[1]) if isinstance(frame[1], list) else frame[1] == "te"
    return count


@pytest.mark.parametrize("venue", sorted(NORMALISERS))
def test_wire_samples_are_accounted_for(recorded_data, venue):
    path = wire_sample(recorded_data, venue)
    normaliser = normaliser_of(venue, **OPTIONS.get(venue, {}))
    recorded = list(read_wire_sample(path))
    emitting = trades = 0
    for line in recorded:
        events = list(normalise(iter([line]), normaliser))
        emitting += bool(events)
        trades += sum(isinstance(event, Trade) for event in events)
        assert all(event.venue == venue for event in events)
    with gzip.open(path, "rt") as lines:
        assert len(recorded) == sum(1 for line in lines if line.strip())
    assert normaliser.frames == len(recorded) == emitting + sum(normaliser.skipped.values())
    assert not {"malformed", "unparsable", "unknown_instrument", "sequence_gap"} & set(
        normaliser.skipped
    )
    if venue == "bitfinex":
        expected = count_bitfinex_trades(path)
    else:
        expected = sum(count_trades(venue, frame) for frame in incoming(path))
    assert trades == expected
    assert trades or venue == "deribit"


def test_deribit_sample_is_options_alone(recorded_data):
    normaliser = normaliser_of("deribit")
    assert (
        list(normalise(read_wire_sample(wire_sample(recorded_data, "deribit")), normaliser)) == []
    )
    assert normaliser.skipped["unsupported_instrument"] == 135


@pytest.mark.parametrize("venue", ["bitmex", "gemini", "okx"])
def test_aggressors_trade_on_their_own_side_of_the_book(recorded_data, venue):
    """A buyer who takes pays more than the middle of the book that stood before."""
    middle, checked = {}, 0
    for event in normalise(
        read_wire_sample(wire_sample(recorded_data, venue)), normaliser_of(venue)
    ):
        if isinstance(event, Book) and event.bids and event.asks:
            middle[event.instrument] = (event.bids[0][0] + event.asks[0][0]) / 2
        elif isinstance(event, Trade) and event.instrument in middle:
            assert (event.price > middle[event.instrument]) == (event.side == "buy")
            checked += 1
    assert checked >= 15


def test_okx_books_have_the_checksum_that_okx_sent(recorded_data):
    path = wire_sample(recorded_data, "okx")
    sides = {}
    expected = []
    for frame in incoming(path):
        if frame["arg"] != {"channel": "books", "instId": "BTC-USDT"} or "data" not in frame:
            continue
        for row in frame["data"]:
            if frame["action"] == "snapshot":
                sides = {"bids": {}, "asks": {}}
            for side, levels in sides.items():
                for price, size, *_ in row[side]:
                    levels.pop(price, None)
                    if size != "0":
                        levels[price] = size
            bids = sorted(sides["bids"].items(), key=lambda level: -float(level[0]))
            asks = sorted(sides["asks"].items(), key=lambda level: float(level[0]))
            text = ":".join(
                part
                for pair in zip(bids[:25], asks[:25], strict=True)
                for level in pair
                for part in level
            )
            # OKX writes the CRC-32 as a signed number.
            assert zlib.crc32(text.encode()) == row["checksum"] % 2**32
            expected.append(
                [[(float(p), float(q)) for p, q in levels[:20]] for levels in (bids, asks)]
            )
    events = normalise(read_wire_sample(path), normaliser_of("okx"))
    books = [e for e in events if isinstance(e, Book) and e.instrument == "BTC-USDT"]
    assert len(expected) > 50
    assert [[book.bids, book.asks] for book in books] == expected


@pytest.mark.parametrize("name", sorted(TICK_FILES))
def test_binance_ticks(recorded_data, name):
    path = recorded_data / "binance-ticks-2024-08-08" / f"{name}_20240808.gz"
    with gzip.open(path, "rt") as lines:
        frames = [json.loads(line.split(" ", 1)[1]) for line in lines]
    plain = Counter(frame.get("stream", "@snapshot").split("@")[1] for frame in frames)
    normaliser = BinanceNormaliser(
        market="spot" if name.startswith("spot") else "perp",
        default_instrument=TICK_FILES[name],
        clock_offset_us=1_270_000,
    )
    started = time.process_time()
    events = list(normalise(read_tick_file(path), normaliser))
    assert time.process_time() - started < 15.0
    kinds = Counter(type(event) for event in events)
    assert normaliser.frames == len(frames) == len(events) + sum(normaliser.skipped.values())
    assert set(normaliser.skipped) == {"before_snapshot"}
    assert kinds[Trade] == plain["trade"]
    assert kinds[Quote] == plain["bookTicker"]
    assert kinds[Book] == plain["depth"] + plain["snapshot"] - normaliser.skipped["before_snapshot"]
    assert {event.instrument for event in events} == {TICK_FILES[name]}
    traded = sum(float(f["data"]["q"]) for f in frames if "trade" in f.get("stream", ""))
    assert sum(e.quantity for e in events if isinstance(e, Trade)) == pytest.approx(traded)
    assert all(json.loads(encode(event))["venue"] == "binance" for event in events[:100])


@pytest.mark.parametrize("name", sorted(TICK_FILES))
def test_binance_books_agree_with_binances_own_best_prices(recorded_data, name):
    """The top of each book is the last bookTicker at or before its update id."""
    normaliser = BinanceNormaliser(
        market="spot" if name.startswith("spot") else "perp", default_instrument=TICK_FILES[name]
    )
    path = recorded_data / "binance-ticks-2024-08-08" / f"{name}_20240808.gz"
    rows = []
    for event in normalise(read_tick_file(path), normaliser):
        if isinstance(event, Quote):
            bid = (event.bid_price, event.bid_quantity)
            rows.append((event.sequence, 0, bid, (event.ask_price, event.ask_quantity)))
        elif isinstance(event, Book):
            rows.append((event.sequence, 1, event.bids[0], event.asks[0]))
    rows.sort(key=lambda row: row[:2])
    best, checked = None, 0
    for _, is_book, bid, ask in rows:
        if not is_book:
            best = (bid, ask)
        elif best is not None:
            assert (bid, ask) == best
            checked += 1
    assert checked > 3_000


def test_clock_offset_brings_spot_quotes_next_to_the_exchange_clock(recorded_data):
    """Spot depth carries the exchange's time; with the offset quotes lie between its frames."""
    path = recorded_data / "binance-ticks-2024-08-08" / "spot_btcusdt_20240808.gz"
    normaliser = BinanceNormaliser(default_instrument="BTC-USDT", clock_offset_us=1_270_000)
    depth_time, distances = None, []
    for event in normalise(read_tick_file(path), normaliser):
        if isinstance(event, Book):
            depth_time = event.event_time_us
        elif isinstance(event, Quote) and depth_time is not None:
            distances.append(event.event_time_us - depth_time)
    distances.sort()
    assert -50_000 < distances[len(distances) // 2] < 150_000
