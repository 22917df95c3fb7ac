"""Spreads of closes, for study: a close is not a price at which anybody may trade."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit

from marketlake.analytics.arrays import Columns, Float64Array, Int64Array
from marketlake.analytics.compiled import LOOP
from marketlake.analytics.spreads.pricing import spread
from marketlake.analytics.spreads.universe import Universe

NO_CLOSE_US: Final = -(2**62)


@njit(**LOOP)
def _best_pair(
    universe: Universe,
    base: int,
    prices: Float64Array,
    times_us: Int64Array,
    now_us: int,
    max_age_us: int,
    pair_int: Int64Array,
    pair_float: Float64Array,
) -> bool:
    """Write the pair of a base asset with the best net spread; tell whether there is one."""
    best = -np.inf
    first, last = universe.member_start[base], universe.member_start[base + 1]
    for m in range(first, last):
        buy = universe.members[m]
        for n in range(first, last):
            sell = universe.members[n]
            rate, gross_bps, fees_bps, _, _ = spread(
                universe, buy, sell, prices, prices, times_us, now_us, max_age_us
            )
            if rate > 0.0 and gross_bps - fees_bps > best:
                best = gross_bps - fees_bps
                pair_int[2], pair_int[3] = buy, sell
                pair_int[4], pair_int[5] = now_us - times_us[buy], now_us - times_us[sell]
                pair_float[0], pair_float[1] = prices[buy], prices[sell]
                pair_float[2], pair_float[3], pair_float[4] = rate, gross_bps, fees_bps
    return best > -np.inf


@njit(**LOOP)
def _study(
    universe: Universe,
    close: Float64Array,
    close_time_us: Int64Array,
    time_us: Int64Array,
    instrument: Int64Array,
    interval: Int64Array,
    price: Float64Array,
    volume: Float64Array,
    max_age_us: int,
    seen: Int64Array,
    out_int: Int64Array,
    out_float: Float64Array,
) -> int:
    count = start = 0
    while start < time_us.size:
        stop = start
        now_us, k = time_us[start], interval[start]
        while stop < time_us.size and time_us[stop] == now_us and interval[stop] == k:
            # Without volume a bar carries an old price on: the close before it stays as it was.
            if volume[stop] > 0.0:
                close[k, instrument[stop]] = price[stop]
                close_time_us[k, instrument[stop]] = now_us
            stop += 1
        for row in range(start, stop):
            base = universe.base[instrument[row]]
            if seen[base] == start:
                continue
            seen[base] = start
            out_int[0, count], out_int[1, count] = now_us, k
            if _best_pair(
                universe, base, close[k], close_time_us[k], now_us, max_age_us,
                out_int[:, count], out_float[:, count],
            ):  # fmt: skip
                count += 1
        start = stop
    return count


@dataclass
class IndicativeSpreads:
    """Fold over closed bars in the total order: one row a base asset and moment.

    Attributes
    ----------
    close : float64[intervals, n]
        Last close with volume of each instrument of the universe; NaN before any.
    close_time_us : int64[intervals, n]
        When that bar ended.
    """

    universe: Universe
    max_age_us: int
    close: Float64Array
    close_time_us: Int64Array

    def step(self, bars: Columns) -> Columns:
        """Take bars in order of (time, interval).

        Parameters
        ----------
        bars : Columns
            ``time_us``, ``instrument``, ``interval``, ``close`` and ``volume``.

        Returns
        -------
        Columns
            ``time_us, interval, buy, sell, buy_age_us, sell_age_us, buy_price, sell_price,
            conversion_rate, gross_bps, fees_bps`` of the pair with the best net spread.
        """
        n = bars["time_us"].size
        out_int, out_float = np.empty((6, n), np.int64), np.empty((5, n), np.float64)
        count = _study(
            self.universe,
            self.close,
            self.close_time_us,
            bars["time_us"],
            bars["instrument"],
            bars["interval"],
            bars["close"],
            bars["volume"],
            self.max_age_us,
            np.full(self.universe.member_start.size, -1, np.int64),
            out_int,
            out_float,
        )
        names = ("time_us", "interval", "buy", "sell", "buy_age_us", "sell_age_us")
        values = ("buy_price", "sell_price", "conversion_rate", "gross_bps", "fees_bps")
        return {
            **{name: out_int[i, :count] for i, name in enumerate(names)},
            **{name: out_float[i, :count] for i, name in enumerate(values)},
        }
