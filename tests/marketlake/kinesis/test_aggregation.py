"""Aggregated records: by AWS's own library where it is there, by hand, and in any shape."""

from __future__ import annotations

import base64
from hashlib import md5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketlake.kinesis.aggregation import MAGIC, HashRange, aggregate, deaggregate

WHOLE = HashRange(0, 2**128 - 1)
KEYS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
VALUES = st.lists(st.binary(max_size=400), min_size=1, max_size=30)


@given(KEYS, VALUES)
def test_what_is_put_together_comes_apart(key: str, values: list[bytes]):
    assert deaggregate("other", aggregate(key, values), WHOLE) == [(key, v) for v in values]


@given(KEYS, VALUES)
def test_the_library_of_aws_reads_what_we_write(key: str, values: list[bytes]):
    library = pytest.importorskip("aws_kinesis_agg.deaggregator")
    data = base64.b64encode(aggregate(key, values))
    record = {"kinesis": {"data": data, "partitionKey": key, "sequenceNumber": "1"}}
    record["kinesis"] |= {"approximateArrivalTimestamp": 0, "kinesisSchemaVersion": "1.0"}
    event = {"eventID": "", "eventVersion": "", "eventSource": "", "eventName": ""}
    event |= {"invokeIdentityArn": "", "awsRegion": "", "eventSourceARN": ""}
    found = library.deaggregate_records([event | record])
    assert [base64.b64decode(r["kinesis"]["data"]) for r in found] == values
    assert {r["kinesis"]["partitionKey"] for r in found} == {key}


@given(st.lists(st.tuples(KEYS, st.none() | st.integers(0, 2**128 - 1), st.binary(max_size=200))))
def test_we_read_what_the_library_of_aws_writes(records):
    library = pytest.importorskip("aws_kinesis_agg.aggregator")
    aggregator = library.RecordAggregator()
    for key, hash_key, data in records:
        aggregator.add_user_record(key, data, None if hash_key is None else str(hash_key))
    whole = aggregator.clear_and_get()
    if whole is None:
        assert not records
        return
    key, _, data = whole.get_contents()
    assert deaggregate(key, data) == [(key, data) for key, _, data in records]


def by_hand() -> bytes:
    """Two keys, an explicit hash key, two records, and a tag, written out byte for byte."""
    message = (
        b"\x0a\x01A"
        b"\x0a\x01B"
        b"\x12\x012"
        # Record: key 0, data "x", and a tag that nobody asked for.
        b"\x1a\x0a"
        b"\x08\x00"
        b"\x1a\x01x"
        b"\x22\x03\x0a\x01t"
        # Record: key 1, explicit hash key 0 (that is 2), data "yz".
        b"\x1a\x08"
        b"\x08\x01"
        b"\x10\x00"
        b"\x1a\x02yz"
    )
    return MAGIC + message + md5(message).digest()


def test_a_record_written_by_hand_is_read():
    assert deaggregate("k", by_hand()) == [("A", b"x"), ("B", b"yz")]


def test_what_belongs_to_the_other_half_of_a_split_is_left_out():
    # md5("A") is 0x7fc56270e7a70fa81a5935b72eacbe29.
    middle = 0x7FC56270E7A70FA81A5935B72EACBE29
    assert int(md5(b"A").hexdigest(), 16) == middle
    assert deaggregate("k", by_hand(), HashRange(0, 2)) == [("B", b"yz")]
    assert deaggregate("k", by_hand(), HashRange(3, middle)) == [("A", b"x")]
    assert deaggregate("k", by_hand(), HashRange(3, middle - 1)) == []


@given(st.binary(max_size=60), st.integers(0, 40), st.integers(0, 255))
def test_other_bytes_are_one_record_as_they_came(junk: bytes, at: int, byte: int):
    assert deaggregate("k", junk) == [("k", junk)]
    damaged = bytearray(by_hand())
    damaged[at] ^= byte
    if byte:
        assert deaggregate("k", bytes(damaged)) == [("k", bytes(damaged))]


@given(st.binary(max_size=60))
def test_a_right_digest_over_a_wrong_message_is_one_record(junk: bytes):
    data = MAGIC + junk + md5(junk).digest()
    found = deaggregate("k", data)
    # Whatever is not left as it came must have been a message after all.
    assert found == [("k", data)] or all(b"\x1a" in junk for _ in found) or not found
