"""Fuzzed messages: repeatable, of every kind, and broken in the way their name says."""

import json
from collections import Counter, defaultdict

import msgspec
import pytest

from marketlake.contracts.events import Bar, Book, Quote, Trade
from marketlake.feeds.simulator import CORRUPTIONS, fuzz_messages, labelled_fuzz_messages

DECODER = msgspec.json.Decoder(Trade | Quote | Book | Bar)


@pytest.fixture(scope="module")
def by_kind():
    found = defaultdict(list)
    for message in labelled_fuzz_messages(17, 6_000):
        found[message.corruption].append(message.value)
    return found


def decodes(value: bytes) -> bool:
    try:
        DECODER.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def test_the_same_seed_gives_the_same_messages():
    assert list(fuzz_messages(1, 500)) == list(fuzz_messages(1, 500))
    assert list(fuzz_messages(1, 500)) != list(fuzz_messages(2, 500))
    assert list(fuzz_messages(1, 500)) == [m.value for m in labelled_fuzz_messages(1, 500)]
    assert list(fuzz_messages(1, 0)) == []


def test_every_corruption_occurs_and_half_is_valid(by_kind):
    counts = Counter({kind: len(values) for kind, values in by_kind.items()})
    assert set(counts) == {"valid", *CORRUPTIONS}
    assert counts["valid"] == pytest.approx(3_000, rel=0.1)


def test_valid_messages_are_wire_events_of_every_type(by_kind):
    types = Counter(type(DECODER.decode(value)) for value in by_kind["valid"])
    assert set(types) == {Trade, Quote, Book, Bar}


@pytest.mark.parametrize(
    "kind",
    [
        "random_bytes",
        "truncated",
        "not_finite",
        "unknown_type",
        "empty",
        "invalid_utf8",
        "utf16",
        "two_in_one",
        "text_as_number",
        "top_level_array",
        "top_level_scalar",
    ],
)
def test_what_cannot_be_an_event_is_none(by_kind, kind):
    # Even a strict reader of the contract refuses these without looking at values.
    assert not any(decodes(value) for value in by_kind[kind])


def test_corruptions_are_what_their_names_say(by_kind):
    for unit, low, high in (
        ("time_in_s", 1.7e9, 1.8e9),
        ("time_in_ms", 1.7e12, 1.8e12),
        ("time_in_ns", 1.7e18, 1.8e18),
    ):
        assert all(low < json.loads(value)["event_time_us"] < high for value in by_kind[unit])
    for value in by_kind["crossed"]:
        event = json.loads(value)
        if event["type"] == "quote":
            assert event["bid_price"] > event["ask_price"]
        else:
            assert event["bids"][0][0] > event["asks"][0][0]
    for value in by_kind["unsorted_book"]:
        bids = [price for price, _ in json.loads(value)["bids"]]
        assert bids != sorted(bids, reverse=True)
    for value in by_kind["duplicate_key"]:
        pairs = json.loads(value, object_pairs_hook=list)
        assert len({name for name, _ in pairs}) == len(pairs) - 1
    assert all(len(value) > 100_000 for value in by_kind["huge_string"])
    assert any(b"\x00" in value for value in by_kind["raw_control"])
    assert any(b"\n" in value for value in by_kind["raw_control"])
    for value in by_kind["negative"]:
        assert b":-" in value or b"[-" in value or b",-" in value
    for value in by_kind["number_as_string"]:
        event = json.loads(value)
        if event["type"] == "trade":
            assert isinstance(event["price"], str)
            assert float(event["price"]) > 0
        elif event["type"] == "book":
            assert all(isinstance(cell, str) for level in event["bids"] for cell in level)
