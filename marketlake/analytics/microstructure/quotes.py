"""The top of the book: quoted spread, imbalance, microprice, order-flow imbalance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from numba import njit

from marketlake.analytics.compiled import LOOP
from marketlake.analytics.indicators.base import RowKernel, load2, load3, save2, save3
from marketlake.analytics.kernel import Float64, Int64
from marketlake.analytics.windows import (
    SUM_HEADER,
    load_window3,
    push_sum,
    save_window3,
    sum_width,
)

_QUOTE_WORDS = 5


@njit(**LOOP)
def _flow(price: float, size: float, last_price: float, last_size: float) -> float:
    """Give what a side of the book gained: all of it at a better price, the change at the same.

    ``price`` is turned round for the ask, so that better is higher.
    """
    gained = size if price >= last_price else 0.0
    return gained - (last_size if price <= last_price else 0.0)


@njit(**LOOP)
def _top_of_book(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    bid_price: Float64,
    bid_quantity: Float64,
    ask_price: Float64,
    ask_quantity: Float64,
    out: Float64,
    row: int,
    window: int,
) -> None:
    # State: [whether a quote was taken; last bid, its quantity; last ask, its quantity; a window of
    # sums of the flow].
    at = word + _QUOTE_WORDS
    for run in range(series.size):
        k = series[run]
        taken, last_bid, last_bid_size = load3(states, k, word)
        last_ask, last_ask_size = load2(states, k, word + 3)
        full, pos, front = load_window3(states, k, at)
        for i in range(starts[run], starts[run + 1]):
            bid, bid_size, ask, ask_size = (
                bid_price[i],
                bid_quantity[i],
                ask_price[i],
                ask_quantity[i],
            )
            out[row, i] = out[row + 1, i] = out[row + 2, i] = out[row + 3, i] = math.nan
            size = bid_size + ask_size
            if not (
                0.0 < bid <= ask < math.inf
                and 0.0 < size < math.inf
                and bid_size >= 0.0 <= ask_size
            ):
                continue
            out[row, i] = 1e4 * (ask - bid) / (0.5 * (ask + bid))
            out[row + 1, i] = (bid_size - ask_size) / size
            out[row + 2, i] = bid + (ask - bid) * (bid_size / size)
            if taken > 0.0:
                flow = _flow(bid, bid_size, last_bid, last_bid_size)
                flow -= _flow(-ask, ask_size, -last_ask, last_ask_size)
                full, pos, front, total = push_sum(
                    states, k, at + SUM_HEADER, window, full, pos, front, flow
                )
                if full > 0.0:
                    out[row + 3, i] = total
            taken, last_bid, last_bid_size, last_ask, last_ask_size = (
                1.0, bid, bid_size, ask, ask_size,
            )  # fmt: skip
        save3(states, k, word, taken, last_bid, last_bid_size)
        save2(states, k, word + 3, last_ask, last_ask_size)
        save_window3(states, k, at, full, pos, front)


@dataclass(frozen=True, slots=True)
class TopOfBook(RowKernel):
    """Quoted spread, book imbalance, microprice and order-flow imbalance of each quote.

    ``quoted_spread_bps = 1e4 * (ask - bid) / mid``, at least 0. ``book_imbalance = (bid quantity -
    ask quantity) / both quantities``, from -1 to 1. ``microprice = (bid * ask quantity + ask * bid
    quantity) / both quantities``, in the unit of the price, between bid and ask.
    ``order_flow_imbalance``, in units of the base currency: the sum over the last ``window``
    changes of what the bid side gained less what the ask side gained; a side gains its quantity at
    a better or equal price and loses its last one at a worse or equal price. Sources: J. Gatheral,
    R. C. A. Oomen, Zero-intelligence realized variance estimation, Finance and Stochastics 14, 2010
    (microprice); R. Cont, A. Kukanov, S. Stoikov, The Price Impact of Order Book Events, Journal of
    Financial Econometrics 12, 2014 (order flow). Warm-up: none for the first three, ``window``
    quotes for the last. A quote that is not finite, crossed, or without any quantity is skipped:
    NaN for that row.

    Parameters
    ----------
    window
        Quotes, at least 1.
    """

    window: int
    base: ClassVar = "top_of_book"
    inputs: ClassVar = ("bid_price", "bid_quantity", "ask_price", "ask_quantity")
    loop: ClassVar = staticmethod(_top_of_book)

    @property
    def outputs(self) -> tuple[str, ...]:
        return (
            "quoted_spread_bps",
            "book_imbalance",
            "microprice",
            f"order_flow_imbalance{self.suffix}",
        )

    @property
    def width(self) -> int:
        return _QUOTE_WORDS + sum_width(self.window)

    @property
    def warm_up(self) -> int:
        return 0
