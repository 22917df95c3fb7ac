"""The tape of one listing: its trades, the prints that incidents plant, and bars made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from marketlake.contracts.events import INTERVAL_US
from marketlake.feeds.simulator.delivery import BoolArray
from marketlake.feeds.simulator.prices import FloatArray, IntArray, PricePaths, asset_profile
from marketlake.feeds.simulator.quoting import ListingPrices

TRADE_NOTIONAL_USD: Final = 400.0
TRADE_NOTIONAL_SIGMA: Final = 1.3
SWEEP_SHARE: Final = 0.08
"""Share of trades that one order causes together with the trade before, at the same time."""
PRINT_STEP_US: Final = 1_000_000
PRINTS_MIN: Final = 3
PRINT_LOTS_MAX: Final = 5
MINUTE_US: Final = INTERVAL_US["1m"]


@dataclass(frozen=True, slots=True)
class Tape:
    """Trades as columns, in order; ``planted`` marks those that an incident put there."""

    times_us: IntArray
    ticks: IntArray
    quantities: FloatArray
    buys: BoolArray
    planted: BoolArray


class TradeMaker:
    """Draws the trades of one listing: a Poisson process whose rate follows the activity.

    ``prints`` are the incidents on the tape as ``(start, end, deviation)``, microseconds after
    the start and a fraction of price. While one of some length lasts, nothing else trades.
    """

    def __init__(
        self,
        prices: ListingPrices,
        paths: PricePaths,
        rate: float,
        prints: list[tuple[int, int, float]],
        prints_rng: np.random.Generator,
    ) -> None:
        self._prices = prices
        self._paths = paths
        self._rate = rate
        self._prints = prints
        self._prints_rng = prints_rng
        self._median_quantity = TRADE_NOTIONAL_USD / asset_profile(prices.listing.base).start_usd

    def block(self, rng: np.random.Generator, begin_us: int, end_us: int) -> Tape:
        """Draw the trades from ``begin_us`` to before ``end_us``."""
        drawn = self._drawn(rng, begin_us, end_us)
        planted = self._planted(begin_us, end_us)
        times_us = np.concatenate((drawn.times_us, planted.times_us))
        order = np.argsort(times_us, kind="stable")
        return Tape(
            times_us[order],
            np.concatenate((drawn.ticks, planted.ticks))[order],
            np.concatenate((drawn.quantities, planted.quantities))[order],
            np.concatenate((drawn.buys, planted.buys))[order],
            np.concatenate((drawn.planted, planted.planted))[order],
        )

    def _drawn(self, rng: np.random.Generator, begin_us: int, end_us: int) -> Tape:
        paths, prices = self._paths, self._prices
        edges = np.array([begin_us, end_us], dtype=np.float64)
        begin, end = np.interp(edges, paths.grid_us, paths.cumulative_s)
        count = int(rng.poisson(self._rate * (end - begin)))
        at = np.sort(rng.uniform(begin, end, count))
        times = np.floor(np.interp(at, paths.cumulative_s, paths.grid_us))
        times = np.minimum(times, end_us - 1)
        swept = rng.random(count) < SWEEP_SHARE
        leader = np.maximum.accumulate(np.where(swept, 0, np.arange(count)))
        times = times[leader]
        buys = (rng.random(count) < 0.5)[leader]
        z = rng.standard_normal(count)
        surge = np.interp(times, paths.grid_us, paths.surge)
        quantities = self._median_quantity * np.exp(TRADE_NOTIONAL_SIGMA * z) * np.sqrt(surge)
        bid, ask = prices.touch_ticks(times)
        # An order much larger than usual eats through the touch.
        slip = np.floor(np.maximum(z - 1.0, 0.0) * (ask - bid) / 2.0).astype(np.int64)
        ticks = np.where(buys, ask + slip, np.maximum(bid - slip, 1))
        open_market = np.ones(count, dtype=np.bool_)
        for start_us, stop_us, _ in self._prints:
            if stop_us > start_us:
                open_market &= (times < start_us) | (times > stop_us)
        return Tape(
            times.astype(np.int64)[open_market],
            ticks[open_market],
            prices.to_lots(quantities)[open_market],
            buys[open_market],
            np.zeros(int(open_market.sum()), dtype=np.bool_),
        )

    def _planted(self, begin_us: int, end_us: int) -> Tape:
        times: list[FloatArray] = []
        deviations: list[FloatArray] = []
        for start_us, stop_us, deviation in self._prints:
            count = 1
            if stop_us > start_us:
                count = max(PRINTS_MIN, (stop_us - start_us) // PRINT_STEP_US)
            at = np.floor(np.linspace(start_us, stop_us, count))
            at = at[(at >= begin_us) & (at < end_us)]
            times.append(at)
            deviations.append(np.full(len(at), deviation))
        all_times = np.concatenate((np.empty(0), *times))
        all_deviations = np.concatenate((np.empty(0), *deviations))
        count = len(all_times)
        lots = self._prints_rng.integers(1, PRINT_LOTS_MAX + 1, count)
        return Tape(
            all_times.astype(np.int64),
            self._prices.print_ticks(all_times, all_deviations),
            self._prices.to_lots(lots / 10.0**self._prices.lot_decimals),
            all_deviations > 0.0,
            np.ones(count, dtype=np.bool_),
        )


@dataclass(frozen=True, slots=True)
class BarColumns:
    """1-minute bars as columns; ``prices`` are open, high, low, close."""

    open_times_us: IntArray
    prices: tuple[FloatArray, FloatArray, FloatArray, FloatArray]
    volumes: FloatArray
    counts: IntArray


class BarMaker:
    """Makes the bars that a venue publishes, of all its trades, the lost ones included.

    Only whole minutes are published. A minute without a trade is left out, or with
    ``keeps_empty`` published flat at the last close with volume 0.
    """

    def __init__(self, start_time_us: int, *, keeps_empty: bool) -> None:
        self._start_time_us = start_time_us
        self._keeps_empty = keeps_empty
        self._last_close: float | None = None

    def block(self, tape: Tape, prices: FloatArray, begin_us: int, end_us: int) -> BarColumns:
        """Make the bars of the whole minutes of one block; blocks part at whole minutes."""
        first = -(-(self._start_time_us + begin_us) // MINUTE_US)
        minutes = max((self._start_time_us + end_us) // MINUTE_US - first, 0)
        minute = (tape.times_us + self._start_time_us) // MINUTE_US - first
        edges = np.searchsorted(minute, np.arange(minutes + 1))
        counts = np.diff(edges).astype(np.int64)
        traded = np.flatnonzero(counts)
        starts, stops = edges[:-1][traded], edges[1:][traded]
        inside = slice(None, int(edges[-1]))
        columns = [
            prices[starts],
            _reduce(np.maximum, prices[inside], starts),
            _reduce(np.minimum, prices[inside], starts),
            prices[stops - 1],
        ]
        volumes = _reduce(np.add, tape.quantities[inside], starts)
        opens_us = (first + np.arange(minutes, dtype=np.int64)) * MINUTE_US
        if not self._keeps_empty:
            return BarColumns(opens_us[traded], _four(columns), volumes, counts[traded])
        return self._with_empty(opens_us, counts, traded, columns, volumes)

    def _with_empty(
        self,
        opens_us: IntArray,
        counts: IntArray,
        traded: npt.NDArray[np.intp],
        columns: list[FloatArray],
        volumes: FloatArray,
    ) -> BarColumns:
        carried = np.nan if self._last_close is None else self._last_close
        closes = np.concatenate(([carried], columns[3]))
        latest = closes[np.cumsum(counts > 0)]
        full = [latest.copy() for _ in columns]
        for column, values in zip(full, columns, strict=True):
            column[traded] = values
        all_volumes = np.zeros(len(opens_us))
        all_volumes[traded] = volumes
        if not np.isnan(closes[-1]):
            self._last_close = float(closes[-1])
        known = ~np.isnan(latest)
        return BarColumns(
            opens_us[known],
            _four([column[known] for column in full]),
            all_volumes[known],
            counts[known],
        )


def _four(columns: list[FloatArray]) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    return columns[0], columns[1], columns[2], columns[3]


def _reduce(how: np.ufunc, values: FloatArray, starts: npt.NDArray[np.intp]) -> FloatArray:
    if len(starts) == 0:
        return np.empty(0)
    result: FloatArray = how.reduceat(values, starts)
    return result
