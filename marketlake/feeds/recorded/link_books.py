"""LINK/USDT on Binance and Huobi, August 2021: ten-level books each second, one-second bars.

Times have no zone and mean UTC. The venue stands in the symbol's suffix.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from marketlake.contracts.events import Book, Event
from marketlake.feeds.recorded.records import Format, RecordedDataError, ReplayStats
from marketlake.feeds.recorded.rows import (
    UnreadableRowError,
    bars,
    csv_rows,
    instrument_of,
    number,
    time_us,
    utc_text_us,
)

_VENUES: Final = {"BNC": "binance", "HB": "huobi"}
_QUOTES: Final = ("USDT",)
_LEVELS: Final = 10
_BAR_COLUMNS: Final = ("timestamp", "symbol", "open", "high", "low", "close", "volume")
_BOOK_COLUMNS: Final = (
    "timestamp",
    "symbol",
    *(f"{side}{level}" for side in ("b", "bv", "a", "av") for level in range(1, _LEVELS + 1)),
)


def _market(symbol: str, path: Path) -> tuple[str, str]:
    """Split ``LINKUSDT.BNC`` into the venue and the instrument."""
    pair, _, suffix = symbol.partition(".")
    if suffix not in _VENUES:
        raise RecordedDataError(
            f"{path}: symbol {symbol} names no venue; known suffixes: {', '.join(_VENUES)}"
        )
    return _VENUES[suffix], instrument_of(pair, _QUOTES, path)


def _levels(prices: Sequence[str], quantities: Sequence[str]) -> list[tuple[float, float]]:
    """Pair a side's prices with its sizes, leaving out levels that the book did not have."""
    pairs = zip(prices, quantities, strict=True)
    return [(number(price), number(quantity)) for price, quantity in pairs if price]


def _books(path: Path, stats: ReplayStats) -> Iterator[Event]:
    """Give one book a row."""
    for time, symbol, *cells in csv_rows(path, _BOOK_COLUMNS, stats):
        venue, instrument = _market(symbol, path)
        sides = [cells[start : start + _LEVELS] for start in range(0, 4 * _LEVELS, _LEVELS)]
        try:
            book = Book(
                venue,
                instrument,
                time_us(time, utc_text_us),
                bids=_levels(sides[0], sides[1]),
                asks=_levels(sides[2], sides[3]),
            )
        except UnreadableRowError as reason:
            stats.skipped[str(reason)] += 1
            continue
        yield book


def _bars(path: Path, stats: ReplayStats) -> Iterator[Event]:
    """Give one bar a row; the seconds without a trade are absent and stay absent."""
    for time, symbol, *prices in csv_rows(path, _BAR_COLUMNS, stats):
        venue, instrument = _market(symbol, path)
        yield from bars(
            [(time, *prices, None)],
            venue=venue,
            instrument=instrument,
            interval="1s",
            to_us=utc_text_us,
            stats=stats,
        )


def read(path: Path, stats: ReplayStats) -> Iterator[Event]:
    """Give the books or the bars of one file, in the order of its rows.

    Raises
    ------
    RecordedDataError
        A column is missing, or a symbol names an unknown venue or quote asset.
    """
    yield from (_books if path.name.startswith("orderbook_") else _bars)(path, stats)


FORMAT: Final = Format(
    "LINK books",
    re.compile(r"(orderbook|bar)_[a-z0-9]+\.csv\.gz"),
    "orderbook_bnc.csv.gz",
    read,
)
