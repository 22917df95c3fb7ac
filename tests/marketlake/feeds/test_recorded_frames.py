"""The two formats of raw frames by tiny files written by hand."""

import gzip
from pathlib import Path

from marketlake.contracts.events import Quote, Trade
from marketlake.feeds.recorded import binance_ticks, wire_samples
from marketlake.feeds.recorded.records import ReplayStats

QUOTE = (
    '{"stream":"btcusdt@bookTicker","data":'
    '{"u":7,"s":"BTCUSDT","b":"100.1","B":"2","a":"100.2","A":"3"}}'
)


def trade(exchange_ms: int, number: int) -> str:
    return (
        f'{{"stream":"btcusdt@trade","data":{{"e":"trade","E":{exchange_ms},"s":"BTCUSDT",'
        f'"t":{number},"p":"61837.63","q":"0.02","T":{exchange_ms - 1},"m":true,"M":true}}}}'
    )


def write_gzip(path: Path, lines: list[str]) -> Path:
    with gzip.open(path, "wt") as file:
        file.write("\n".join(lines) + "\n")
    return path


def test_spot_quotes_are_placed_by_the_exchange_clock(tmp_path: Path) -> None:
    # The exchange's clock is ahead by 1,270, 1,272 and, held up on its way, 700 ms: median 1,270.
    received_ms = 1_723_161_254_000
    lines = [
        f"{received_ms}000123 {trade(received_ms + 1270, 1)}",
        f"{received_ms + 10}000456 {QUOTE}",
        f"{received_ms + 20}000000 {trade(received_ms + 20 + 1272, 2)}",
        f"{received_ms + 30}000000 {trade(received_ms + 30 + 700, 3)}",
    ]
    path = write_gzip(tmp_path / "spot_btcusdt_20240808.gz", lines)
    stats = ReplayStats()
    first, quote, *_ = binance_ticks.read(path, stats)
    assert isinstance(first, Trade)
    assert (first.venue, first.instrument, first.side) == ("binance", "BTC-USDT", "sell")
    assert (first.price, first.quantity, first.trade_id) == (61837.63, 0.02, "1")
    # A trade is placed at its own time T, one millisecond before the frame's E.
    assert first.event_time_us == (received_ms + 1269) * 1000
    assert isinstance(quote, Quote)
    assert quote.event_time_us == (received_ms + 10 + 1270) * 1000
    assert quote.received_time_us == (received_ms + 10) * 1000
    assert (stats.rows_read, stats.rows_used) == (4, 4)


def test_usdm_files_are_perpetuals_with_the_exchange_time(tmp_path: Path) -> None:
    quote = (
        '{"stream":"ethusdt@bookTicker","data":{"e":"bookTicker","u":7,"s":"ETHUSDT","b":"1.1",'
        '"B":"2","a":"1.2","A":"3","T":1723161256313,"E":1723161256314}}'
    )
    path = write_gzip(tmp_path / "usdm_ethusdt_20240808.gz", [f"1723161255088169167 {quote}"])
    (found,) = binance_ticks.read(path, ReplayStats())
    assert (found.instrument, found.event_time_us) == ("ETH-USDT-PERP", 1_723_161_256_313_000)


def test_the_snapshot_of_a_tick_file_is_of_the_file_s_instrument(tmp_path: Path) -> None:
    snapshot = '{"lastUpdateId":5,"bids":[["100","1"]],"asks":[["101","2"]]}'
    path = write_gzip(tmp_path / "spot_btcusdt_20240808.gz", [f"1723161255088169167 {snapshot}"])
    (book,) = binance_ticks.read(path, ReplayStats())
    assert book.instrument == "BTC-USDT"


def test_changes_before_the_snapshot_are_skipped_and_counted(tmp_path: Path) -> None:
    change = (
        '{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1723161255208,'
        '"s":"BTCUSDT","U":1,"u":2,"b":[["100","1"]],"a":[]}}'
    )
    path = write_gzip(tmp_path / "spot_btcusdt_20240808.gz", [f"1723161253937085768 {change}"])
    stats = ReplayStats()
    assert list(binance_ticks.read(path, stats)) == []
    assert stats.skipped == {"before_snapshot": 1}
    assert (stats.rows_read, stats.rows_used) == (1, 0)


def test_wire_samples_go_to_the_normaliser_of_their_venue(tmp_path: Path) -> None:
    lines = [
        "wss://stream.binance.com:9443/stream?streams=btcusdt@trade <-> 1723161254.0",
        f"1723161254.5: {trade(1_723_161_254_500, 9)}",
        "1723161255.0: not json",
    ]
    path = write_gzip(tmp_path / "BINANCE.ws.1.0.gz", lines)
    stats = ReplayStats()
    (found,) = wire_samples.read(path, stats)
    assert isinstance(found, Trade)
    assert (found.venue, found.event_time_us) == ("binance", 1_723_161_254_499_000)
    assert (stats.rows_read, stats.rows_used) == (3, 1)
    assert stats.skipped == {"status": 1, "unparsable": 1}
