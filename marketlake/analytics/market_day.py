"""What a day of one market looked like: where it traded, and which venue went first.

Pure functions over the arrays of a day. Sums run in the order of the rows, so that the day again
gives the same bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from marketlake.analytics.kernel import Float64, Int64

LEVEL_LOG: Final = 0.001
"""Height of a price level of the volume profile, as a log: 10 bps."""
VALUE_AREA: Final = 0.7
"""Part of the volume that the value area holds."""
MINUTES_MIN: Final = 30
"""Minutes that two venues must share before they are compared."""


@dataclass(frozen=True, slots=True)
class VolumeProfile:
    """Volume by price.

    Parameters
    ----------
    poc_price
        Point of control: middle of the level with most volume, the lower one on a tie.
    value_area_low, value_area_high
        Edges of the value area: the levels around the point of control that hold 70 % of the
        volume, grown by the neighbour with more volume, downwards on a tie.
    """

    poc_price: float
    value_area_low: float
    value_area_high: float


def volume_profile(price: Float64, volume: Float64) -> VolumeProfile | None:
    """Build the volume profile of a day (Steidlmayer's market profile, by volume).

    Parameters
    ----------
    price
        Shape ``(n,)``: price of each bar, above 0; its vwap, or its typical price.
    volume
        Shape ``(n,)``: at least 0. Bars without volume or with a price that is not finite do not
        count.

    Returns
    -------
    VolumeProfile or None
        None where nothing traded.
    """
    counted = np.isfinite(price) & (price > 0.0) & np.isfinite(volume) & (volume > 0.0)
    if not counted.any():
        return None
    level = np.floor(np.log(price[counted]) / LEVEL_LOG).astype(np.int64)
    lowest = int(level.min())
    by_level = np.bincount(level - lowest, weights=volume[counted])
    poc = int(by_level.argmax())
    low = high = poc
    held, wanted = float(by_level[poc]), VALUE_AREA * float(by_level.sum())
    while held < wanted:
        below = float(by_level[low - 1]) if low > 0 else -1.0
        above = float(by_level[high + 1]) if high + 1 < by_level.size else -1.0
        if below < 0.0 and above < 0.0:
            break
        if below >= above:
            low, held = low - 1, held + below
        else:
            high, held = high + 1, held + above
    return VolumeProfile(
        math.exp((lowest + poc + 0.5) * LEVEL_LOG),
        math.exp((lowest + low) * LEVEL_LOG),
        math.exp((lowest + high + 1) * LEVEL_LOG),
    )


@dataclass(frozen=True, slots=True)
class Link:
    """How the returns of two venues belong together.

    Parameters
    ----------
    minutes
        Minutes in which both have a return.
    correlation
        Pearson's, of the log returns of the same minutes; NaN below 30 minutes or without
        movement.
    lead_minutes
        By how many minutes the first leads the second where the correlation is best; negative if
        it follows, 0 if none is better than that of the same minute.
    lead_correlation
        Correlation there.
    """

    minutes: int
    correlation: float
    lead_minutes: int
    lead_correlation: float


def minute_returns(minute: Int64, close: Float64, minutes: int) -> Float64:
    """Lay log returns on a grid of minutes.

    Parameters
    ----------
    minute
        Shape ``(n,)``: minute of each bar, ascending, in ``[0, minutes)``.
    close
        Shape ``(n,)``.

    Returns
    -------
    Float64
        Shape ``(minutes,)``: the return into a minute whose minute before has a bar too, else NaN:
        a return over a gap is no return of a minute.
    """
    logs = np.full(minutes + 1, np.nan)
    logs[minute + 1] = np.log(close)
    returns: Float64 = np.diff(logs)
    return returns


def link(first: Float64, second: Float64, max_lag: int = 5) -> Link:
    """Correlate the returns of two venues at lags of up to ``max_lag`` minutes.

    Both of shape ``(minutes,)``, NaN where there is no return.
    """
    shared, correlation = _correlation(first, second)
    best, lead = correlation, 0
    for lag in sorted(range(-max_lag, max_lag + 1), key=lambda lag: (abs(lag), lag)):
        if lag == 0 or abs(lag) >= first.size:
            continue
        # The first leads by ``lag``: what it did then, the second does now.
        if lag > 0:
            _, at_lag = _correlation(first[:-lag], second[lag:])
        else:
            _, at_lag = _correlation(first[-lag:], second[:lag])
        if not math.isnan(at_lag) and not abs(at_lag) <= abs(best):
            best, lead = at_lag, lag
    return Link(shared, correlation, lead, best)


def _correlation(one: Float64, other: Float64) -> tuple[int, float]:
    both = np.isfinite(one) & np.isfinite(other)
    n = int(both.sum())
    if n < MINUTES_MIN:
        return n, math.nan
    x, y = one[both], other[both]
    x, y = x - x.mean(), y - y.mean()
    scale = math.sqrt(float((x * x).sum()) * float((y * y).sum()))
    return n, float((x * y).sum()) / scale if scale > 0.0 else math.nan
