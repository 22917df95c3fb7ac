"""How one-sided the volume is: VPIN."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from numba import njit

from marketlake.analytics.compiled import LOOP
from marketlake.analytics.indicators.base import RowKernel
from marketlake.analytics.kernel import Float64, Int64
from marketlake.analytics.microstructure.signs import is_trade, sign_of
from marketlake.analytics.windows import (
    SUM_HEADER,
    load_window3,
    push_sum,
    save_window3,
    sum_width,
)

_VPIN_WORDS = 5


@njit(**LOOP)
def _vpin(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    price: Float64,
    quantity: Float64,
    side: Float64,
    out: Float64,
    row: int,
    bucket: float,
    buckets: int,
) -> None:
    # State: [last price; last sign; volume in the open bucket; bought less sold in it; sum of the
    # closed ones; a window of sums of their absolute differences].
    at = word + _VPIN_WORDS
    for run in range(series.size):
        k = series[run]
        for i in range(starts[run], starts[run + 1]):
            x, left = price[i], quantity[i]
            out[row, i] = math.nan
            if not is_trade(x, left):
                continue
            sign = sign_of(side[i], x, states[k, word], states[k, word + 1])
            states[k, word], states[k, word + 1] = x, sign
            filled, tilt, total = states[k, word + 2], states[k, word + 3], states[k, word + 4]
            full, pos, front = load_window3(states, k, at)
            closed = 0
            while filled + left >= bucket and closed <= buckets:
                tilt += sign * (bucket - filled)
                left -= bucket - filled
                full, pos, front, total = push_sum(
                    states, k, at + SUM_HEADER, buckets, full, pos, front, abs(tilt)
                )
                filled, tilt = 0.0, 0.0
                closed += 1
            # A trade that fills more than the whole window leaves what lies in no full bucket.
            left = left % bucket if left >= bucket else left
            states[k, word + 2], states[k, word + 3] = filled + left, tilt + sign * left
            states[k, word + 4] = total
            save_window3(states, k, at, full, pos, front)
            if full > 0.0:
                out[row, i] = min(total / (buckets * bucket), 1.0)


@dataclass(frozen=True, slots=True)
class Vpin(RowKernel):
    """VPIN: how one-sided the last buckets of equal volume were, from 0 to 1.

    ``sum(abs(bought - sold)) / (buckets * bucket)`` over the last ``buckets`` closed buckets of
    volume ``bucket``; a trade that fills one goes on in the next. The sign of a trade is the
    aggressor's ``side``, else the tick test's, where the authors share a bar's volume out by its
    return; volume without a sign counts as balanced. Source: D. Easley, M. Lopez de Prado, M.
    O'Hara, Flow Toxicity and Liquidity in a High-Frequency World, Review of Financial Studies 25,
    2012. Warm-up: the trades that fill the first ``buckets``. A trade whose price or quantity is
    not finite and above 0 is skipped: NaN for that row.

    Parameters
    ----------
    bucket
        Volume of a bucket in units of the base currency, above 0; a fiftieth of a day's is usual.
    buckets
        Buckets, at least 1; 50 are usual.
    """

    bucket: float
    buckets: int
    base: ClassVar = "vpin"
    inputs: ClassVar = ("price", "quantity", "side")
    loop: ClassVar = staticmethod(_vpin)

    @property
    def width(self) -> int:
        return _VPIN_WORDS + sum_width(self.buckets)

    @property
    def warm_up(self) -> int:
        return 0
