"""How one-sided the volume is: VPIN."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from numba import njit

from marketlake.analytics.compiled import LOOP
from marketlake.analytics.indicators.base import (
    RowKernel,
    averaged,
    load4,
    save4,
)
from marketlake.analytics.kernel import Float64, Int64
from marketlake.analytics.microstructure.signs import is_trade, sign_of
from marketlake.analytics.windows import (
    PAIR_HEADER,
    load_window4,
    pair_width,
    push_pair,
    save_window4,
)

_VPIN_WORDS = 8


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
    trades: int,
    buckets: int,
) -> None:
    # State: [last price; last sign; trades, at most the span; their average quantity, the sum while
    # there are fewer; volume in the open bucket; bought less sold in it; its size, 0 before the
    # first; VPIN; windows of the sums of absolute differences and of sizes].
    at = word + _VPIN_WORDS
    span = trades * buckets
    alpha = 1.0 / span
    for run in range(series.size):
        k = series[run]
        last, sign, count, average = load4(states, k, word)
        filled, tilt, size, vpin = load4(states, k, word + 4)
        full, pos, tilts, sizes = load_window4(states, k, at)
        for i in range(starts[run], starts[run + 1]):
            x, left = price[i], quantity[i]
            out[row, i] = math.nan
            if not is_trade(x, left):
                continue
            sign = sign_of(side[i], x, last, sign)
            last = x
            if size > 0.0:
                # More than fills the window says nothing more, and would stay in the average.
                left = min(left, (buckets + 1) * size)
            average = averaged(count, average, left, span, alpha)
            count = min(count + 1.0, float(span))
            if count < trades:
                continue
            fresh = trades * (average if count >= span else average / count)
            if size == 0.0:
                size = fresh
            while filled + left >= size:
                tilt += sign * (size - filled)
                left -= size - filled
                full, pos, tilts, sizes, total, volume = push_pair(
                    states, k, at + PAIR_HEADER, buckets, full, pos, tilts, sizes, abs(tilt), size
                )
                filled, tilt, size = 0.0, 0.0, fresh
                vpin = total / volume
            filled += left
            tilt += sign * left
            if full > 0.0:
                out[row, i] = min(vpin, 1.0)
        save4(states, k, word, last, sign, count, average)
        save4(states, k, word + 4, filled, tilt, size, vpin)
        save_window4(states, k, at, full, pos, tilts, sizes)


@dataclass(frozen=True, slots=True)
class Vpin(RowKernel):
    """VPIN: how one-sided the last buckets of volume were, from 0 to 1.

    ``sum(abs(bought - sold)) / sum(volume)`` over the last ``buckets`` full buckets; a trade that
    fills one goes on in the next. A bucket holds ``trades`` times the average quantity of a trade
    when it is opened, so that one parameter suits every instrument: the mean of all while there are
    fewer than ``trades * buckets``, then exponential with a weight of 1 in so many. The authors
    take a fiftieth of a day's volume. The sign of a trade is the aggressor's ``side``, else the
    tick test's, where the authors share a bar's volume out by its return; volume without a sign
    counts as balanced, and of a trade no more than ``buckets + 1`` times the open bucket. Source:
    D. Easley, M. Lopez de Prado, M. O'Hara, Flow Toxicity and Liquidity in a High-Frequency World,
    Review of Financial Studies 25, 2012. Warm-up: ``trades - 1`` trades, then those that fill the
    first ``buckets``. A trade whose price or quantity is not finite and above 0 is skipped: NaN for
    that row.

    Parameters
    ----------
    trades
        Trades of average quantity that fill a bucket, at least 1.
    buckets
        Buckets, at least 1; 50 are usual.
    """

    trades: int
    buckets: int
    base: ClassVar = "vpin"
    inputs: ClassVar = ("price", "quantity", "side")
    loop: ClassVar = staticmethod(_vpin)

    @property
    def width(self) -> int:
        return _VPIN_WORDS + pair_width(self.buckets)

    @property
    def warm_up(self) -> int:
        return 0
