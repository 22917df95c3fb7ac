"""Checks that need one row alone: domain of every value, order of a book, plausible time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from marketlake.analytics.arrays import Float64Array, Int64Array
from marketlake.contracts.events import (
    BOOK_LEVELS_MAX,
    INTERVAL_US,
    US_PER_SECOND,
    EventType,
)
from marketlake.contracts.reasons import Reason, mark
from streaming.stages.rows import UNKNOWN_SIDE, Rows
from streaming.stages.scan import NO_LONG

EARLIEST_EVENT_US: Final = 315_532_800 * US_PER_SECOND
"""1980-01-01: no electronic record of a market that we read is older."""
LATEST_EVENT_US: Final = 4_102_444_800 * US_PER_SECOND
"""2100-01-01: beyond it lies a time in nanoseconds, not an event."""
_UNITS_US: Final = (US_PER_SECOND, 1_000)
"""Seconds and milliseconds taken for microseconds."""
_NS_PER_US: Final = 1_000

_PRICES: Final[dict[EventType, tuple[str, ...]]] = {
    "trade": ("price",),
    "quote": ("bid_price", "ask_price"),
    "book": (),
    "bar": ("open", "high", "low", "close"),
}
_QUANTITIES: Final[dict[EventType, tuple[str, ...]]] = {
    "trade": ("quantity",),
    "quote": ("bid_quantity", "ask_quantity"),
    "book": (),
    "bar": ("volume",),
}


@dataclass(frozen=True)
class TimeBounds:
    """How far an event's time may run ahead of the source's timestamp."""

    ahead_of_source_us: int


def validate(
    rows: Rows, expected: EventType | None, source_time_us: Int64Array, bounds: TimeBounds
) -> None:
    """Add to ``rows.reasons`` what is wrong with each row, in place.

    Parameters
    ----------
    expected : EventType or None
        Type that the topic is for; None where the topic's name does not tell.
    source_time_us : int64[n]
        The source's timestamp of each row.
    """
    if expected is not None and rows.event_type != expected:
        rows.reasons |= int(Reason.WRONG_TOPIC)
    refused = rows.refused()
    for name in _PRICES[rows.event_type]:
        _check_price(rows.numbers[name], rows.reasons, refused)
    for name in _QUANTITIES[rows.event_type]:
        _check_quantity(rows.numbers[name], rows.reasons, refused)
    _check_time(rows, source_time_us, bounds)
    if rows.event_type == "trade":
        mark(rows.reasons, rows.side == UNKNOWN_SIDE, Reason.INVALID_FIELD)
    elif rows.event_type == "quote":
        crossed = rows.numbers["bid_price"] > rows.numbers["ask_price"]
        mark(rows.reasons, crossed, Reason.CROSSED_BOOK)
    elif rows.event_type == "book":
        _check_books(rows)
    else:
        _check_bars(rows)


def _check_price(price: Float64Array, reasons: Int64Array, refused: npt.NDArray[np.bool_]) -> None:
    finite = np.isfinite(price)
    if not finite.all():
        mark(reasons, ~finite & ~refused, Reason.NON_FINITE_PRICE)
    low = price <= 0
    if low.any():
        mark(reasons, finite & low, Reason.NON_POSITIVE_PRICE)


def _check_quantity(
    quantity: Float64Array, reasons: Int64Array, refused: npt.NDArray[np.bool_]
) -> None:
    finite = np.isfinite(quantity)
    if not finite.all():
        mark(reasons, ~finite & ~refused, Reason.NON_FINITE_QUANTITY)
    negative = quantity < 0
    if negative.any():
        mark(reasons, finite & negative, Reason.NEGATIVE_QUANTITY)


def _check_time(rows: Rows, source_time_us: Int64Array, bounds: TimeBounds) -> None:
    time_us = rows.event_time_us
    known = time_us != NO_LONG
    outside = known & ((time_us < EARLIEST_EVENT_US) | (time_us >= LATEST_EVENT_US))
    if outside.any():
        wrong_unit = np.zeros(time_us.size, np.bool_)
        for unit_us in _UNITS_US:
            wrong_unit |= (time_us >= EARLIEST_EVENT_US // unit_us) & (
                time_us < LATEST_EVENT_US // unit_us
            )
        wrong_unit |= (time_us >= EARLIEST_EVENT_US * _NS_PER_US) & (
            time_us // _NS_PER_US < LATEST_EVENT_US
        )
        mark(rows.reasons, outside & wrong_unit, Reason.TIME_WRONG_UNIT)
        mark(rows.reasons, outside & ~wrong_unit, Reason.TIME_OUT_OF_BOUNDS)
    received_us = rows.received_time_us
    absurd = (received_us != NO_LONG) & (
        (received_us < EARLIEST_EVENT_US) | (received_us >= LATEST_EVENT_US)
    )
    mark(rows.reasons, absurd, Reason.INVALID_FIELD)
    ahead = known & ~outside & (time_us > source_time_us + bounds.ahead_of_source_us)
    if ahead.any():
        mark(rows.reasons, ahead, Reason.TIME_AHEAD_OF_SOURCE)


def _check_books(rows: Rows) -> None:
    for i, (bids, asks) in enumerate(zip(rows.bids, rows.asks, strict=True)):
        if bids is None or asks is None or rows.reasons[i] & Reason.INVALID_FIELD:
            continue
        rows.reasons[i] |= int(_book_reasons(bids, asks))


def _book_reasons(bids: list[tuple[float, float]], asks: list[tuple[float, float]]) -> Reason:
    found = Reason(0)
    if not bids and not asks:
        return Reason.EMPTY_BOOK
    for levels, direction in ((bids, -1), (asks, 1)):
        prices: npt.NDArray[Any] = np.array([price for price, _ in levels], np.float64)
        quantities = np.array([quantity for _, quantity in levels], np.float64)
        if not np.isfinite(prices).all():
            found |= Reason.NON_FINITE_PRICE
        elif (prices <= 0).any():
            found |= Reason.NON_POSITIVE_PRICE
        if not np.isfinite(quantities).all():
            found |= Reason.NON_FINITE_QUANTITY
        elif (quantities < 0).any():
            found |= Reason.NEGATIVE_QUANTITY
        if (np.diff(prices) * direction <= 0).any():
            found |= Reason.UNSORTED_BOOK
        if len(levels) > BOOK_LEVELS_MAX:
            # Not cut to its top: the row would be another than the message, and nobody told.
            found |= Reason.TOO_MANY_LEVELS
    if bids and asks and bids[0][0] >= asks[0][0]:
        found |= Reason.CROSSED_BOOK
    return found


def _check_bars(rows: Rows) -> None:
    unknown = np.array([i is not None and i not in INTERVAL_US for i in rows.intervals], np.bool_)
    mark(rows.reasons, unknown[rows.interval], Reason.INVALID_FIELD)
    counts = rows.trade_count
    mark(rows.reasons, (counts < 0) & (counts != NO_LONG), Reason.INVALID_FIELD)
    open_, high, low, close = (rows.numbers[n] for n in ("open", "high", "low", "close"))
    with np.errstate(invalid="ignore"):
        inconsistent = (high < np.fmax(open_, close)) | (low > np.fmin(open_, close))
    mark(rows.reasons, inconsistent, Reason.INCONSISTENT_BAR)
    lengths_us = [INTERVAL_US.get(i, 1) if i else 1 for i in rows.intervals]
    lengths = np.array(lengths_us, np.int64)[rows.interval]
    in_bounds = (rows.event_time_us >= EARLIEST_EVENT_US) & (rows.event_time_us < LATEST_EVENT_US)
    misaligned = (rows.event_time_us % lengths != 0) & in_bounds
    mark(rows.reasons, misaligned, Reason.INVALID_FIELD)
