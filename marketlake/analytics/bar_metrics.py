"""What anomalies are looked for in: return, excursion, volume and peg of a bar."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from marketlake.analytics.kernel import Float64, Int64, KeyedKernel


@njit(cache=True, nogil=True, error_model="numpy")
def _metrics(
    states: Float64,
    series: Int64,
    high: Float64,
    low: Float64,
    close: Float64,
    volume: Float64,
    out: Float64,
) -> None:
    for i in range(series.size):
        state = states[series[i]]
        previous = state[0]
        traded = volume[i] > 0.0
        out[0, i] = np.nan
        out[1, i] = np.nan
        # A minute without volume carries the last price on: it is no observation of a return.
        if traded and previous > 0.0:
            out[0, i] = np.log(close[i] / previous)
            up, down = np.log(high[i] / previous), np.log(low[i] / previous)
            out[1, i] = up if up > -down else down
        out[2, i] = np.log(volume[i]) if traded else np.nan
        out[3, i] = np.nan
        if traded:
            out[3, i] = high[i] if high[i] - 1.0 > 1.0 - low[i] else low[i]
            state[0] = close[i]


class BarMetrics(KeyedKernel):
    """Metrics of a bar against the bar before it in its series.

    ``return`` is ln(close / previous close); ``excursion`` is the larger, in absolute value, of
    ln(high / previous close) and ln(low / previous close), signed: a wick that the close does
    not show; ``volume`` is ln(volume), whose tails a z-score can bear; ``peg`` is high or low,
    whichever is farther from 1. All are NaN where a bar has no volume, the first two in the first
    bar of a series as well; the previous close is that of the last bar with volume.
    """

    @property
    def name(self) -> str:
        """Name of the kernel."""
        return "bar_metrics"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns of a bar that count."""
        return ("high", "low", "close", "volume")

    @property
    def outputs(self) -> tuple[str, ...]:
        """Metrics, in order."""
        return ("return", "excursion", "volume", "peg")

    @property
    def width(self) -> int:
        """One word: the close of the last bar with volume; 0 before any."""
        return 1

    @property
    def warm_up(self) -> int:
        """The first bar has nothing before it."""
        return 1

    def _advance(
        self, states: Float64, series: Int64, columns: Sequence[Float64], out: Float64
    ) -> None:
        _metrics(states, series, *columns, out)
