"""What one row alone can be refused for, at the edges."""

from __future__ import annotations

import json

import numpy as np
import pytest

from marketlake.contracts.reasons import Reason
from streaming.stages.decode import decode
from streaming.stages.validate import EARLIEST_EVENT_US, LATEST_EVENT_US, TimeBounds, validate

NOW = 1_736_949_600_000_000
BOUNDS = TimeBounds(10_000_000)
HEADER = {"venue": "binance", "instrument": "BTC-USDT", "event_time_us": NOW}
TRADE = {**HEADER, "type": "trade", "price": 2.0, "quantity": 1.0}
QUOTE = {
    **HEADER, "type": "quote", "bid_price": 1.0, "bid_quantity": 1.0, "ask_price": 2.0,
    "ask_quantity": 1.0,
}  # fmt: skip
BOOK = {**HEADER, "type": "book", "bids": [[2.0, 1], [1.0, 1]], "asks": [[3.0, 1], [4.0, 1]]}
BAR = {
    **HEADER, "type": "bar", "interval": "1m", "open": 2.0, "high": 3.0, "low": 1.0, "close": 2.5,
    "volume": 0.0,
}  # fmt: skip
R = Reason


def falling(levels):
    """A side of so many levels, from a price of as many down to 1."""
    return [[float(price), 1] for price in range(levels, 0, -1)]


def reason(event, expected=None, source_us=NOW, **changes):
    [rows] = decode([json.dumps({**event, **changes}).encode()]).rows.values()
    validate(rows, expected, np.array([source_us]), BOUNDS)
    return R(int(rows.reasons[0]))


@pytest.mark.parametrize("event", [TRADE, QUOTE, BOOK, BAR], ids=lambda e: e["type"])
def test_a_sound_event_has_no_reason_but_in_another_topic(event):
    assert reason(event) == R(0)
    assert reason(event, event["type"]) == R(0)
    for topic in {"trade", "quote", "book", "bar"} - {event["type"]}:
        assert reason(event, topic) == R.WRONG_TOPIC


@pytest.mark.parametrize(
    ("time_us", "expected"),
    [
        (EARLIEST_EVENT_US, R(0)), (EARLIEST_EVENT_US - 1, R.TIME_OUT_OF_BOUNDS),
        (0, R.TIME_OUT_OF_BOUNDS), (-1, R.TIME_OUT_OF_BOUNDS),
        (LATEST_EVENT_US, R.TIME_OUT_OF_BOUNDS), (NOW // 1_000, R.TIME_WRONG_UNIT),
        (NOW // 1_000_000, R.TIME_WRONG_UNIT), (NOW * 1_000, R.TIME_WRONG_UNIT),
        (2**63 - 1, R.TIME_OUT_OF_BOUNDS), (NOW + 10_000_000, R(0)),
        (NOW + 10_000_001, R.TIME_AHEAD_OF_SOURCE), (LATEST_EVENT_US - 1, R.TIME_AHEAD_OF_SOURCE),
    ],
)  # fmt: skip
def test_a_time_is_plausible_in_microseconds_and_not_ahead_of_its_source(time_us, expected):
    assert reason(TRADE, event_time_us=time_us) == expected


@pytest.mark.parametrize(
    ("event", "changes", "expected"),
    [
        (TRADE, {"price": 0.0}, R.NON_POSITIVE_PRICE),
        (TRADE, {"price": -0.0}, R.NON_POSITIVE_PRICE),
        (TRADE, {"price": 5e-324}, R(0)),
        (TRADE, {"price": "1e400"}, R.NON_FINITE_PRICE),
        (TRADE, {"price": "-1e400"}, R.NON_FINITE_PRICE),
        (TRADE, {"quantity": 0.0}, R(0)),
        (TRADE, {"quantity": -1e-9}, R.NEGATIVE_QUANTITY),
        (TRADE, {"quantity": "1e400"}, R.NON_FINITE_QUANTITY),
        (TRADE, {"side": "BUY"}, R.INVALID_FIELD),
        (TRADE, {"side": None}, R(0)),
        (TRADE, {"price": 0, "quantity": -1}, R.NON_POSITIVE_PRICE | R.NEGATIVE_QUANTITY),
        (QUOTE, {"bid_price": 2.0}, R(0)),
        (QUOTE, {"bid_price": 2.000_000_1}, R.CROSSED_BOOK),
        (QUOTE, {"ask_quantity": -1}, R.NEGATIVE_QUANTITY),
        (BOOK, {"bids": [], "asks": []}, R.EMPTY_BOOK),
        (BOOK, {"bids": []}, R(0)),
        (BOOK, {"asks": []}, R(0)),
        (BOOK, {"bids": [[3.0, 1]]}, R.CROSSED_BOOK),
        (BOOK, {"bids": [[1.0, 1], [2.0, 1]]}, R.UNSORTED_BOOK),
        (BOOK, {"bids": [[2.0, 1], [2.0, 1]]}, R.UNSORTED_BOOK),
        (BOOK, {"asks": [[4.0, 1], [3.0, 1]]}, R.UNSORTED_BOOK),
        (BOOK, {"bids": falling(20), "asks": []}, R(0)),
        (BOOK, {"bids": falling(21), "asks": []}, R.TOO_MANY_LEVELS),
        (BOOK, {"asks": falling(20)[::-1], "bids": []}, R(0)),
        (BOOK, {"asks": falling(21)[::-1], "bids": []}, R.TOO_MANY_LEVELS),
        (BOOK, {"bids": falling(21), "asks": falling(21)[::-1]},
         R.TOO_MANY_LEVELS | R.CROSSED_BOOK),
        (BOOK, {"bids": falling(21)[::-1]}, R.TOO_MANY_LEVELS | R.UNSORTED_BOOK),
        (BOOK, {"asks": [[3.0, -1]]}, R.NEGATIVE_QUANTITY),
        (BOOK, {"bids": [[2.0, 1], [0.0, 1]]}, R.NON_POSITIVE_PRICE),
        (BOOK, {"bids": [["1e400", 1]]}, R.NON_FINITE_PRICE | R.CROSSED_BOOK),
        (BOOK, {"bids": [[2.0, "1e400"]]}, R.NON_FINITE_QUANTITY),
        (BAR, {"high": 2.4}, R.INCONSISTENT_BAR),
        (BAR, {"low": 2.1}, R.INCONSISTENT_BAR),
        (BAR, {"open": 3.1}, R.INCONSISTENT_BAR),
        (BAR, {"open": 3.0, "close": 1.0}, R(0)),
        (BAR, {"interval": "7x"}, R.INVALID_FIELD),
        (BAR, {"interval": "1s", "event_time_us": NOW + 1_000_000}, R(0)),
        (BAR, {"event_time_us": NOW + 1_000_000}, R.INVALID_FIELD),
        (BAR, {"trade_count": -1}, R.INVALID_FIELD),
        (BAR, {"trade_count": 0}, R(0)),
        (BAR, {"volume": -1}, R.NEGATIVE_QUANTITY),
    ],
)  # fmt: skip
def test_each_value_has_its_domain(event, changes, expected):
    assert reason(event, **changes) == expected


@pytest.mark.parametrize("name", ["price", "quantity"])
def test_what_is_missing_or_invalid_is_not_called_infinite_as_well(name):
    assert reason(TRADE, **{name: None}) == R.MISSING_FIELD
    assert reason(TRADE, **{name: "abc"}) == R.INVALID_FIELD
    assert reason(TRADE, **{name: []}) == R.INVALID_FIELD
