"""Finding recordings, and merging their events in publishing order."""

import gzip
import json
from pathlib import Path

import pandas as pd
import pytest

from marketlake.contracts.events import Bar, Book
from marketlake.feeds.recorded.catalog import open_recording
from marketlake.feeds.recorded.records import Record, RecordedDataError, ReplayStats, record_of

SECOND_US = 1_000_000
FTX_HEADER = (
    ",Kline open time,Open price,High price,Low price,Close price,Volume,Number of trades\n"
)


def write_gzip(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt") as file:
        file.write(text)
    return path


def write_ftx(path: Path, minutes: list[int]) -> Path:
    """Write bars of price 1 that open at these minutes since the epoch."""
    rows = [f"{n},{minute * 60_000},1,1,1,1,1,1" for n, minute in enumerate(minutes)]
    return write_gzip(path, FTX_HEADER + "\n".join(rows) + "\n")


def write_link_bars(path: Path, times: list[str]) -> Path:
    rows = [f"{time},LINKUSDT.BNC,1,1,1,1,1" for time in times]
    return write_gzip(path, "timestamp,symbol,open,high,low,close,volume\n" + "\n".join(rows))


def merged(path: Path) -> list[Record]:
    return list(open_recording(path).records(ReplayStats()))


def test_a_bar_counts_at_its_close() -> None:
    minute = Bar("kraken", "BTC-USD", 0, "1m", 1, 1, 1, 1, 1)
    second = Bar("binance", "LINK-USDT", 59 * SECOND_US, "1s", 1, 1, 1, 1, 1)
    book = Book("binance", "LINK-USDT", 60 * SECOND_US, bids=[], asks=[])
    orders = [record_of(event).order for event in (minute, second, book)]
    # All three at 60 s: bars before books, and by venue among them.
    assert sorted(orders) == [
        (60 * SECOND_US, "bar", "binance", "LINK-USDT", -1),
        (60 * SECOND_US, "bar", "kraken", "BTC-USD", -1),
        (60 * SECOND_US, "book", "binance", "LINK-USDT", -1),
    ]


def test_a_record_is_keyed_by_the_instrument_and_holds_the_wire_json() -> None:
    record = record_of(Bar("kraken", "BTC-USD", 5, "1m", 1.5, 2, 1, 1.25, 7))
    assert (record.event_type, record.key) == ("bar", b"BTC-USD")
    assert json.loads(record.value) == {
        "type": "bar",
        "venue": "kraken",
        "instrument": "BTC-USD",
        "event_time_us": 5,
        "interval": "1m",
        "open": 1.5,
        "high": 2.0,
        "low": 1.0,
        "close": 1.25,
        "volume": 7.0,
    }


def test_files_are_merged_by_the_close_of_their_bars(tmp_path: Path) -> None:
    write_ftx(tmp_path / "FTTUSDT.csv.gz", [0, 2])
    write_ftx(tmp_path / "ETHBTC.csv.gz", [1, 2])
    write_link_bars(tmp_path / "bar_bnc.csv.gz", ["1970-01-01 00:01:30"])
    found = [(record.time_us // SECOND_US, record.key) for record in merged(tmp_path)]
    assert found == [
        (60, b"FTT-USDT"),
        (91, b"LINK-USDT"),
        (120, b"ETH-BTC"),
        (180, b"ETH-BTC"),
        (180, b"FTT-USDT"),
    ]


def test_rows_out_of_order_are_put_in_order(tmp_path: Path) -> None:
    write_ftx(tmp_path / "FTTUSDT.csv.gz", [2, 0, 1])
    assert [record.time_us // SECOND_US for record in merged(tmp_path)] == [60, 120, 180]


def test_repeated_rows_stay_repeated(tmp_path: Path) -> None:
    write_ftx(tmp_path / "FTTUSDT.csv.gz", [0, 0])
    assert len(merged(tmp_path)) == 2


def test_events_of_all_files_are_counted_before_the_first_record(tmp_path: Path) -> None:
    write_ftx(tmp_path / "FTTUSDT.csv.gz", [0, 1])
    write_ftx(tmp_path / "ETHBTC.csv.gz", [0])
    stats = ReplayStats()
    next(open_recording(tmp_path).records(stats))
    assert (stats.rows_read, stats.events) == (3, {"bar": 3})


def test_a_file_a_folder_and_a_folder_of_folders(tmp_path: Path) -> None:
    one = write_ftx(tmp_path / "ftx" / "FTTUSDT.csv.gz", [0])
    two = write_link_bars(tmp_path / "link" / "bar_bnc.csv.gz", ["1970-01-01 00:00:00"])
    readme = tmp_path / "README.md"
    readme.write_text("about")
    assert [file.path for file in open_recording(one).files] == [one]
    assert [file.format.name for file in open_recording(one.parent).files] == ["FTX klines"]
    both = open_recording(tmp_path)
    assert [file.path for file in both.files] == [one, two]
    assert [file.format.name for file in both.files] == ["FTX klines", "LINK books"]
    assert both.ignored == (readme,)


@pytest.mark.parametrize(
    ("name", "format_name"),
    [
        ("coinbase_usdtusd.parquet", "depeg bars"),
        ("usdm_ethusdt_20240808.gz", "Binance ticks"),
        ("orderbook_hb.csv.gz", "LINK books"),
        ("FTTBUSD.csv.gz", "FTX klines"),
        ("COINBASE.ws.28.0.gz", "wire samples"),
    ],
)
def test_files_are_told_by_their_names(tmp_path: Path, name: str, format_name: str) -> None:
    (tmp_path / name).touch()
    (file,) = open_recording(tmp_path / name).files
    assert file.format.name == format_name


def test_what_is_no_recording_is_refused_with_what_one_looks_like(tmp_path: Path) -> None:
    with pytest.raises(RecordedDataError, match="no such file"):
        open_recording(tmp_path / "absent")
    with pytest.raises(RecordedDataError, match=r"no recorded data here.*kraken_btcusd\.parquet"):
        open_recording(tmp_path)
    (tmp_path / "notes.csv").touch()
    with pytest.raises(RecordedDataError, match="no recorded data here"):
        open_recording(tmp_path / "notes.csv")


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    cut = write_ftx(tmp_path / "FTTUSDT.csv.gz", list(range(500)))
    cut.write_bytes(cut.read_bytes()[:-20])
    with pytest.raises(RecordedDataError, match=r"FTTUSDT\.csv\.gz: not readable as FTX klines"):
        merged(cut)
    (tmp_path / "kraken_btcusd.parquet").write_bytes(b"no parquet")
    with pytest.raises(RecordedDataError, match=r"kraken_btcusd\.parquet: not readable"):
        merged(tmp_path / "kraken_btcusd.parquet")
    write_gzip(tmp_path / "NOVENUE.ws.1.gz", "1.0: {}\n")
    with pytest.raises(RecordedDataError, match=r"NOVENUE\.ws\.1\.gz: .*'novenue'"):
        merged(tmp_path / "NOVENUE.ws.1.gz")


def test_the_fingerprint_is_of_names_and_content_wherever_they_stand(tmp_path: Path) -> None:
    first = write_ftx(tmp_path / "a" / "ftx" / "FTTUSDT.csv.gz", [0])
    copy = tmp_path / "b" / "ftx" / "FTTUSDT.csv.gz"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(first.read_bytes())
    before = open_recording(first.parent).fingerprint()
    assert open_recording(copy.parent).fingerprint() == before
    write_ftx(copy, [1])
    assert open_recording(copy.parent).fingerprint() != before


DATA_SETS = [
    "depeg-2023-03",
    "binance-ticks-2024-08-08",
    "link-books-2021-08-20",
    "ftx-2022-11",
    "wire-samples",
]


def rows_counted_otherwise(path: Path) -> int:
    """Count the rows of a file without our readers."""
    if path.suffix == ".parquet":
        return len(pd.read_parquet(path))
    if path.name.endswith(".csv.gz"):
        return len(pd.read_csv(path))
    return sum(1 for line in gzip.open(path) if line.strip())


@pytest.mark.recorded
@pytest.mark.parametrize("data_set", DATA_SETS)
def test_every_recorded_row_is_accounted_for(recorded_data: Path, data_set: str) -> None:
    for file in open_recording(recorded_data / data_set).files:
        stats = ReplayStats()
        records = file.records(stats)
        assert stats.rows_read == rows_counted_otherwise(file.path), file.path.name
        assert stats.rows_used + stats.skipped.total() == stats.rows_read
        assert stats.events.total() == len(records) >= stats.rows_used
        if file.path.name.endswith((".parquet", ".csv.gz")):
            assert (len(records), stats.skipped) == (stats.rows_read, {}), file.path.name


@pytest.mark.recorded
@pytest.mark.parametrize("data_set", DATA_SETS)
def test_recorded_events_come_in_order_across_files(recorded_data: Path, data_set: str) -> None:
    last = 0
    for record in open_recording(recorded_data / data_set).records(ReplayStats()):
        event = json.loads(record.value)
        due_us = event["event_time_us"]
        if event["type"] == "bar":
            due_us += {"1m": 60, "1s": 1}[event["interval"]] * SECOND_US
        assert due_us >= last
        last = due_us


@pytest.mark.recorded
@pytest.mark.parametrize(
    ("file", "time", "expected"),
    [
        # The known facts of the data sets' README.
        ("kraken_usdcusd", "2023-03-11T07:15", {"low": 0.874}),
        ("binanceus_usdcusdt", "2023-03-11T04:30", {"low": 0.822, "trade_count": 111}),
        ("bybit_btcusdc", "2023-03-11T06:49", {"close": 23288}),
        ("kraken_btcusdc", "2023-03-11T06:49", {"close": 22600}),
        ("binanceus_btcusdc", "2023-03-11T06:49", {"close": 20656}),
    ],
)
def test_known_facts_of_the_depeg(
    recorded_data: Path, file: str, time: str, expected: dict[str, float]
) -> None:
    open_us = pd.Timestamp(time, tz="UTC").value // 1000
    (bar,) = [
        event
        for record in merged(recorded_data / "depeg-2023-03" / f"{file}.parquet")
        if (event := json.loads(record.value))["event_time_us"] == open_us
    ]
    for name, value in expected.items():
        assert round(bar[name], 0 if value > 1000 else 3) == value


@pytest.mark.recorded
def test_spot_quotes_stand_on_the_exchange_clock(recorded_data: Path) -> None:
    """Left on the receive clock, the first quote would be 1.27 s before the first trade."""
    folder = recorded_data / "binance-ticks-2024-08-08"
    spot = merged(folder / "spot_btcusdt_20240808.gz")
    first_trade_us = next(r.time_us for r in spot if r.event_type == "trade")
    first_quote_us = next(r.time_us for r in spot if r.event_type == "quote")
    assert abs(first_quote_us - first_trade_us) < 100_000
