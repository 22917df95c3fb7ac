"""How unusual a value is against the values before it, the newer ones counting more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from numba import njit

from marketlake.analytics.anomalies.rolling_zscore import RELATIVE_FLOOR
from marketlake.analytics.kernel import Float64, Int64, KeyedKernel

MOMENT_WORDS: Final = 5
"""Words of weighted moments: count, sum of weights, of their squares, mean, sum of squares."""


@njit(cache=True, nogil=True, error_model="numpy")
def push_weighted(states: Float64, k: int, at: int, decay: float, x: float) -> None:
    """Add ``x`` with weight 1 to the moments in words ``at`` on, after all others lost weight.

    West's update of weighted moments (1979), the weights falling as in Finch (2009).
    """
    weight = decay * states[k, at + 1] + 1.0
    delta = x - states[k, at + 3]
    mean = states[k, at + 3] + delta / weight
    states[k, at] += 1.0
    states[k, at + 1] = weight
    states[k, at + 2] = decay * decay * states[k, at + 2] + 1.0
    states[k, at + 3] = mean
    states[k, at + 4] = decay * states[k, at + 4] + delta * (x - mean)


@njit(cache=True, nogil=True, error_model="numpy")
def weighted_variance(states: Float64, k: int, at: int) -> float:
    """Give the variance of weighted moments, unbiased; NaN of fewer than two values."""
    weight = states[k, at + 1]
    if states[k, at] < 2.0:
        return math.nan
    return states[k, at + 4] / (weight - states[k, at + 2] / weight)


@njit(cache=True, nogil=True, error_model="numpy")
def _exponential_zscore(
    states: Float64,
    series: Int64,
    value: Float64,
    out: Float64,
    decay: float,
    min_count: int,
    scale_min: float,
) -> None:
    for i in range(series.size):
        x = value[i]
        out[0, i] = out[1, i] = out[2, i] = math.nan
        if not math.isfinite(x):
            continue
        k = series[i]
        if states[k, 0] >= min_count:
            mean = states[k, 3]
            scale = math.sqrt(weighted_variance(states, k, 0))
            out[1, i] = mean
            out[2, i] = scale
            if scale > max(scale_min, RELATIVE_FLOOR * abs(mean)):
                z = (x - mean) / scale
                if math.isfinite(z):
                    out[0, i] = z
        push_weighted(states, k, 0, decay, x)


@dataclass(frozen=True, slots=True)
class ExponentialZScore(KeyedKernel):
    """Deviation of a value from the weighted mean of those before it, in their deviations.

    ``z = (x - expected) / scale`` as of the rolling z-score, but no value ever leaves: one that is
    ``h`` values old weighs ``2**(-h / half_life)``. It adapts to a change of regime without the
    echo that a window has when an outlier leaves it, and its state does not grow with its memory.
    ``expected`` is the weighted mean and ``scale`` the root of the weighted variance, by the
    updates of West (1979; Finch 2009), with reliability weights: divided by ``W - W2 / W`` where
    ``W`` is the sum of the weights and ``W2`` that of their squares, so that the first values are
    not biased towards 0.

    Warm-up: ``min_count`` values, NaN in all three columns. A value that is not finite is skipped.
    No scale, no alarm: ``z`` is NaN where ``scale`` is not above
    ``max(scale_min, 1e-12 * |expected|)``.

    Parameters
    ----------
    half_life
        Values after which a weight has halved, at least 1.
    min_count
        Values needed before the first score, at least 2.
    scale_min
        Scale, in the unit of the values, up to which nothing is scored; at least 0.
    """

    half_life: int = 30
    min_count: int = 30
    scale_min: float = 0.0
    inputs: ClassVar[tuple[str, ...]] = ("value",)
    outputs: ClassVar[tuple[str, ...]] = ("z", "expected", "scale")

    def __post_init__(self) -> None:
        if self.half_life < 1 or self.min_count < 2:
            msg = (
                f"{self.name} needs half_life of at least 1 and min_count of at least 2, "
                f"not {self.half_life} and {self.min_count}"
            )
            raise ValueError(msg)
        if not (self.scale_min >= 0 and math.isfinite(self.scale_min)):
            msg = f"{self.name} needs scale_min of at least 0, not {self.scale_min}"
            raise ValueError(msg)

    @property
    def name(self) -> str:
        return f"ewma_{self.half_life}"

    @property
    def width(self) -> int:
        return MOMENT_WORDS

    @property
    def warm_up(self) -> int:
        return self.min_count

    def _advance(
        self, states: Float64, series: Int64, columns: Sequence[Float64], out: Float64
    ) -> None:
        decay = 2.0 ** (-1.0 / self.half_life)
        _exponential_zscore(
            states, series, columns[0], out, decay, self.min_count, float(self.scale_min)
        )
