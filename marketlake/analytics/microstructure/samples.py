"""What quotes and trades say, sampled a bar: the means and the sums over the rows of the bar."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from marketlake.analytics.compiled import LOOP
from marketlake.analytics.kernel import Float64, Int64

NO_WINDOW = -1.0


@dataclass(frozen=True)
class Samples:
    """Closed windows: series, start in µs, and for each value its rows, their sum and their mean.

    ``count``, ``total`` and ``mean`` have shape ``(values, windows)``; a mean of nothing is NaN.
    """

    series: Int64
    open_time_us: Int64
    count: Float64
    total: Float64
    mean: Float64


@njit(**LOOP)
def _sample(
    states: Float64,
    series: Int64,
    time_us: Int64,
    values: Float64,
    length_us: int,
    out_series: Int64,
    out_open: Int64,
    out_sums: Float64,
) -> int:
    # State: [start of the open window; sum and count of each value].
    width = 2 * len(values)
    closed = 0
    for i in range(series.size):
        k = series[i]
        start = time_us[i] - time_us[i] % length_us
        if states[k, 0] != start:
            if states[k, 0] != NO_WINDOW:
                out_series[closed] = k
                out_open[closed] = np.int64(states[k, 0])
                for j in range(width):
                    out_sums[closed, j] = states[k, 1 + j]
                closed += 1
            states[k, 0] = start
            for j in range(width):
                states[k, 1 + j] = 0.0
        for j in range(len(values)):
            if np.isfinite(values[j, i]):
                states[k, 1 + 2 * j] += values[j, i]
                states[k, 2 + 2 * j] += 1.0
    return closed


@dataclass(frozen=True)
class WindowMeans:
    """Keyed fold: rows in time order a series to one sample a window, the mean of each value.

    A value that is not finite counts in no mean; a window without one has NaN.

    Parameters
    ----------
    length_us
        Length of a window in microseconds.
    values
        How many values a row has.
    """

    length_us: int
    values: int

    def initial(self) -> Float64:
        """State of a series without a row: start of the window, sum and count of each value."""
        return np.array([NO_WINDOW] + [0.0] * (2 * self.values))

    def step(self, states: Float64, series: Int64, time_us: Int64, values: Float64) -> Samples:
        """Take rows, ``values`` of shape ``(values, n)``. States change in place.

        A row in a later window closes the open one.
        """
        n = len(series)
        which, start_us = np.empty(n, np.int64), np.empty(n, np.int64)
        sums = np.empty((n, 2 * self.values))
        closed = _sample(states, series, time_us, values, self.length_us, which, start_us, sums)
        return _samples(which[:closed], start_us[:closed], sums[:closed])

    def advance(self, states: Float64, watermark_us: int) -> Samples:
        """Close every window that ends at or before the watermark."""
        done = (states[:, 0] != NO_WINDOW) & (states[:, 0] + self.length_us <= watermark_us)
        series = np.flatnonzero(done).astype(np.int64)
        samples = _samples(series, states[series, 0].astype(np.int64), states[series, 1:])
        states[series] = self.initial()
        return samples


def _samples(series: Int64, open_time_us: Int64, sums: Float64) -> Samples:
    total, count = sums[:, ::2].T, sums[:, 1::2].T
    mean = np.full(total.shape, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return Samples(series, open_time_us, count.copy(), total.copy(), mean)
