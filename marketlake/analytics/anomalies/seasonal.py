"""How unusual a value is for this time of day."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from numba import njit

from marketlake.analytics.anomalies.exponential import (
    MOMENT_WORDS,
    push_weighted,
    weighted_variance,
)
from marketlake.analytics.anomalies.rolling_zscore import RELATIVE_FLOOR
from marketlake.analytics.kernel import Float64, Int64, KeyedKernel

DAY_US: Final = 86_400_000_000
SLOTS_MAX: Final = 288

# Words of a state: the overall moments, the slot being filled, then three words a slot.
_VISIT = MOMENT_WORDS
_FILLED, _FILLED_MEAN, _FILLED_M2 = _VISIT + 1, _VISIT + 2, _VISIT + 3
_SLOTS = _VISIT + 4
_SLOT_WORDS = 3


@njit(cache=True, nogil=True, error_model="numpy")
def _leave_slot(states: Float64, k: int, slots: int, day_decay: float) -> None:
    """Merge the values of the visit that ended into those of earlier days (Chan's formula)."""
    n = states[k, _FILLED]
    if n > 0.0:
        at = _SLOTS + _SLOT_WORDS * (int(states[k, _VISIT] - 1.0) % slots)
        earlier = day_decay * states[k, at]
        together = earlier + n
        delta = states[k, _FILLED_MEAN] - states[k, at + 1]
        states[k, at] = together
        states[k, at + 1] += delta * (n / together)
        states[k, at + 2] = (
            day_decay * states[k, at + 2]
            + states[k, _FILLED_M2]
            + delta * delta * (earlier * n / together)
        )
    states[k, _FILLED] = 0.0
    states[k, _FILLED_MEAN] = 0.0
    states[k, _FILLED_M2] = 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _seasonal_zscore(
    states: Float64,
    series: Int64,
    open_time_us: Float64,
    value: Float64,
    out: Float64,
    slots: int,
    min_count: int,
    prior_count: float,
    decay: float,
    day_decay: float,
    scale_min: float,
) -> None:
    slot_us = DAY_US // slots
    for i in range(series.size):
        x = value[i]
        out[0, i] = out[1, i] = out[2, i] = math.nan
        if not (math.isfinite(x) and math.isfinite(open_time_us[i])):
            continue
        k = series[i]
        # Slots since the epoch, plus one: 0 is the state that has seen nothing.
        visit = 1.0 + math.floor(open_time_us[i] / slot_us)
        if visit != states[k, _VISIT]:
            _leave_slot(states, k, slots, day_decay)
            states[k, _VISIT] = visit
        if states[k, 0] >= min_count:
            at = _SLOTS + _SLOT_WORDS * (int(visit - 1.0) % slots)
            n = states[k, at]
            part = n / (n + prior_count) if n > 1.0 else 0.0
            mean = states[k, 3]
            variance = weighted_variance(states, k, 0)
            if part > 0.0:
                mean += part * (states[k, at + 1] - mean)
                variance += part * (states[k, at + 2] / n - variance)
            scale = math.sqrt(variance)
            out[1, i] = mean
            out[2, i] = scale
            if scale > max(scale_min, RELATIVE_FLOOR * abs(mean)):
                z = (x - mean) / scale
                if math.isfinite(z):
                    out[0, i] = z
        push_weighted(states, k, 0, decay, x)
        states[k, _FILLED] += 1.0
        delta = x - states[k, _FILLED_MEAN]
        states[k, _FILLED_MEAN] += delta / states[k, _FILLED]
        states[k, _FILLED_M2] += delta * (x - states[k, _FILLED_MEAN])


@dataclass(frozen=True, slots=True)
class SeasonalZScore(KeyedKernel):
    """Deviation of a value from what the same time of day brought on earlier days.

    Volume and volatility have a shape over the day: what is much at 04:00 UTC is little at 14:30.
    The day (UTC) is cut into ``slots``. A slot keeps weight, mean and sum of squares of its values
    of earlier days, the weight of a day falling by half in ``half_life_days``; the values of today
    join it when the slot is left. The slot's moments are shrunk towards the overall ones, which
    are weighted by age as those of the exponential z-score, today's values among them::

        part     = n / (n + prior_count)          n = weight of the slot's values
        expected = overall mean + part * (slot mean - overall mean)
        scale**2 = overall variance + part * (slot variance - overall variance)

    (the slot's variance is its sum of squares over ``n``). So it begins as a slow z-score and
    becomes seasonal as days come in: shrinkage in the manner of James and Stein, with a fixed
    prior weight. ``z = (x - expected) / scale``.

    Warm-up: ``min_count`` values, NaN in all three columns. A value, or a time, that is not finite
    is skipped. A day without data changes nothing: a slot forgets by visits. No scale, no alarm:
    ``z`` is NaN where ``scale`` is not above ``max(scale_min, 1e-12 * |expected|)``.

    Parameters
    ----------
    slots
        Parts of a day, from 1 to 288, a divisor of the minutes of a day.
    min_count
        Values needed before the first score, at least 2.
    prior_count
        Values of a slot at which it counts as much as the overall level; above 0.
    overall_half_life
        Values after which a weight in the overall level has halved, at least 1.
    half_life_days
        Visits after which a slot's weight has halved, at least 1.
    scale_min
        Scale, in the unit of the values, up to which nothing is scored; at least 0.
    """

    slots: int = 24
    min_count: int = 30
    prior_count: float = 60.0
    overall_half_life: int = 1_440
    half_life_days: int = 7
    scale_min: float = 0.0
    inputs: ClassVar[tuple[str, ...]] = ("open_time_us", "value")
    outputs: ClassVar[tuple[str, ...]] = ("z", "expected", "scale")

    def __post_init__(self) -> None:
        if not 1 <= self.slots <= SLOTS_MAX or 1_440 % self.slots:
            msg = (
                f"{self.name} needs slots from 1 to {SLOTS_MAX} that part the 1440 minutes of a "
                f"day evenly, not {self.slots}"
            )
            raise ValueError(msg)
        if self.min_count < 2 or self.overall_half_life < 1 or self.half_life_days < 1:
            msg = (
                f"{self.name} needs min_count of at least 2 and half-lives of at least 1, not "
                f"{self.min_count}, {self.overall_half_life} and {self.half_life_days}"
            )
            raise ValueError(msg)
        if not (self.prior_count > 0 and math.isfinite(self.prior_count)):
            msg = f"{self.name} needs prior_count above 0, not {self.prior_count}"
            raise ValueError(msg)
        if not (self.scale_min >= 0 and math.isfinite(self.scale_min)):
            msg = f"{self.name} needs scale_min of at least 0, not {self.scale_min}"
            raise ValueError(msg)

    @property
    def name(self) -> str:
        return f"seasonal_{self.slots}"

    @property
    def width(self) -> int:
        return _SLOTS + _SLOT_WORDS * self.slots

    @property
    def warm_up(self) -> int:
        return self.min_count

    def _advance(
        self, states: Float64, series: Int64, columns: Sequence[Float64], out: Float64
    ) -> None:
        _seasonal_zscore(
            states, series, *columns, out, self.slots, self.min_count,
            float(self.prior_count), 2.0 ** (-1.0 / self.overall_half_life),
            2.0 ** (-1.0 / self.half_life_days), float(self.scale_min),
        )  # fmt: skip
