"""Each table format by tiny files written by hand: units, column order, gaps, bad cells."""

import gzip
from pathlib import Path

import pandas as pd
import pytest

from marketlake.contracts.events import Bar, Book
from marketlake.feeds.recorded import depeg, ftx, link_books
from marketlake.feeds.recorded.records import RecordedDataError, ReplayStats

# 2023-03-11 07:15:00 UTC, by `date -u -d '2023-03-11 07:15' +%s`.
T0_S = 1_678_518_900
T0_US = T0_S * 1_000_000
MINUTE_US = 60_000_000

FTX_HEADER = (
    ",Kline open time,Open price,High price,Low price,Close price,Volume,Kline Close time,"
    "Quote asset volume,Number of trades,Taker buy base asset volume,"
    'Taker buy quote asset volume,"Unused field, ignore"\n'
)


def write_gzip(path: Path, text: str) -> Path:
    with gzip.open(path, "wt") as file:
        file.write(text)
    return path


def kraken_frame(times: list[str]) -> pd.DataFrame:
    index = pd.DatetimeIndex(times, tz="UTC", name="timestamp")
    count = len(times)
    columns = {"open": 0.9, "high": 0.92, "low": 0.874, "close": 0.91, "volume": 7.5, "trades": 3}
    return pd.DataFrame({name: [value] * count for name, value in columns.items()}, index=index)


def test_binanceus_klines_have_their_open_time_in_milliseconds(tmp_path: Path) -> None:
    path = tmp_path / "binanceus_usdcusdt.parquet"
    pd.DataFrame(
        {
            "open_time": [T0_S * 1000],
            "open": [0.95],
            "high": [0.96],
            "low": [0.94],
            "close": [0.955],
            "volume": [54508.0],
            "close_time": [T0_S * 1000 + 59_999],
            "quote_volume": ["51000.5"],
            "trades": [111],
        }
    ).to_parquet(path)
    stats = ReplayStats()
    assert list(depeg.read(path, stats)) == [
        Bar("binanceus", "USDC-USDT", T0_US, "1m", 0.95, 0.96, 0.94, 0.955, 54508.0, 111)
    ]
    assert (stats.rows_read, stats.rows_used) == (1, 1)


def test_coinbase_start_is_text_in_seconds_and_low_and_high_stand_first(tmp_path: Path) -> None:
    path = tmp_path / "coinbase_btcusd.parquet"
    pd.DataFrame(
        {
            "start": [str(T0_S)],
            "low": [1.0],
            "high": [4.0],
            "open": [2.0],
            "close": [3.0],
            "volume": [5.0],
        }
    ).to_parquet(path)
    assert list(depeg.read(path, ReplayStats())) == [
        Bar("coinbase", "BTC-USD", T0_US, "1m", open=2.0, high=4.0, low=1.0, close=3.0, volume=5.0)
    ]


def test_kraken_time_is_the_index_and_absent_minutes_stay_absent(tmp_path: Path) -> None:
    path = tmp_path / "kraken_usdcusd.parquet"
    kraken_frame(["2023-03-11 07:15", "2023-03-11 07:16", "2023-03-11 07:20"]).to_parquet(path)
    stats = ReplayStats()
    found = list(depeg.read(path, stats))
    assert [bar.event_time_us for bar in found] == [
        T0_US,
        T0_US + MINUTE_US,
        T0_US + 5 * MINUTE_US,
    ]
    assert found[0] == Bar("kraken", "USDC-USD", T0_US, "1m", 0.9, 0.92, 0.874, 0.91, 7.5, 3)
    assert stats.rows_read == 3


def test_bybit_has_its_own_names_for_time_and_trades(tmp_path: Path) -> None:
    path = tmp_path / "bybit_btcusdc.parquet"
    frame = kraken_frame(["2023-03-11 07:15"]).rename(columns={"trades": "n_trades"})
    frame.rename_axis("dt").to_parquet(path)
    (bar,) = depeg.read(path, ReplayStats())
    assert (bar.venue, bar.instrument, bar.event_time_us) == ("bybit", "BTC-USDC", T0_US)
    assert isinstance(bar, Bar)
    assert bar.trade_count == 3


def test_a_row_without_a_price_is_counted_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "kraken_btcusd.parquet"
    frame = kraken_frame(["2023-03-11 07:15", "2023-03-11 07:16", "2023-03-11 07:17"])
    frame["open"] = [1.0, float("nan"), float("inf")]
    frame.to_parquet(path)
    stats = ReplayStats()
    assert [bar.event_time_us for bar in depeg.read(path, stats)] == [T0_US]
    # pandas writes NaN as null.
    assert stats.skipped == {"missing_value": 1, "not_finite": 1}
    assert (stats.rows_read, stats.rows_used) == (3, 1)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = tmp_path / "kraken_btcusd.parquet"
    kraken_frame(["2023-03-11 07:15"]).drop(columns=["low"]).to_parquet(path)
    with pytest.raises(RecordedDataError, match="no column low; it has open, high, close"):
        list(depeg.read(path, ReplayStats()))


def test_an_unknown_pair_is_named(tmp_path: Path) -> None:
    path = tmp_path / "kraken_btceur.parquet"
    kraken_frame(["2023-03-11 07:15"]).to_parquet(path)
    with pytest.raises(RecordedDataError, match="btceur ends in no quote asset"):
        list(depeg.read(path, ReplayStats()))


