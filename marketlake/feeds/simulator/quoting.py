"""Prices that one listing quotes: its mid, its touch on the tick, its ladder, its sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from marketlake.contracts.events import US_PER_SECOND
from marketlake.feeds.simulator.config import Listing, SimulationConfig
from marketlake.feeds.simulator.incidents import Incident
from marketlake.feeds.simulator.prices import (
    FloatArray,
    IntArray,
    PricePaths,
    asset_profile,
    bounded_noise,
)
from marketlake.feeds.simulator.venues import REQUOTE_BPS, VENUE_PROFILES, spread_bps

NOISE_KNOT_US = 5_000_000
QUOTE_NOTIONAL_USD = 9_000.0
QUOTE_NOTIONAL_SIGMA = 0.8
DEPTH_GROWTH = 0.3
"""By how much each level of a book is larger than the touch."""


@dataclass(frozen=True, slots=True)
class Shift:
    """A displacement of a listing's prices, in logs, from ``start_us`` to before ``end_us``."""

    start_us: int
    end_us: int
    log_shift: float


class ListingPrices:
    """The prices of one listing at any time; times are microseconds after the start.

    Prices are counted in ticks (integers) and quantities rounded to lots, so that what goes on
    the wire is the shortest decimal and not the rest of a multiplication.
    """

    def __init__(
        self,
        listing: Listing,
        config: SimulationConfig,
        paths: PricePaths,
        incidents: list[Incident],
        rng: np.random.Generator,
    ) -> None:
        self.listing = listing
        self.profile = VENUE_PROFILES[listing.venue]
        self._paths = paths
        duration_us = float(config.duration_s * US_PER_SECOND)
        self._knots_us = np.arange(0.0, duration_us + 2 * NOISE_KNOT_US, NOISE_KNOT_US)
        self._noise = bounded_noise(rng, self._knots_us, self._knots_us[-1], NOISE_KNOT_US)
        self._noise *= self.profile.noise_bps * 1e-4
        self._half_spread = spread_bps(listing.venue, listing.instrument) * 1e-4 / 2.0
        base_usd = asset_profile(listing.base).start_usd
        price = base_usd / asset_profile(listing.quote).start_usd
        # 0.999 has as many decimals as 1.001: a peg must not change the tick.
        magnitude = math.floor(math.log10(price * 1.01))
        self.price_decimals = max(0, self.profile.price_digits - 1 - magnitude)
        self.lot_decimals = max(0, math.ceil(math.log10(base_usd * 1.01)))
        self._median_quantity = QUOTE_NOTIONAL_USD / base_usd
        self._shifts = [
            Shift(
                incident.start_us - config.start_time_us,
                incident.end_us - config.start_time_us,
                math.log1p(incident.magnitude),
            )
            for incident in incidents
            if incident.kind == "arbitrage_real"
            and incident.instruments == (listing.instrument,)
            and incident.venues[1] == listing.venue
        ]

    def log_mid(self, times_us: FloatArray) -> FloatArray:
        """Give the log of the price between bid and ask, before ticks."""
        lagged = times_us - self.profile.lag_ms * 1000.0
        mid = self._paths.log_price(self.listing.base, self.listing.quote, lagged)
        mid += np.interp(times_us, self._knots_us, self._noise)
        if self.listing.is_perpetual:
            premium = self._paths.premium[self.listing.base]
            mid += np.interp(lagged, self._paths.grid_us, premium)
        for shift in self._shifts:
            within = (times_us >= shift.start_us) & (times_us < shift.end_us)
            mid += np.where(within, shift.log_shift, 0.0)
        return mid

    def half_spread(self, times_us: FloatArray) -> FloatArray:
        """Give half of the spread as a fraction of price: wider when the market is wild."""
        volatility = np.interp(times_us, self._paths.grid_us, self._paths.volatility)
        surge = np.interp(times_us, self._paths.grid_us, self._paths.surge)
        result: FloatArray = self._half_spread * np.sqrt(volatility * surge)
        return result

    def touch_ticks(self, times_us: FloatArray) -> tuple[IntArray, IntArray]:
        """Give best bid and best ask in ticks, at least a tick apart."""
        in_ticks = np.exp(self.log_mid(times_us)) * 10.0**self.price_decimals
        half = self.half_spread(times_us)
        bid = np.maximum(np.floor(in_ticks * (1.0 - half)), 1.0).astype(np.int64)
        ask = np.ceil(in_ticks * (1.0 + half)).astype(np.int64)
        return bid, np.maximum(ask, bid + 1)

    def print_ticks(self, times_us: FloatArray, deviations: FloatArray) -> IntArray:
        """Give prices that deviate from the mid by a fraction, in ticks."""
        in_ticks = np.exp(self.log_mid(times_us)) * 10.0**self.price_decimals
        return np.maximum(np.rint(in_ticks * (1.0 + deviations)), 1.0).astype(np.int64)

    def to_price(self, ticks: IntArray) -> FloatArray:
        """Turn ticks into prices: the double nearest to the decimal."""
        return ticks / 10.0**self.price_decimals

    def to_lots(self, quantities: FloatArray) -> FloatArray:
        """Round quantities to lots, one lot at least."""
        scale = 10.0**self.lot_decimals
        result: FloatArray = np.maximum(np.rint(quantities * scale), 1.0) / scale
        return result

    def sizes(
        self, rng: np.random.Generator, shape: tuple[int, ...], times_us: FloatArray
    ) -> FloatArray:
        """Draw sizes of quotes or levels (time on axis 0), large where a real arbitrage is."""
        drawn = self._median_quantity * rng.lognormal(0.0, QUOTE_NOTIONAL_SIGMA, shape)
        for shift in self._shifts:
            within = (times_us >= shift.start_us) & (times_us < shift.end_us)
            drawn[within] = np.maximum(drawn[within], self._median_quantity) * 5.0
        return self.to_lots(drawn)

    def ladder(
        self, rng: np.random.Generator, times_us: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Draw books: bid prices, bid sizes, ask prices, ask sizes, each ``[times, levels]``."""
        bid, ask = self.touch_ticks(times_us)
        shape = (len(times_us), self.profile.book_levels)
        growth = 1.0 + DEPTH_GROWTH * np.arange(shape[1])
        mean_step = np.maximum((ask - bid) / 2.0, 1.0)[:, None]
        sides = []
        for best, direction in ((bid, -1), (ask, 1)):
            steps = 1 + np.floor(rng.exponential(1.0, shape) * mean_step).astype(np.int64)
            steps[:, 0] = 0
            ticks = np.maximum(best[:, None] + direction * np.cumsum(steps, axis=1), 1)
            sides += [self.to_price(ticks), self.to_lots(self.sizes(rng, shape, times_us) * growth)]
        return sides[0], sides[1], sides[2], sides[3]


def requote_times(
    prices: ListingPrices,
    grid_us: FloatArray,
    standing_us: FloatArray,
    last_log_mid: float,
    silent: list[tuple[int, int]],
) -> FloatArray:
    """Find where a listing must quote again, because its price left its last quote behind.

    Parameters
    ----------
    grid_us
        Times to look at, ascending.
    standing_us
        Times of the quotes that stand anyway, ascending.
    last_log_mid
        Log mid at the last quote before the grid; NaN if there was none.
    silent
        Stretches without any quote (start included, end excluded).

    Returns
    -------
    FloatArray
        Times out of ``grid_us``: with these added, no quote outside of ``silent`` is further
        than ``REQUOTE_BPS`` from the mid by the next point of the grid.
    """
    mid = prices.log_mid(grid_us)
    watched = np.ones(len(grid_us), dtype=np.bool_)
    for start_us, end_us in silent:
        watched &= (grid_us < start_us) | (grid_us >= end_us)
    first = mid[0] if math.isnan(last_log_mid) else last_log_mid
    times = np.concatenate(([-np.inf], standing_us))
    mids = np.concatenate(([first], prices.log_mid(standing_us)))
    added: list[FloatArray] = []
    while True:
        segment = np.searchsorted(times, grid_us, side="right") - 1
        left = np.flatnonzero(watched & (np.abs(mid - mids[segment]) > REQUOTE_BPS * 1e-4))
        if len(left) == 0:
            return np.sort(np.concatenate([np.empty(0), *added]))
        # One a segment, the first: what follows it is measured against the new quote.
        fresh = left[np.unique(segment[left], return_index=True)[1]]
        added.append(grid_us[fresh])
        order = np.argsort(np.concatenate((times, grid_us[fresh])), kind="stable")
        times = np.concatenate((times, grid_us[fresh]))[order]
        mids = np.concatenate((mids, mid[fresh]))[order]
