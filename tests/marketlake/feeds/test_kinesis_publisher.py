"""The Kinesis publisher: against moto, with what AWS may do put in between."""

from __future__ import annotations

import re
import uuid
from random import Random

import pytest

from marketlake.contracts.events import topic_of
from marketlake.feeds.kinesis_publisher import KinesisPublisher
from marketlake.feeds.publish import DeliveryError, PublishError
from marketlake.kinesis.aggregation import deaggregate
from marketlake.kinesis.client import KinesisAccess
from tests.kinesis_faults import Faults, FaultyKinesis
from tests.kinesis_servers import (
    REGION,
    access_to,
    create_streams,
    moto_that_looks_who_asks,
    records_of,
)

KEYS = [f"K{i}-USD" for i in range(12)]


def published(url: str, access: KinesisAccess, n: int, **options: bool) -> dict[str, list[int]]:
    """Publish numbers by random keys; give those of each key in the order of the stream."""
    prefix = f"p{uuid.uuid4().hex[:10]}"
    client = access_to(url).client()
    create_streams(client, prefix, shards=2)
    publisher = KinesisPublisher(access, prefix, **options)
    random = Random(3)
    for i in range(n):
        publisher.publish("trade", random.choice(KEYS).encode(), str(i).encode(), 0)
    publisher.close()
    found: dict[str, list[int]] = {}
    for record in records_of(client, topic_of("trade", prefix)):
        for key, data in deaggregate(record["PartitionKey"], record["Data"]):
            found.setdefault(key, []).append(int(data))
    return found


def expected(n: int) -> dict[str, list[int]]:
    random = Random(3)
    keys: dict[str, list[int]] = {}
    for i in range(n):
        keys.setdefault(random.choice(KEYS), []).append(i)
    return keys


@pytest.mark.parametrize("aggregate", [False, True])
def test_all_events_arrive_in_the_order_of_their_keys(moto: str, aggregate: bool):
    assert published(moto, access_to(moto), 1_000, aggregate=aggregate) == expected(1_000)


@pytest.mark.parametrize("aggregate", [False, True])
@pytest.mark.parametrize("seed", [1, 2])
def test_refused_and_throttled_records_come_again_before_those_behind_them(
    moto: str, aggregate: bool, seed: int
):
    faults = Faults(seed, refused_record=0.3, throttled=0.05, broken=0.05)
    with FaultyKinesis(moto, faults) as faulty:
        found = published(moto, access_to(faulty.url), 150, aggregate=aggregate)
    assert found == expected(150)
    assert faults.count["refused_record"] > 3


def test_what_was_taken_without_an_answer_comes_twice_but_in_order(moto: str):
    faults = Faults(5, unanswered=0.3)
    with FaultyKinesis(moto, faults) as faulty:
        found = published(moto, access_to(faulty.url), 100)
    assert faults.count["unanswered"] > 3
    assert sum(map(len, found.values())) > 100
    for key, numbers in expected(100).items():
        assert sorted(set(found[key])) == numbers
        # Between two copies there is nothing else of the key.
        assert found[key] == sorted(found[key])


def test_instruments_stay_within_a_second_of_each_other(moto: str):
    prefix = f"p{uuid.uuid4().hex[:10]}"
    client = access_to(moto).client()
    create_streams(client, prefix)
    publisher = KinesisPublisher(access_to(moto), prefix, aggregate=True)
    for ms in range(0, 20_000, 10):
        key = b"RARE" if ms % 1_000 == 500 else b"OFTEN"
        publisher.publish("trade", key, str(ms).encode(), ms * 1_000)
    publisher.close()
    latest = 0
    for record in records_of(client, topic_of("trade", prefix)):
        for _, data in deaggregate(record["PartitionKey"], record["Data"]):
            assert int(data) >= latest - 1_000
            latest = max(latest, int(data))


def test_a_call_holds_no_more_than_kinesis_takes(moto: str):
    sizes: list[tuple[int, int, int]] = []
    with FaultyKinesis(moto, Faults()) as faulty:

        def note(action: str, body: dict) -> None:
            if action == "PutRecords":
                keys = [record["PartitionKey"] for record in body["Records"]]
                data = [len(record["Data"]) * 3 // 4 for record in body["Records"]]
                sizes.append((len(keys), len(set(keys)), sum(data)))

        faulty.before = note
        prefix = f"p{uuid.uuid4().hex[:10]}"
        create_streams(access_to(moto).client(), prefix)
        publisher = KinesisPublisher(access_to(faulty.url), prefix)
        for i in range(1_500):
            publisher.publish("trade", f"key{i % 700}".encode(), b"x" * 20_000, 0)
        publisher.close()
    assert sum(records for records, _, _ in sizes) == 1_500
    assert max(total for _, _, total in sizes) <= 5 << 20
    assert all(records == keys <= 500 for records, keys, _ in sizes)


def test_an_event_that_no_record_holds_is_refused(moto: str):
    prefix = f"p{uuid.uuid4().hex[:10]}"
    create_streams(access_to(moto).client(), prefix)
    publisher = KinesisPublisher(access_to(moto), prefix)
    with pytest.raises(DeliveryError, match=r"1,048,576 bytes is too large for stream p\w+.trades"):
        publisher.publish("trade", b"K", b"x" * (1 << 20), 0)
    publisher.close()


def test_streams_are_created_only_where_asked(moto: str):
    prefix = f"p{uuid.uuid4().hex[:10]}"
    with pytest.raises(PublishError, match=rf"has no stream {prefix}.trades, .*--partitions"):
        KinesisPublisher(access_to(moto), prefix)
    KinesisPublisher(access_to(moto), prefix, shards=3).close()
    client = access_to(moto).client()
    assert len(client.list_shards(StreamName=f"{prefix}.books")["Shards"]) == 3


def test_throttling_that_does_not_end_is_told(moto: str):
    prefix = f"p{uuid.uuid4().hex[:10]}"
    create_streams(access_to(moto).client(), prefix)
    with FaultyKinesis(moto, Faults(throttled=1.0)) as faulty:
        publisher = KinesisPublisher(access_to(faulty.url), prefix, delivery_timeout_s=1.0)
        publisher.publish("trade", b"K", b"1", 0)
        with pytest.raises(DeliveryError, match=r"took no event for 1 s .*Throughput"):
            publisher.flush()


def test_an_endpoint_that_does_not_answer_is_told():
    with pytest.raises(
        PublishError, match=r"nothing answers at .*AWS_ENDPOINT_URL_KINESIS"
    ) as told:
        KinesisPublisher(KinesisAccess(REGION, "http://127.0.0.1:1"))
    assert "\n" not in str(told.value)


def test_a_region_that_does_not_exist_is_told(monkeypatch: pytest.MonkeyPatch):
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KINESIS"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(PublishError, match=r"Kinesis in xx-nowhere-7.*nothing answers at .*region"):
        KinesisPublisher(KinesisAccess("xx-nowhere-7"))


def test_credentials_that_are_refused_or_absent_are_told(monkeypatch: pytest.MonkeyPatch):
    with moto_that_looks_who_asks() as url, pytest.raises(PublishError, match="refuses") as told:
        KinesisPublisher(access_to(url), "refused")
    assert re.search(r"AWS refuses the credentials \(\w+\); renew them", str(told.value))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    with pytest.raises(PublishError, match="no complete AWS credentials are found"):
        KinesisPublisher(KinesisAccess("eu-west-3", "http://127.0.0.1:1"), "absent")
