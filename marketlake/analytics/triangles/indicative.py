"""Triangles of closes, for study: how far the prices of one venue are from agreeing.

A close is not a price at which anybody may trade: no row is an opportunity. Two rules keep out what
never was there. All bars of a triangle have ended at that moment, with trades in each: a close of
another minute, or carried on without volume, says nothing about now. And each bar must have traded
a least notional, reckoned round the triangle: two trades of 212 USDC in all at Binance.US on
2023-03-03 01:47 would make a residual of 1,006 bps that nobody could have traded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit

from marketlake.analytics.arrays import Columns, Float64Array, Int64Array
from marketlake.analytics.compiled import LOOP
from marketlake.analytics.depth.walk import BPS, BUY
from marketlake.analytics.triangles.cycles import CycleArrays

INT_COLUMNS: Final = ("time_us", "interval", "cycle")
FLOAT_COLUMNS: Final = ("gross_bps", "fees_bps")


@njit(**LOOP)
def _round_trip(
    cycles: CycleArrays, c: int, close: Float64Array, volume: Float64Array
) -> tuple[float, float]:
    """What one unit comes to, and how many units could have gone round in the time of the bars."""
    amount, most = 1.0, np.inf
    for k in range(cycles.length[c]):
        leg = cycles.legs[c, k]
        i, buys = leg >> 1, leg & 1 == BUY
        most = min(most, (volume[i] * close[i] if buys else volume[i]) / amount)
        amount = amount / close[i] if buys else amount * close[i]
    return amount, most


@njit(**LOOP)
def _whole(cycles: CycleArrays, c: int, moment: Int64Array, now: int) -> bool:
    """Tell whether every leg has a close of this moment."""
    for k in range(cycles.length[c]):  # noqa: SIM110 - compiled
        if moment[cycles.legs[c, k] >> 1] != now:
            return False
    return True


@njit(**LOOP)
def _note(
    moment: Int64Array, close: Float64Array, volume: Float64Array, i: int, now: int,
    row_close: float, row_volume: float,
) -> None:  # fmt: skip
    """Take a bar in which something was traded."""
    if row_volume > 0.0:
        moment[i], close[i], volume[i] = now, row_close, row_volume


@njit(**LOOP)
def _study(
    cycles: CycleArrays, smallest: Float64Array, studied: Int64Array, time_us: Int64Array,
    instrument: Int64Array, interval: Int64Array, row_close: Float64Array,
    row_volume: Float64Array, moment: Int64Array, seen: Int64Array, close: Float64Array,
    volume: Float64Array, out_int: Int64Array, out_float: Float64Array,
) -> tuple[int, int]:  # fmt: skip
    """Take whole moments until done or until the output is full; rows taken, rows given."""
    count = start = 0
    while start < time_us.size:
        stop, need = start, 0
        while (
            stop < time_us.size
            and time_us[stop] == time_us[start]
            and interval[stop] == interval[start]
        ):
            i = instrument[stop]
            _note(moment, close, volume, i, start, row_close[stop], row_volume[stop])
            need += cycles.touch_start[i + 1] - cycles.touch_start[i]
            stop += 1
        if not studied[interval[start]]:
            start = stop
            continue
        if count + need > out_int.shape[0]:
            return start, count
        for row in range(start, stop):
            i = instrument[row]
            for t in range(cycles.touch_start[i], cycles.touch_start[i + 1]):
                one = cycles.touch[t] & ~1
                if seen[one] == start:
                    continue
                seen[one] = start
                if not _whole(cycles, one, moment, start):
                    continue
                forth, most = _round_trip(cycles, one, close, volume)
                back, _ = _round_trip(cycles, one + 1, close, volume)
                # Prices at the ends of what a double can hold overflow on the way round.
                if most >= smallest[one] and 0.0 < max(forth, back) < math.inf:
                    out_int[count, 0], out_int[count, 1] = time_us[start], interval[start]
                    out_int[count, 2] = one if forth >= back else one + 1
                    out_float[count, 0] = (max(forth, back) - 1.0) * BPS
                    out_float[count, 1] = cycles.fees_bps[one]
                    count += 1
        start = stop
    return start, count


@dataclass(frozen=True)
class IndicativeTriangles:
    """Closed bars in the total order: one row a cycle and moment, its better direction.

    A moment is never cut, so that nothing has to be kept between calls.

    Attributes
    ----------
    smallest : float64[c]
        What could have gone round during the bars at the least, in the asset a cycle begins with.
    studied : int64[intervals]
        1 for intervals that are looked at, by code.
    """

    cycles: CycleArrays
    smallest: Float64Array
    studied: Int64Array

    def step(self, bars: Columns) -> Columns:
        """Take bars: ``time_us``, ``instrument``, ``interval``, ``close`` and ``volume``.

        Of two bars of an instrument at one moment the later row counts.

        Returns
        -------
        Columns
            ``INT_COLUMNS`` and ``FLOAT_COLUMNS``.
        """
        n = self.cycles.touch_start.size - 1
        names = ("time_us", "instrument", "interval", "close", "volume")
        columns = [bars[name] for name in names]
        parts: list[tuple[Int64Array, Float64Array]] = []
        done, width = 0, 4_096
        while done < columns[0].size:
            out_int = np.empty((width, len(INT_COLUMNS)), np.int64)
            out_float = np.empty((width, len(FLOAT_COLUMNS)))
            taken, count = _study(
                self.cycles, self.smallest, self.studied, *(column[done:] for column in columns),
                np.full(n, -1), np.full(self.cycles.length.size, -1), np.empty(n), np.empty(n),
                out_int, out_float,
            )  # fmt: skip
            # One moment may give more than the buffer holds; then it needs a larger one.
            width = width if taken else 2 * width
            done += taken
            parts.append((out_int[:count], out_float[:count]))
        if not parts:
            parts = [(np.empty((0, len(INT_COLUMNS)), np.int64), np.empty((0, len(FLOAT_COLUMNS))))]
        ints = np.concatenate([part[0] for part in parts])
        floats = np.concatenate([part[1] for part in parts])
        return {
            **dict(zip(INT_COLUMNS, np.ascontiguousarray(ints.T), strict=True)),
            **dict(zip(FLOAT_COLUMNS, np.ascontiguousarray(floats.T), strict=True)),
        }
