"""Each message alone: what is read of it, and why it is refused."""

from __future__ import annotations

import json
import math

import pytest

from marketlake.contracts.reasons import Reason
from streaming.stages.decode import decode
from streaming.stages.general import NESTING_MAX
from streaming.stages.scan import NO_LONG

TRADE = {
    "type": "trade",
    "venue": "binance",
    "instrument": "BTC-USDT",
    "event_time_us": 1_736_949_600_000_000,
    "price": 95_000.5,
    "quantity": 0.25,
    "trade_id": "17",
    "side": "buy",
    "sequence": 3,
    "received_time_us": 1_736_949_600_000_900,
}


def dump(**changes):
    return json.dumps({k: v for k, v in {**TRADE, **changes}.items() if v is not ...}).encode()


def one(message):
    decoded = decode([message])
    assert len(decoded.rows) == 1, "one message of a known type"
    [rows] = decoded.rows.values()
    assert rows.row.tolist() == [0]
    return rows


def test_a_trade_is_read_as_it_stands():
    rows = one(dump())
    assert rows.event_type == "trade"
    assert rows.reasons.tolist() == [0]
    assert (rows.venue, rows.instrument) == (["binance"], ["BTC-USDT"])
    assert rows.event_time_us.tolist() == [1_736_949_600_000_000]
    assert rows.received_time_us.tolist() == [1_736_949_600_000_900]
    assert rows.sequence.tolist() == [3]
    assert rows.numbers["price"].tolist() == [95_000.5]
    assert rows.numbers["quantity"].tolist() == [0.25]
    assert (rows.ids.to_pylist(), list(rows.side)) == (["17"], [1])


def test_optional_fields_may_be_absent_or_null():
    for absent in (..., None):
        optional = ("trade_id", "side", "sequence", "received_time_us")
        rows = one(dump(**dict.fromkeys(optional, absent)))
        assert rows.reasons.tolist() == [0]
        assert rows.sequence.tolist() == rows.received_time_us.tolist() == [NO_LONG]
        assert (rows.ids.to_pylist(), list(rows.side)) == ([None], [0])


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1.0), ("95000.5", 95_000.5), ("1e3", 1000.0), (".5", 0.5), ("2.", 2.0), ("-3", -3.0)],
)
def test_a_number_may_be_written_as_a_text(text, value):
    rows = one(dump(price=text))
    assert rows.reasons.tolist() == [0]
    assert rows.numbers["price"].tolist() == [value]


@pytest.mark.parametrize(
    "text", ["", "abc", "0x10", "1_000", "NaN", "inf", "1,5", "--1", "1e", "."]
)
def test_a_text_that_is_no_number_is_invalid(text):
    rows = one(dump(price=text))
    assert rows.reasons.tolist() == [Reason.INVALID_FIELD]
    assert math.isnan(rows.numbers["price"][0])


@pytest.mark.parametrize("name", ["venue", "instrument", "event_time_us", "price", "quantity"])
def test_a_required_field_is_missed_absent_or_null(name):
    for absent in (..., None):
        assert one(dump(**{name: absent})).reasons.tolist() == [Reason.MISSING_FIELD]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("venue", 1), ("instrument", ["BTC-USDT"]), ("event_time_us", "1736949600000000"),
        ("event_time_us", 1.5), ("event_time_us", 2**63), ("event_time_us", True),
        ("price", True), ("price", {}), ("quantity", []), ("trade_id", 1.5), ("trade_id", {}),
        ("side", 1), ("sequence", "3"), ("sequence", -(2**63) - 1), ("received_time_us", "now"),
    ],
)  # fmt: skip
def test_a_field_of_the_wrong_type_is_invalid_and_the_others_are_kept(name, value):
    rows = one(dump(**{name: value}))
    assert rows.reasons[0] & Reason.INVALID_FIELD
    if name != "venue":
        assert rows.venue == ["binance"]
    if name != "price":
        assert rows.numbers["price"].tolist() == [95_000.5]


