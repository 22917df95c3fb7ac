"""One-minute bars of four venues through the USDC depeg of March 2023, one parquet file a pair.

The venues' files differ: Binance.US keeps the exchange's kline columns with the open time in
milliseconds; Coinbase has the start in seconds as text and low and high before open; Kraken and
Bybit keep the time in the index. Minutes without a trade are absent and stay absent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from marketlake.contracts.events import Event
from marketlake.feeds.recorded.records import Format, RecordedDataError, ReplayStats
from marketlake.feeds.recorded.rows import (
    bars,
    instrument_of,
    milliseconds_us,
    require_columns,
    seconds_us,
)

_QUOTES: Final = ("USDT", "USDC", "USD")
_PRICES: Final = ("open", "high", "low", "close", "volume")


class _Layout(NamedTuple):
    """Where a venue's files have the time and the trade count."""

    time: str | None
    """Column of the open time; None for the file's index, a column of timestamps."""
    to_us: Callable[[Any], int]
    trades: str | None


_LAYOUTS: Final = {
    "binanceus": _Layout("open_time", milliseconds_us, "trades"),
    "coinbase": _Layout("start", seconds_us, None),
    "kraken": _Layout(None, int, "trades"),
    "bybit": _Layout(None, int, "n_trades"),
}


def _index(path: Path, table: pa.Table) -> pa.ChunkedArray:
    """Give the index as integer microseconds; a time without zone means UTC."""
    for name in table.column_names:
        if pa.types.is_timestamp(table.schema.field(name).type):
            return table[name].cast(pa.timestamp("us")).cast(pa.int64())
    raise RecordedDataError(
        f"{path}: no column of timestamps for the index; it has {', '.join(table.column_names)}"
    )


def read(path: Path, stats: ReplayStats) -> Iterator[Event]:
    """Give the bars of one file, in the order of its rows.

    Raises
    ------
    RecordedDataError
        A column is missing, or the pair in the file name is unknown.
    """
    venue, symbol = path.stem.split("_")
    layout = _LAYOUTS[venue]
    table = pq.read_table(path)
    wanted = [name for name in (layout.time, *_PRICES, layout.trades) if name]
    require_columns(path, wanted, table.column_names)
    times = _index(path, table) if layout.time is None else table[layout.time]
    cells = [times.to_pylist(), *(table[name].to_pylist() for name in _PRICES)]
    cells.append(table[layout.trades].to_pylist() if layout.trades else [None] * table.num_rows)
    stats.rows_read += table.num_rows
    yield from bars(
        zip(*cells, strict=True),
        venue=venue,
        instrument=instrument_of(symbol, _QUOTES, path),
        interval="1m",
        to_us=layout.to_us,
        stats=stats,
    )


FORMAT: Final = Format(
    "depeg bars",
    re.compile(rf"({'|'.join(_LAYOUTS)})_[a-z0-9]+\.parquet"),
    "kraken_btcusd.parquet",
    read,
)
