"""Trades one after the other: runs of one sign, price impact, effective spread."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from numba import njit

from marketlake.analytics.compiled import LOOP
from marketlake.analytics.indicators.base import RowKernel, load2, load3, save2, save3
from marketlake.analytics.kernel import Float64, Int64
from marketlake.analytics.microstructure.signs import is_trade, sign_of
from marketlake.analytics.windows import (
    PAIR_HEADER,
    load_window4,
    pair_width,
    push_pair,
    save_window4,
)


@njit(**LOOP)
def _trade_run(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    price: Float64,
    quantity: Float64,
    side: Float64,
    out: Float64,
    row: int,
) -> None:
    # State: [last price; last sign; signed length of the run].
    for run in range(series.size):
        k = series[run]
        last, sign, length = load3(states, k, word)
        for i in range(starts[run], starts[run + 1]):
            x = price[i]
            out[row, i] = out[row + 1, i] = math.nan
            if not is_trade(x, quantity[i]):
                continue
            now = sign_of(side[i], x, last, sign)
            length = length + now if now == sign else now
            last, sign = x, now
            out[row, i], out[row + 1, i] = sign, length
        save3(states, k, word, last, sign, length)


@dataclass(frozen=True, slots=True)
class TradeRun(RowKernel):
    """Sign of each trade, and how many of that sign came in a row, negative for sellers' trades.

    The sign is the aggressor's ``side`` (1 buyer, -1 seller), else the tick test's, 0 before either
    tells. Long runs are the mark of an order cut into pieces. Source: C. M. C. Lee, M. J. Ready,
    Journal of Finance 46, 1991 (tick test). No warm-up. A trade whose price or quantity is not
    finite and above 0 is skipped: NaN for that row.
    """

    base: ClassVar = "trade_run"
    parts: ClassVar = ("trade_sign", "trade_run")
    inputs: ClassVar = ("price", "quantity", "side")
    loop: ClassVar = staticmethod(_trade_run)

    @property
    def width(self) -> int:
        return 3

    @property
    def warm_up(self) -> int:
        return 0


@njit(**LOOP)
def _kyle_lambda(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    price: Float64,
    quantity: Float64,
    side: Float64,
    out: Float64,
    row: int,
    window: int,
) -> None:
    # State: [last price; last sign; windows of the sums of return times signed quantity and of its
    # square].
    at = word + 2
    for run in range(series.size):
        k = series[run]
        last, sign = load2(states, k, word)
        full, pos, crossed, squared = load_window4(states, k, at)
        for i in range(starts[run], starts[run + 1]):
            x = price[i]
            out[row, i] = math.nan
            if not is_trade(x, quantity[i]):
                continue
            sign = sign_of(side[i], x, last, sign)
            before, last = last, x
            if before == 0.0:
                continue
            signed = sign * quantity[i]
            change_bps = 1e4 * math.log(x / before)
            full, pos, crossed, squared, both, own = push_pair(
                states, k, at + PAIR_HEADER, window,
                full, pos, crossed, squared, signed * change_bps, signed * signed,
            )  # fmt: skip
            if full > 0.0 and own > 0.0:
                out[row, i] = both / own
        save2(states, k, word, last, sign)
        save_window4(states, k, at, full, pos, crossed, squared)


@dataclass(frozen=True, slots=True)
class KyleLambda(RowKernel):
    """Kyle's lambda: by how many bps a unit bought moves the price, over the last trades.

    Slope through the origin of the log return from trade to trade, in bps, on the signed quantity:
    ``sum(return * q) / sum(q * q)`` over ``window`` trades, in bps a unit of the base currency; NaN
    where no trade of the window has a sign. Source: A. S. Kyle, Continuous Auctions and Insider
    Trading, Econometrica 53, 1985; estimated trade by trade as in J. Hasbrouck, Empirical Market
    Microstructure, 2007. Warm-up: ``window`` trades. A trade whose price or quantity is not finite
    and above 0 is skipped: NaN for that row.

    Parameters
    ----------
    window
        Trades, at least 1.
    """

    window: int
    base: ClassVar = "kyle_lambda"
    inputs: ClassVar = ("price", "quantity", "side")
    loop: ClassVar = staticmethod(_kyle_lambda)

    @property
    def width(self) -> int:
        return 2 + pair_width(self.window)

    @property
    def warm_up(self) -> int:
        return self.window


@njit(**LOOP)
def _effective_spread(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    price: Float64,
    quantity: Float64,
    side: Float64,
    mid: Float64,
    out: Float64,
    row: int,
    window: int,
) -> None:
    # State: [last price; last sign; windows of the sums of spread times quantity and of quantity].
    at = word + 2
    for run in range(series.size):
        k = series[run]
        last, sign = load2(states, k, word)
        full, pos, paid, traded = load_window4(states, k, at)
        for i in range(starts[run], starts[run + 1]):
            x, middle = price[i], mid[i]
            out[row, i] = out[row + 1, i] = math.nan
            if not (is_trade(x, quantity[i]) and 0.0 < middle < math.inf):
                continue
            # Above the middle is a buyer's trade; the tick test is for those in the middle.
            sign = sign_of(side[i], x, middle if x != middle else last, sign)
            last = x
            spread_bps = 2e4 * sign * (x - middle) / middle
            full, pos, paid, traded, cost, volume = push_pair(
                states, k, at + PAIR_HEADER, window,
                full, pos, paid, traded, spread_bps * quantity[i], quantity[i],
            )  # fmt: skip
            out[row, i] = spread_bps
            if full > 0.0:
                out[row + 1, i] = cost / volume
        save2(states, k, word, last, sign)
        save_window4(states, k, at, full, pos, paid, traded)


@dataclass(frozen=True, slots=True)
class EffectiveSpread(RowKernel):
    """Effective spread of each trade, and its mean over the last trades by quantity, in bps.

    ``2e4 * sign * (price - mid) / mid``, ``mid`` being the middle of bid and ask just before the
    trade, on the same row; negative for a trade inside the other half. The sign is the aggressor's
    ``side``, else the side of the middle that the price is on, else the tick test's. Source: C. M.
    C. Lee, M. J. Ready, Journal of Finance 46, 1991; SEC Rule 605. Warm-up: none for the first,
    ``window - 1`` trades for the mean. A trade whose price, quantity or middle is not finite and
    above 0 is skipped: NaN for that row.

    Parameters
    ----------
    window
        Trades, at least 1.
    """

    window: int
    base: ClassVar = "effective_spread_bps"
    inputs: ClassVar = ("price", "quantity", "side", "mid")
    loop: ClassVar = staticmethod(_effective_spread)

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.base, f"effective_spread_mean_bps{self.suffix}")

    @property
    def width(self) -> int:
        return 2 + pair_width(self.window)

    @property
    def warm_up(self) -> int:
        return 0
