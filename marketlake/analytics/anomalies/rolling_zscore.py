"""How unusual a value is against the values of its series just before it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from numba import njit

from marketlake.analytics.kernel import Float64, Int64, KeyedKernel
from marketlake.analytics.windows import moments, moments_width, push_moments

RELATIVE_FLOOR: Final = 1e-12
"""A deviation of less than this part of the mean is rounding, not movement.

Doubles carry about 1.1e-16; a value that went through some ten operations is good to 1e-15, and a
price with twelve significant digits does not exist. So a deviation below 1e-12 of the mean can
only come from arithmetic on a constant.
"""


@njit(cache=True, nogil=True, error_model="numpy")
def _rolling_zscore(
    states: Float64,
    series: Int64,
    value: Float64,
    out: Float64,
    window: int,
    min_count: int,
    scale_min: float,
) -> None:
    for i in range(series.size):
        x = value[i]
        out[0, i] = out[1, i] = out[2, i] = math.nan
        if not math.isfinite(x):
            continue
        k = series[i]
        count, mean, m2 = moments(states, k, window)
        if count >= min_count:
            scale = math.sqrt(m2 / (count - 1.0))
            out[1, i] = mean
            out[2, i] = scale
            if scale > max(scale_min, RELATIVE_FLOOR * abs(mean)):
                z = (x - mean) / scale
                if math.isfinite(z):
                    out[0, i] = z
        push_moments(states, k, window, x)


@dataclass(frozen=True, slots=True)
class RollingZScore(KeyedKernel):
    """Deviation of a value from the mean of those before it, in their standard deviations.

    ``z = (x - expected) / scale``: ``expected`` is the mean and ``scale`` the sample standard
    deviation (divided by ``count - 1``) of the up to ``window`` finite values of the series before
    ``x``, which itself is not among them: it joins the window afterwards, unusual or not.

    Warm-up: ``min_count`` values, NaN in all three columns. A value that is not finite is skipped:
    NaN in all three, and the window stays. A series that does not move gives no alarm, for it has
    no scale to judge by: ``z`` is NaN, never infinite, where ``scale`` is not above
    ``max(scale_min, 1e-12 * |expected|)``; ``expected`` and ``scale`` are given all the same. The
    relative part catches what rounding makes of a constant; it says nothing where the mean is
    about 0 (returns), and a market that moved by a single tick in an hour has a scale, if a tiny
    one: set ``scale_min`` for these, to about a tick.

    Parameters
    ----------
    window
        Values to judge by, at least 2.
    min_count
        Values needed before the first score, from 2 to ``window``.
    scale_min
        Scale, in the unit of the values, up to which nothing is scored; at least 0.
    """

    window: int = 60
    min_count: int = 30
    scale_min: float = 0.0
    inputs: ClassVar[tuple[str, ...]] = ("value",)
    outputs: ClassVar[tuple[str, ...]] = ("z", "expected", "scale")

    def __post_init__(self) -> None:
        if not 2 <= self.min_count <= self.window:
            msg = f"{self.name} needs min_count from 2 to the window, not {self.min_count}"
            raise ValueError(msg)
        if not (self.scale_min >= 0 and math.isfinite(self.scale_min)):
            msg = f"{self.name} needs scale_min of at least 0, not {self.scale_min}"
            raise ValueError(msg)

    @property
    def name(self) -> str:
        return f"zscore_{self.window}"

    @property
    def width(self) -> int:
        return moments_width(self.window)

    @property
    def warm_up(self) -> int:
        return self.min_count

    def _advance(
        self, states: Float64, series: Int64, columns: Sequence[Float64], out: Float64
    ) -> None:
        _rolling_zscore(
            states, series, columns[0], out, self.window, self.min_count, float(self.scale_min)
        )
