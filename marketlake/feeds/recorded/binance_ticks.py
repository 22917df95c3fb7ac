"""Raw frames of Binance, August 2024: quotes, trades and book deltas, spot and USD-M perpetual.

A line is the local receive time in nanoseconds, a space, and the exchange's JSON. The receive
clock ran about 1.27 s behind the exchange's, and spot quotes carry no exchange time: a quote
without one is placed at its receive time plus the file's median difference between the clocks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Final, Literal

from marketlake.contracts.events import Event
from marketlake.feeds.recorded.records import Format, ReplayStats, account
from marketlake.feeds.recorded.rows import instrument_of
from marketlake.feeds.venues.binance import BinanceNormaliser
from marketlake.feeds.venues.samples import RecordedFrame, normalise, read_tick_file

_QUOTES: Final = ("USDT",)
_MARKETS: Final[dict[str, Literal["spot", "perp"]]] = {"spot": "spot", "usdm": "perp"}
_EXCHANGE_MS: Final = re.compile(r'"E":(\d{13})\b')


def clock_offset_us(frames: Iterable[RecordedFrame]) -> int:
    """Estimate how far the exchange's clock is ahead of the receive clock, in microseconds.

    The median over the frames that carry an exchange time, so that a frame held up on its way
    does not count; it is short by the median way of a frame, some milliseconds. 0 where no frame
    carries a time.
    """
    differences = [
        int(exchange_ms[1]) * 1_000 - frame.received_time_us
        for frame in frames
        if (exchange_ms := _EXCHANGE_MS.search(frame.payload))
    ]
    return round(median(differences)) if differences else 0


def read(path: Path, stats: ReplayStats) -> Iterator[Event]:
    """Give the events of one file, in the order of its frames.

    Raises
    ------
    ValueError
        A line is no recorded frame, or the pair in the file name is unknown.
    """
    prefix, symbol, _ = path.name.split("_")
    market = _MARKETS[prefix]
    suffix = "-PERP" if market == "perp" else ""
    normaliser = BinanceNormaliser(
        market=market,
        # The snapshot was asked for over REST and names no symbol: the file does.
        default_instrument=instrument_of(symbol, _QUOTES, path) + suffix,
        clock_offset_us=clock_offset_us(read_tick_file(path)),
    )
    yield from normalise(read_tick_file(path), normaliser)
    account(normaliser, stats)


FORMAT: Final = Format(
    "Binance ticks",
    re.compile(rf"({'|'.join(_MARKETS)})_[a-z0-9]+_\d{{8}}\.gz"),
    "spot_btcusdt_20240808.gz",
    read,
)