@pytest.mark.parametrize(
    "message",
    [
        None, b"", b" ", b"{", b"[]", b"1", b"null", b'"trade"', b"NaN", b"\xff", b"[{}]",
        dump() + dump(), b"\xef\xbb\xbf" + dump(), dump().decode().encode("utf-16"),
        dump()[:-1], dump().replace(b"95000.5", b"NaN"), dump().replace(b"95000.5", b"Infinity"),
        dump().replace(b'"17"', b'"\\ud800"'), dump().replace(b'"17"', b'"\xc3\x28"'),
        dump().replace(b"95000.5", b"0x10"), dump().replace(b"95000.5", b"1" * 5_000),
    ],
)  # fmt: skip
def test_what_is_no_json_object_is_unparsable(message):
    decoded = decode([message])
    assert not decoded.rows
    assert decoded.undecoded[0].reason == Reason.UNPARSABLE


@pytest.mark.parametrize("kind", ["ticker", "", "TRADE", "trades", None, 7, ["trade"], {}])
def test_an_unknown_type_is_named_with_what_else_is_known(kind):
    problem = decode([dump(type=kind)]).undecoded[0]
    assert problem.reason == Reason.UNKNOWN_TYPE
    assert problem.event_type == (kind if isinstance(kind, str) else None)
    assert (problem.venue, problem.instrument) == ("binance", "BTC-USDT")
    assert decode([b"{}"]).undecoded[0].reason == Reason.UNKNOWN_TYPE


def test_a_malformed_neighbour_changes_nothing():
    junk = [None, b"{", dump(price="x"), dump(type="ticker"), b"\xff", dump(venue=1)]
    alone = one(dump())
    for bad in junk:
        decoded = decode([bad, dump(), bad])
        rows = decoded.rows["trade"]
        at = rows.row.tolist().index(1)
        assert rows.reasons[at] == 0
        assert rows.numbers["price"][at] == alone.numbers["price"][0]
        assert set(rows.row.tolist()) | decoded.undecoded.keys() == {0, 1, 2}


def test_levels_of_a_book_may_be_texts_and_a_bad_one_is_invalid():
    book = {k: TRADE[k] for k in ("venue", "instrument", "event_time_us")} | {"type": "book"}
    good = {**book, "bids": [["1.5", 2], [1, "3"]], "asks": []}
    rows = one(json.dumps(good).encode())
    assert rows.reasons.tolist() == [0]
    assert rows.bids == [[(1.5, 2.0), (1.0, 3.0)]]
    assert rows.asks == [[]]
    for bids in ([["a", 1]], [[1]], [[1, 2, 3]], [None], {}, "[]"):
        reasons = one(json.dumps({**good, "bids": bids}).encode()).reasons
        assert reasons[0] & Reason.INVALID_FIELD
    assert one(json.dumps({**good, "bids": ...} | {"bids": None}).encode()).reasons.tolist() == [
        Reason.MISSING_FIELD
    ]


def nested(depth, opening=b"[", closing=b"]"):
    return dump()[:-1] + b',"nested":' + opening * depth + b"1" + closing * depth + b"}"


def called_at_depth(depth, message):
    if depth:
        return called_at_depth(depth - 1, message)
    return set(decode([message]).rows)


@pytest.mark.parametrize("pair", [(b"[", b"]"), (b'{"a":', b"}")])
def test_how_deep_the_caller_stands_does_not_decide_about_a_message(pair):
    # The object itself is one level.
    for depth, kept in ((NESTING_MAX - 1, {"trade"}), (NESTING_MAX, set()), (950, set())):
        message = nested(depth, *pair)
        assert called_at_depth(0, message) == called_at_depth(300, message) == kept


def test_brackets_side_by_side_or_in_a_text_are_no_nesting():
    assert one(dump(note=[[1]] * 600)).reasons.tolist() == [0]
    assert one(dump(note='["{' * 600)).reasons.tolist() == [0]
    assert one(dump(note="\\" * 600 + "[" * 600)).reasons.tolist() == [0]
