"""Where reading Kinesis begins and ends, and what is wrong with it, told in one line."""

from __future__ import annotations

import json
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from marketlake.kinesis.client import KinesisAccess, KinesisError
from streaming.sources.kinesis_data_source import Options
from tests.kinesis_servers import REGION, access_to, kinesalite_server

from .kinesis_driver import Writer, driver_of, stream_of


def test_start_positions(moto: str, tmp_path):
    stream = stream_of(moto)
    client = access_to(moto).client()
    numbers = [
        client.put_record(StreamName=stream, PartitionKey="K", Data=b"%d" % n)["SequenceNumber"]
        for n in range(5)
    ]

    def read(**options: Any) -> list[bytes]:
        driver = driver_of(moto, stream, tmp_path, Random(1), **options)
        driver.drain()
        return [row["value"] for row in driver.rows()]

    assert read() == [b"0", b"1", b"2", b"3", b"4"]
    at = json.dumps({stream: {"shardId-000000000000": numbers[3]}})
    assert read(starting_sequences=at) == [b"3", b"4"]
    assert read(starting_position="2001-01-01T00:00:00Z") == [b"0", b"1", b"2", b"3", b"4"]


def test_latest_begins_where_it_was_first_asked(moto: str, tmp_path):
    stream = stream_of(moto)
    writer = Writer(moto, stream, Random(1))
    writer.put(5)
    time.sleep(1.1)
    driver = driver_of(moto, stream, tmp_path, Random(1), starting_position="latest")
    before = writer.count
    driver.reader.initialOffset()
    time.sleep(0.01)
    writer.put(5)
    driver.restart()
    driver.drain()
    assert [int(row["value"]) for row in driver.rows()] == list(range(before, writer.count))


def test_drain_reads_what_was_there_while_producers_go_on(moto: str, tmp_path):
    stream = stream_of(moto)
    writer = Writer(moto, stream, Random(1))
    writer.put(50)
    there = writer.count
    driver = driver_of(moto, stream, tmp_path, Random(1), max_records_per_shard=9)
    driver.restart(drain="true")
    steps = 0
    while driver.step():
        steps += 1
        writer.put(1)
        time.sleep(0.05)
        assert steps < 500
    assert len(driver.rows()) >= there


def test_expired_records_are_an_error_unless_told_otherwise(tmp_path: Path):
    day_ms = 86_400_000
    with kinesalite_server(tmp_path) as url:
        clock = tmp_path / "clock"
        clock.write_text(str(-2 * day_ms))
        stream = stream_of(url)
        writer = Writer(url, stream, Random(1))
        writer.put(10)
        driver = driver_of(url, stream, tmp_path, Random(1), max_records_per_shard=4)
        assert driver.step()
        read = len(driver.rows())
        clock.write_text("0")
        kept = Writer(url, stream, Random(2), count=1_000)
        kept.put(5)
        # The planner knows when it read; what a restart knows is in the recorded end.
        for end in Path(driver.options["metadata_path"], "ends").iterdir():
            text = json.loads(end.read_text())
            text["known_ms"] -= 2 * day_ms
            end.write_text(json.dumps(text))
        beginning = driver.log[-1]["streams"][stream]["shards"]["shardId-000000000000"]
        beginning["known_ms"] -= 2 * day_ms
        driver.restart()
        with pytest.raises(KinesisError, match=r"may have expired \(they are kept for 24 h\)"):
            driver.step()
        driver.restart(fail_on_data_loss="false")
        # An expired record is an empty answer of kinesalite, which does not say how far it is.
        for _ in range(40):
            driver.step()
        rows = driver.rows()
        assert [int(row["value"]) for row in rows[read:]] == list(range(1_000, kept.count))
        assert [row["offset"] for row in rows] == list(range(len(rows)))


def test_a_stream_made_anew_is_told(moto: str, tmp_path):
    stream = stream_of(moto)
    Writer(moto, stream, Random(1)).put(3)
    driver = driver_of(moto, stream, tmp_path, Random(1))
    driver.step()
    client = access_to(moto).client()
    client.delete_stream(StreamName=stream)
    client.create_stream(StreamName=stream, ShardCount=1)
    driver.restart()
    with pytest.raises(KinesisError, match="was deleted and created anew"):
        driver.step()


def test_absent_streams_are_told(moto: str, tmp_path):
    with pytest.raises(KinesisError, match="Kinesis in us-east-1 has none of the streams nowhere"):
        driver_of(moto, "nowhere", tmp_path, Random(1)).step()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"regoin": "x"}, "has no option regoin"),
        ({"streams": ""}, "needs the option streams"),
        ({"starting_position": "noon"}, "starting_position is trim_horizon, latest, or a time"),
        ({"starting_sequences": "[]"}, "starting_sequences is JSON such as"),
        ({"max_records_per_shard": "0"}, "is a whole number of at least 1"),
        ({"drain": "yes"}, "drain is true or false"),
        ({"metadata_s3": '{"encryption": "rot13"}'}, "metadata_s3: encryption: input should be"),
    ],
)
def test_wrong_options_are_told(options: dict[str, str], message: str):
    good = {"region": REGION, "streams": "s", "metadata_path": "/tmp"}
    with pytest.raises(KinesisError, match=message):
        Options.of(good | options)


def test_a_role_is_assumed(moto: str, monkeypatch: pytest.MonkeyPatch):
    stream = stream_of(moto)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    role = "arn:aws:iam::123456789012:role/reader"
    client = KinesisAccess(REGION, moto, role, "their-id").client()
    found = client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
    assert found["StreamName"] == stream
    # moto gives whoever assumes a role keys of its own.
    assert client._request_signer._credentials.access_key.startswith("ASIA")