@pytest.mark.parametrize(
    ("symbol", "instrument"),
    [
        ("FTTUSDT", "FTT-USDT"),
        ("ETHBTC", "ETH-BTC"),
        ("FTTBNB", "FTT-BNB"),
        ("BNBBTC", "BNB-BTC"),
        ("BNBUSDT", "BNB-USDT"),
        ("ETHBUSD", "ETH-BUSD"),
        ("ADADOWNUSDT", "ADADOWN-USDT"),
        ("MATICETH", "MATIC-ETH"),
    ],
)
def test_ftx_symbols(tmp_path: Path, symbol: str, instrument: str) -> None:
    row = "0,1678518900000,0.1,0.3,0.1,0.2,5.5,1678518959999,1.1,17,0,0,0\n"
    path = write_gzip(tmp_path / f"{symbol}.csv.gz", FTX_HEADER + row)
    assert list(ftx.read(path, ReplayStats())) == [
        Bar("binance", instrument, T0_US, "1m", 0.1, 0.3, 0.1, 0.2, 5.5, 17)
    ]


def test_text_is_parsed_to_the_nearest_double(tmp_path: Path) -> None:
    # Parsers that multiply digit by digit miss this one by one unit in the last place.
    price = "0.30000000000000004"
    row = f"0,1678518900000,{price},{price},{price},{price},1,1678518959999,1,1,0,0,0\n"
    path = write_gzip(tmp_path / "FTTUSDT.csv.gz", FTX_HEADER + row)
    (bar,) = ftx.read(path, ReplayStats())
    assert isinstance(bar, Bar)
    assert bar.open == 0.1 + 0.2


def test_bad_csv_rows_are_counted_by_reason(tmp_path: Path) -> None:
    rows = [
        "0,1678518900000,1,1,1,1,1,1678518959999,1,17,0,0,0",
        "1,1678518960000,1,1",
        "2,yesterday,1,1,1,1,1,1678518959999,1,17,0,0,0",
        "3,1678519020000,one,1,1,1,1,1678518959999,1,17,0,0,0",
        "4,1678519080000,1,1,,1,1,1678518959999,1,17,0,0,0",
    ]
    path = write_gzip(tmp_path / "FTTUSDT.csv.gz", FTX_HEADER + "\n".join(rows) + "\n")
    stats = ReplayStats()
    assert len(list(ftx.read(path, stats))) == 1
    assert stats.skipped == {
        "wrong_field_count": 1,
        "unreadable_time": 1,
        "not_a_number": 1,
        "missing_value": 1,
    }
    assert (stats.rows_read, stats.rows_used) == (5, 1)


def book_line(symbol: str, time: str, bid: float, ask: float) -> str:
    bids = [f"{bid - level / 10:.1f}" for level in range(10)]
    asks = [f"{ask + level / 10:.1f}" for level in range(10)]
    bid_sizes = [str(level + 1) for level in range(10)]
    ask_sizes = [str(level + 101) for level in range(10)]
    return ",".join([time, symbol, *bids, *bid_sizes, *asks, *ask_sizes]) + "\n"


def book_header() -> str:
    names = [f"{side}{n}" for side in ("b", "bv", "a", "av") for n in range(1, 11)]
    return ",".join(["timestamp", "symbol", *names]) + "\n"


def test_link_books_are_best_first_and_their_naive_time_is_utc(tmp_path: Path) -> None:
    text = book_header() + book_line("LINKUSDT.HB", "2023-03-11 07:15:00", 20.0, 21.0)
    (book,) = link_books.read(write_gzip(tmp_path / "orderbook_hb.csv.gz", text), ReplayStats())
    assert isinstance(book, Book)
    assert (book.venue, book.instrument, book.event_time_us) == ("huobi", "LINK-USDT", T0_US)
    assert book.bids[0] == (20.0, 1.0)
    assert book.bids[9] == (19.1, 10.0)
    assert book.asks[0] == (21.0, 101.0)
    assert book.asks[9] == (21.9, 110.0)
    assert (len(book.bids), len(book.asks)) == (10, 10)


def test_link_levels_that_are_not_there_are_left_out(tmp_path: Path) -> None:
    cells = book_line("LINKUSDT.BNC", "2023-03-11 07:15:00", 20.0, 21.0).rstrip("\n").split(",")
    cells[11] = cells[21] = ""  # b10 and bv10
    text = book_header() + ",".join(cells) + "\n"
    (book,) = link_books.read(write_gzip(tmp_path / "orderbook_bnc.csv.gz", text), ReplayStats())
    assert isinstance(book, Book)
    assert (len(book.bids), len(book.asks)) == (9, 10)


def test_link_bars_are_of_one_second_and_the_suffix_names_the_venue(tmp_path: Path) -> None:
    text = (
        "timestamp,symbol,open,high,low,close,volume\n"
        "2023-03-11 07:15:00,LINKUSDT.BNC,27.1,27.3,27.0,27.2,39.540000000000006\n"
    )
    path = write_gzip(tmp_path / "bar_bnc.csv.gz", text)
    assert list(link_books.read(path, ReplayStats())) == [
        Bar("binance", "LINK-USDT", T0_US, "1s", 27.1, 27.3, 27.0, 27.2, 39.540000000000006)
    ]


def test_an_unknown_link_suffix_is_named(tmp_path: Path) -> None:
    text = (
        "timestamp,symbol,open,high,low,close,volume\n2023-03-11 07:15:00,LINKUSDT.XX,1,1,1,1,1\n"
    )
    path = write_gzip(tmp_path / "bar_xx.csv.gz", text)
    with pytest.raises(RecordedDataError, match=r"LINKUSDT\.XX names no venue"):
        list(link_books.read(path, ReplayStats()))
