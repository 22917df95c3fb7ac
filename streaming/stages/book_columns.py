"""What the folds take of quotes and books beside the best prices: levels, and time on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from marketlake.analytics.arrays import Columns, Float64Array, Int64Array
from marketlake.analytics.depth.market import NO_TRANSIT_US
from streaming.stages.rows import Rows
from streaming.stages.scan import NO_LONG


def transit_us(rows: Rows) -> Int64Array:
    """Reception less event time; ``NO_TRANSIT_US`` where the message has no time of reception."""
    absent = rows.received_time_us == NO_LONG
    received_us = np.where(absent, 0, rows.received_time_us)
    return np.where(absent, NO_TRANSIT_US, received_us - rows.event_time_us)


def book_columns(rows: Rows, depth: int) -> Columns:
    """Best prices and sizes of books, and with a depth above 1 their levels.

    Returns
    -------
    Columns
        ``bid_price``, ``bid_quantity``, ``ask_price``, ``ask_quantity``, NaN where a side is
        empty; ``levels``, float64[n, 4, depth]: bid prices and sizes, ask prices and sizes, best
        first, NaN behind the last.
    """
    levels = np.full((len(rows.bids), 4, depth), np.nan)
    for at, sides in ((0, rows.bids), (2, rows.asks)):
        held, numbers = _numbers(sides, depth)
        levels[:, at][held], levels[:, at + 1][held] = numbers[:, 0], numbers[:, 1]
    names = ("bid_price", "bid_quantity", "ask_price", "ask_quantity")
    columns: Columns = {name: levels[:, i, 0].copy() for i, name in enumerate(names)}
    if depth > 1:
        columns["levels"] = levels
    return columns


def _numbers(sides: list[Any], depth: int) -> tuple[npt.NDArray[np.bool_], Float64Array]:
    """Where levels stand in a matrix of ``depth`` columns, and their prices and sizes in order."""
    lengths = np.array([min(len(side), depth) if side else 0 for side in sides], np.int64)
    flat = [level for side in sides if side for level in side[:depth]]
    numbers = np.array(flat, np.float64).reshape(-1, 2)
    return np.arange(depth) < lengths[:, np.newaxis], numbers
