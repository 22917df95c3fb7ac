"""Law 4: every message is admitted or has a reason, and the reason is the right one."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache

import numpy as np
import pytest

from marketlake.contracts.reasons import Reason, reason_names
from marketlake.feeds.simulator import CORRUPTIONS, fuzz_messages, labelled_fuzz_messages
from marketlake.settings.model import load_settings
from streaming.stages.general import NESTING_MAX
from streaming.stages.lane_fold import LaneFold
from streaming.stages.silver import silver_table

EVENT_TYPES = ("trade", "quote", "book", "bar")
BOUNDS_US = 10_000_000
SOURCE_US = 1_736_949_600_000_000 + 200_000_000
"""Later than every event of the fuzz messages, which span two minutes."""
R = Reason
ANYTHING = ~R(0)


def refuse(constant):
    raise ValueError(constant)


def parsed(value):
    """The object that a message holds, by Python's own parser; None if it holds none."""
    try:
        document = json.loads(value.decode("utf-8"), parse_constant=refuse)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


@cache
def judged(n=8_000, seed=11):
    """Label, value, event (if it is one) and reason of messages, each in the topic of its type."""
    fuzz = list(labelled_fuzz_messages(seed, n))
    wide = load_settings(stream={"lateness_ms": 86_400_000, "quote_lateness_ms": 86_400_000})
    topics = {kind: LaneFold(kind, wide) for kind in EVENT_TYPES}
    out = []
    for message in fuzz:
        event = parsed(message.value)
        kind = event.get("type") if event else None
        topic = topics[kind if isinstance(kind, str) and kind in topics else "trade"]
        result, _ = topic.step([message.value], np.array([SOURCE_US]))
        # The same event may come many times; that is no fault of the message.
        reason = R(int(result.reasons[0])) & ~(R.DUPLICATE | R.CONFLICT)
        out.append((message.corruption, message.value, event, reason))
    return out


def chosen(label):
    rows = [row[1:] for row in judged() if row[0] == label]
    assert len(rows) > 20, label
    return rows


def test_unparsable_is_what_python_cannot_read_as_an_object():
    for label, value, event, reason in judged():
        if label == "deep_nesting":
            continue
        if reason == R.UNPARSABLE:
            assert event is None, (label, value[:200])
        elif event is None:
            # The names and values of ignored fields are passed over, not read as text.
            with pytest.raises(UnicodeDecodeError):
                value.decode("utf-8")


EXACTLY = {
    "valid": R(0),
    "not_finite": R.UNPARSABLE,
    "invalid_utf8": R.UNPARSABLE,
    "byte_order_mark": R.UNPARSABLE,
    "utf16": R.UNPARSABLE,
    "two_in_one": R.UNPARSABLE,
    "top_level_array": R.UNPARSABLE,
    "top_level_scalar": R.UNPARSABLE,
    "truncated": R.UNPARSABLE,
    "random_bytes": R.UNPARSABLE,
    "unknown_type": R.UNKNOWN_TYPE,
    "unknown_instrument": R.UNKNOWN_INSTRUMENT,
    "unknown_venue": R.UNKNOWN_INSTRUMENT,
    "unknown_field": R(0),
    "escaped_controls": R(0),
    "number_as_string": R(0),
    "crossed": R.CROSSED_BOOK,
    "unsorted_book": R.UNSORTED_BOOK,
}


@pytest.mark.parametrize("label", EXACTLY)
def test_a_corruption_has_this_one_reason(label):
    for value, _, reason in chosen(label):
        assert reason == EXACTLY[label], value[:300]


def expected_empty(event):
    return R.UNPARSABLE if event is None else R.UNKNOWN_TYPE


def expected_missing(event):
    if "type" not in event:
        return R.UNKNOWN_TYPE
    fields = {
        "trade": ("price", "quantity"),
        "quote": ("bid_price", "bid_quantity", "ask_price", "ask_quantity"),
        "book": ("bids", "asks"),
        "bar": ("interval", "open", "high", "low", "close", "volume"),
    }[event["type"]]
    required = {"venue", "instrument", "event_time_us", *fields}
    return R.MISSING_FIELD if required - event.keys() else R(0)


def expected_time(event):
    time_us = event["event_time_us"]
    if time_us is None:
        return R.MISSING_FIELD
    if isinstance(time_us, bool) or not isinstance(time_us, int) or time_us >= 2**63:
        return R.INVALID_FIELD
    return R.TIME_OUT_OF_BOUNDS


def expected_huge_string(event):
    names = ("venue", "instrument")
    return R.UNKNOWN_INSTRUMENT if any(len(event[n]) > 99 for n in names) else R(0)


def expected_number(event):
    """Reasons by the domain of each number, of any type of event."""
    found = R(0)
    prices = ("price", "bid_price", "ask_price", "open", "high", "low", "close")
    quantities = ("quantity", "bid_quantity", "ask_quantity", "volume")
    levels = [*event.get("bids", ()), *event.get("asks", ())]
    price_values = [event[n] for n in prices if n in event] + [level[0] for level in levels]
    quantity_values = [event[n] for n in quantities if n in event] + [level[1] for level in levels]
    if any(value <= 0 for value in price_values):
        found |= R.NON_POSITIVE_PRICE
    if any(value < 0 for value in quantity_values):
        found |= R.NEGATIVE_QUANTITY
    return found


