"""The quoted spread, sampled a minute: the mean over the quotes of the minute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit

from marketlake.analytics.arrays import Float64Array, Int64Array

_OPEN, _SUM, _COUNT = 0, 1, 2
NO_WINDOW: Final = -1.0


@dataclass(frozen=True)
class SpreadSamples:
    """Closed windows: series, start in µs, and mean quoted spread in bps of the mid price."""

    series: Int64Array
    open_time_us: Int64Array
    spread_bps: Float64Array


@njit(cache=True, nogil=True, error_model="numpy")
def _sample(
    states: Float64Array,
    series: Int64Array,
    time_us: Int64Array,
    bid: Float64Array,
    ask: Float64Array,
    length_us: np.int64,
    out_series: Int64Array,
    out_open: Int64Array,
    out_mean: Float64Array,
) -> int:
    closed = 0
    for i in range(series.size):
        state = states[series[i]]
        start = time_us[i] - time_us[i] % length_us
        if state[_OPEN] != start:
            if state[_COUNT] > 0:
                out_series[closed] = series[i]
                out_open[closed] = np.int64(state[_OPEN])
                out_mean[closed] = state[_SUM] / state[_COUNT]
                closed += 1
            state[_OPEN] = start
            state[_SUM] = 0.0
            state[_COUNT] = 0.0
        state[_SUM] += (ask[i] - bid[i]) / (0.5 * (ask[i] + bid[i])) * 1e4
        state[_COUNT] += 1.0
    return closed


@dataclass(frozen=True)
class QuotedSpread:
    """Keyed fold: quotes in time order a series to one sample a window.

    Parameters
    ----------
    length_us : int
        Length of a window in microseconds.
    """

    length_us: int

    @staticmethod
    def initial() -> Float64Array:
        """State of a series without a quote: start of the window, sum of bps, quotes."""
        return np.array([NO_WINDOW, 0.0, 0.0])

    def step(
        self,
        states: Float64Array,
        series: Int64Array,
        time_us: Int64Array,
        bid: Float64Array,
        ask: Float64Array,
    ) -> SpreadSamples:
        """Take quotes; a quote in a later window closes the open one. States change in place."""
        n = series.size
        which, start_us = np.empty(n, np.int64), np.empty(n, np.int64)
        mean_bps = np.empty(n, np.float64)
        closed = _sample(
            states, series, time_us, bid, ask, self.length_us, which, start_us, mean_bps
        )
        return SpreadSamples(which[:closed], start_us[:closed], mean_bps[:closed])

    def advance(self, states: Float64Array, watermark_us: int) -> SpreadSamples:
        """Close every window that ends at or before the watermark."""
        done = (states[:, _COUNT] > 0) & (states[:, _OPEN] + self.length_us <= watermark_us)
        series = np.flatnonzero(done).astype(np.int64)
        samples = SpreadSamples(
            series,
            states[series, _OPEN].astype(np.int64),
            states[series, _SUM] / states[series, _COUNT],
        )
        states[series] = self.initial()
        return samples
