"""Seeded files for the daily job: a day of raw trades, and minute bars with planted jumps.

Files are made once a folder and name: another size or seed is another file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pc
from workload import CONVERSIONS, VENUES, Workload

DAY: Final = "2024-08-08"
_MIDNIGHT_US: Final = 1_723_075_200_000_000
_DAY_US: Final = 86_400_000_000
_MINUTE_US: Final = 60_000_000
_CHUNK: Final = 1_000_000
_RETURN: Final = 5e-4
"""Standard deviation of the log return from one minute to the next."""
_JUMP: Final = 0.02
"""Log return of a planted jump: forty standard deviations."""
_JUMP_EVERY: Final = 240
"""Minutes between the planted jumps of a series; the first comes when the detector is warm."""


@dataclass(frozen=True)
class BarFile:
    """Minute bars, and where jumps were planted.

    Attributes
    ----------
    jumps : list of tuple
        Venue, instrument and open time in microseconds of each bar that jumps.
    """

    path: Path
    jumps: list[tuple[str, str, int]]


def trades_file(folder: Path, size_bytes: int, seed: int) -> Path:
    """Make a CSV of one day's trades, in time order, of about a size."""
    path = folder / f"trades-{size_bytes}-{seed}.csv"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    names = Workload(1).names
    rows = size_bytes // _row_bytes(rng, names)
    fresh = path.with_suffix(".tmp")
    with fresh.open("wb") as file:
        file.write(b"venue,instrument,event_time_us,price,quantity,trade_id,side\n")
        log_price = np.log([CONVERSIONS.get(n, 100.0) for n in names])
        for start in range(0, rows, _CHUNK):
            count = min(_CHUNK, rows - start)
            _write(file, _trades(rng, names, log_price, start, count, rows))
    fresh.rename(path)
    return path


def _row_bytes(rng: np.random.Generator, names: list[str]) -> int:
    sink = pa.BufferOutputStream()
    log_price = np.log([CONVERSIONS.get(n, 100.0) for n in names])
    # The first rows have the shortest numbers: the file is rather larger than asked for.
    _write(sink, _trades(rng, names, log_price, 1_000_000, 10_000, 20_000_000))
    return int(sink.getvalue().size // 10_000)


def _trades(
    rng: np.random.Generator,
    names: list[str],
    log_price: npt.NDArray[np.float64],
    start: int,
    count: int,
    rows: int,
) -> pa.Table:
    """Trades ``start`` to ``start + count`` of ``rows``, evenly over the day; prices go on."""
    which = rng.integers(0, len(names), count)
    move = rng.normal(0, 1e-4, count)
    order = np.argsort(which, kind="stable")
    walked = np.empty(count)
    # The walk of each instrument by itself: its steps lie together once sorted.
    bounds = np.searchsorted(which[order], np.arange(len(names) + 1))
    for k in range(len(names)):
        own = order[bounds[k] : bounds[k + 1]]
        if own.size:
            walked[own] = log_price[k] + np.cumsum(move[own])
            log_price[k] = walked[own[-1]]
    number = np.arange(start, start + count)
    side = pa.array(["sell", "buy"]).take(pa.array((move > 0).astype(np.int32)))
    return pa.table(
        {
            "venue": pa.array(VENUES).take(pa.array(rng.integers(0, len(VENUES), count))),
            "instrument": pa.array(names).take(pa.array(which)),
            "event_time_us": _MIDNIGHT_US + (number * (_DAY_US / rows)).astype(np.int64),
            "price": np.round(np.exp(walked), 6),
            # No trade of nothing.
            "quantity": np.round(rng.exponential(1, count) + 0.0001, 4),
            "trade_id": number,
            "side": side,
        }
    )


def _write(sink: object, table: pa.Table) -> None:
    pc.write_csv(table, sink, pc.WriteOptions(include_header=False, quoting_style="none"))


def bars_file(folder: Path, rows: int, seed: int) -> BarFile:
    """Make a CSV of minute bars of one day, a series after the other, with planted jumps."""
    rng = np.random.default_rng(seed)
    minutes = _DAY_US // _MINUTE_US
    path = folder / f"bars-{rows}-{seed}.csv"
    parts: list[pd.DataFrame] = []
    jumps: list[tuple[str, str, int]] = []
    for number in range(-(-rows // minutes)):
        venue = VENUES[number % len(VENUES)]
        instrument = f"S{number // len(VENUES):02d}-USDT"
        count = min(minutes, rows - number * minutes)
        move = rng.normal(0, _RETURN, count)
        planted = np.arange(_JUMP_EVERY // 2 + number, count, _JUMP_EVERY)
        move[planted] += _JUMP
        open_us = _MIDNIGHT_US + np.arange(count) * _MINUTE_US
        jumps += [(venue, instrument, int(open_us[i])) for i in planted]
        parts.append(_series(rng, venue, instrument, open_us, move))
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        pd.concat(parts).to_csv(path, index=False)
    return BarFile(path, jumps)


def _series(
    rng: np.random.Generator,
    venue: str,
    instrument: str,
    open_us: npt.NDArray[np.int64],
    move: npt.NDArray[np.float64],
) -> pd.DataFrame:
    close = np.round(100 * np.exp(np.cumsum(move)), 4)
    opened = np.concatenate([[100.0], close[:-1]])
    wick = np.round(np.abs(rng.normal(0, 0.02, (2, move.size))), 4)
    return pd.DataFrame(
        {
            "venue": venue,
            "instrument": instrument,
            "interval": "1m",
            "event_time_us": open_us,
            "open": opened,
            "high": np.round(np.maximum(opened, close) + wick[0], 4),
            "low": np.round(np.minimum(opened, close) - wick[1], 4),
            "close": close,
            "volume": np.round(rng.exponential(10, move.size) + 0.01, 4),
        }
    )