# What a wrong number may break beside its own domain.
ORDER = R.CROSSED_BOOK | R.UNSORTED_BOOK | R.INCONSISTENT_BAR
CASES = {
    "empty": (expected_empty, R(0)),
    "missing_field": (expected_missing, R(0)),
    # A refused field is absent as well; a bar of another time unit begins off its minute.
    "time_odd": (expected_time, R.MISSING_FIELD | R.INVALID_FIELD),
    "time_in_ms": (lambda _: R.TIME_WRONG_UNIT, R.INVALID_FIELD),
    "time_in_s": (lambda _: R.TIME_WRONG_UNIT, R.INVALID_FIELD),
    "time_in_ns": (lambda _: R.TIME_WRONG_UNIT, R.INVALID_FIELD),
    "huge_string": (expected_huge_string, R(0)),
    "negative": (expected_number, ORDER),
    "zero": (expected_number, ORDER),
}


@pytest.mark.parametrize("label", CASES)
def test_a_corruption_has_the_reason_that_its_content_tells(label):
    expected, beside = CASES[label]
    for value, event, reason in chosen(label):
        must = expected(event)
        assert reason & ~beside == must & ~beside, (reason, must, value[:300])
        assert (reason & must) == must, (reason, must, value[:300])


def test_nesting_is_unparsable_beyond_the_limit_only():
    for value, _, reason in chosen("deep_nesting"):
        depth = 1 + max(value.count(b"[") - 2 * value.count(b'"bids"'), value.count(b'"a":'))
        if abs(depth - NESTING_MAX) > 100:
            assert reason == (R.UNPARSABLE if depth > NESTING_MAX else R(0)), depth


def test_texts_that_are_no_numbers_are_invalid_and_beyond_a_double_not_finite():
    for value, _, reason in chosen("text_as_number"):
        if b'"1e400"' in value:
            assert reason & (R.NON_FINITE_PRICE | R.NON_FINITE_QUANTITY), value[:300]
        elif b'" 1"' not in value:
            assert reason & R.INVALID_FIELD, value[:300]


def test_a_bar_out_of_order_and_a_malformed_book_are_told():
    for _, event, reason in chosen("bar_disorder"):
        if event["high"] == 0.5 or event["low"] == 5.0:
            assert reason & R.INCONSISTENT_BAR
        elif event["volume"] < 0:
            assert reason & R.NEGATIVE_QUANTITY
        elif event["open"] == 0:
            assert reason & R.NON_POSITIVE_PRICE
        else:
            assert reason & R.INVALID_FIELD
    for _, event, reason in chosen("malformed_book"):
        sides = (event["bids"], event["asks"])
        if [] in sides:
            assert reason == R(0), "one side may be empty"
        elif [[1, 1]] * 500 in sides:
            assert reason & R.UNSORTED_BOOK
            assert reason & R.TOO_MANY_LEVELS
        else:
            assert reason & R.INVALID_FIELD


def test_every_corruption_occurs():
    assert {row[0] for row in judged()} == {"valid", *CORRUPTIONS}


def account(event_type, messages, chunk):
    """Fold messages; check that each one is in silver or has a reason. Counts of reasons."""
    fold = LaneFold(event_type, load_settings())
    counts, silver = Counter(), 0
    for begin in range(0, len(messages), chunk):
        part = messages[begin : begin + chunk]
        result, _ = fold.step(part, np.full(len(part), SOURCE_US))
        assert result.reasons.size == len(part)
        rows = result.rows
        admitted = set()
        if rows is not None:
            admitted = set(rows.row[result.admitted].tolist())
            table = silver_table(rows, result.admitted, result.codes, fold.catalog, result.content)
            assert table.num_rows == len(admitted)
            silver += table.num_rows
        assert admitted == set(np.flatnonzero(result.reasons == 0).tolist())
        for mask in result.reasons[result.reasons != 0]:
            names = reason_names(int(mask))
            assert names
            counts.update(names)
            counts["refused"] += 1
    assert silver + counts["refused"] == len(messages)
    return counts, silver


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_no_message_is_lost_and_none_raises(event_type):
    messages = [*fuzz_messages(5, 6_000), None]
    counts, silver = account(event_type, messages, 1_500)
    assert silver > 20
    assert counts["wrong_topic"] > 1_000
    assert account(event_type, messages, 6_001) == (counts, silver)


@pytest.mark.slow
def test_two_hundred_thousand_messages_are_accounted_for():
    messages = list(fuzz_messages(23, 50_000))
    for event_type in EVENT_TYPES:
        counts, silver = account(event_type, messages, 10_000)
        assert silver > 20
        assert counts["refused"] > 40_000
