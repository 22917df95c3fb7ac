"""One-minute klines of Binance during the FTX collapse of November 2022, one CSV file a pair."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from marketlake.contracts.events import Event
from marketlake.feeds.recorded.records import Format, ReplayStats
from marketlake.feeds.recorded.rows import bars, csv_rows, instrument_of, milliseconds_us

_QUOTES: Final = ("USDT", "BUSD", "BTC", "ETH", "BNB")
_COLUMNS: Final = (
    "Kline open time",
    "Open price",
    "High price",
    "Low price",
    "Close price",
    "Volume",
    "Number of trades",
)


def read(path: Path, stats: ReplayStats) -> Iterator[Event]:
    """Give the bars of one file, in the order of its rows; its index column is unnamed."""
    yield from bars(
        csv_rows(path, _COLUMNS, stats),
        venue="binance",
        instrument=instrument_of(path.name.removesuffix(".csv.gz"), _QUOTES, path),
        interval="1m",
        to_us=milliseconds_us,
        stats=stats,
    )


FORMAT: Final = Format("FTX klines", re.compile(r"[A-Z0-9]+\.csv\.gz"), "FTTUSDT.csv.gz", read)
