"""The connector of AWS: what it is told, and what is made of its columns. It does not run here."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from pydantic import ValidationError

from marketlake.kinesis.client import KinesisAccess, KinesisError
from marketlake.settings.model import KinesisSettings
from streaming.sources.kinesis_connector import mapped, options, shard_of
from streaming.sources.kinesis_records import ROW_SCHEMA

ACCESS = KinesisAccess("eu-west-1", role_arn="arn:aws:iam::1:role/r")


def sequence_number(shard: int, index: int) -> str:
    """A sequence number as Kinesis has made them since 2014, by its hexadecimal digits."""
    digits = f"2{0x5F000000:09x}{shard & 0xF:x}{index:016x}00{0x5F000001:09x}{shard:08x}2"
    assert len(digits) == 47
    return str(int(digits, 16))


@pytest.mark.parametrize("shard", [0, 1, 15, 16, 4_711])
def test_a_sequence_number_tells_its_shard(shard: int):
    assert shard_of(sequence_number(shard, 12)) == shard


@pytest.mark.parametrize("number", ["1", "123456", str(2**186 + 2)])
def test_other_numbers_are_refused(number: str):
    with pytest.raises(KinesisError, match="does not tell its shard"):
        shard_of(number)


def test_its_options():
    settings = KinesisSettings(max_records_per_shard=5_000, max_read_ms_per_shard=2_500)
    assert options(ACCESS, "market.trades", settings, "s3a://lake/_m") == {
        "kinesis.region": "eu-west-1",
        "kinesis.streamName": "market.trades",
        "kinesis.endpointUrl": "https://kinesis.eu-west-1.amazonaws.com",
        "kinesis.consumerType": "GetRecords",
        "kinesis.startingposition": "TRIM_HORIZON",
        "kinesis.maxFetchRecordsPerShard": "5000",
        "kinesis.maxFetchTimePerShardSec": "2",
        "kinesis.failOnDataLoss": "true",
        "kinesis.metadataPath": "s3a://lake/_m/market.trades",
        "kinesis.stsRoleArn": "arn:aws:iam::1:role/r",
        "kinesis.stsSessionName": "marketlake",
    }


def test_enhanced_fan_out_is_another_kind_of_consumer():
    polled = options(ACCESS, "s", KinesisSettings(reader="aws"), "m")
    own = KinesisSettings(reader="aws", fan_out_consumer="marketlake-dev")
    changed = {
        "kinesis.consumerType": "SubscribeToShard",
        "kinesis.consumerName": "marketlake-dev",
    }
    assert options(ACCESS, "s", own, "m") == polled | changed


def test_our_own_reader_polls():
    with pytest.raises(ValidationError, match='fan_out_consumer needs reader = "aws"'):
        KinesisSettings(fan_out_consumer="marketlake-dev")


@pytest.mark.parametrize(
    "settings",
    [
        KinesisSettings(external_id="x"),
        KinesisSettings(starting_sequences={"s": {"shardId-000000000000": "1"}}),
    ],
)
def test_what_it_lacks_is_told(settings: KinesisSettings):
    with pytest.raises(KinesisError, match=r'needs kinesis\.reader = "marketlake"'):
        options(ACCESS, "s", settings, "m")


def test_its_columns_become_those_of_every_source():
    time = datetime(2025, 1, 31, 12, tzinfo=UTC)
    places = [("t", 0), ("t", 0), ("t", 17), ("q", 0), ("t", 0)]

    def batch(part: slice) -> pa.RecordBatch:
        chosen = places[part]
        return pa.RecordBatch.from_pydict(
            {
                "streamName": [stream for stream, _ in chosen],
                "partitionKey": ["BTC-USDT"] * len(chosen),
                "data": [f"{stream}{shard}".encode() for stream, shard in chosen],
                "approximateArrivalTimestamp": pa.array(
                    [time] * len(chosen), pa.timestamp("us", tz="UTC")
                ),
                "sequenceNumber": [sequence_number(shard, 1) for _, shard in chosen],
            }
        )

    batches = [batch(slice(0, 2)), batch(slice(2, 5))]
    rows = pa.Table.from_batches(mapped(iter(batches), {"t-0": 40})).to_pylist()
    assert [(r["topic"], r["partition"], r["offset"]) for r in rows] == [
        ("t", 0, 40),
        ("t", 0, 41),
        ("t", 17, 0),
        ("q", 0, 0),
        ("t", 0, 42),
    ]
    assert {r["source"] for r in rows} == {"kinesis"}
    assert rows[2]["key"] == b"BTC-USDT"
    assert rows[2]["value"] == b"t17"
    assert rows[2]["source_timestamp"] == time
    assert pa.Table.from_batches(mapped(iter(batches), {})).schema == ROW_SCHEMA
