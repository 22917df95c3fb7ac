"""Where a campaign's messages and its lake lie, and what befalls these places."""

from __future__ import annotations

import os
import random
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from marketlake.contracts.events import TOPICS, topic_of
from marketlake.feeds.kafka_publisher import KafkaPublisher
from marketlake.feeds.kinesis_publisher import KinesisPublisher
from marketlake.feeds.publish import Publisher
from marketlake.local.broker import EmbeddedBroker
from tests.kinesis_faults import Faults, FaultyKinesis
from tests.kinesis_servers import (
    REGION,
    access_to,
    create_streams,
    kinesalite_server,
    wait_until_active,
)
from tests.s3_servers import faulty, moto

_PARTITIONS: Final = 3
_SHARDS: Final = 2
_BROKER_AWAY_S: Final = 3.0
_HASHES: Final = 1 << 128


class SourcePlace(Protocol):
    """Where messages lie.

    Attributes
    ----------
    uri : str
        As ``--source`` takes it.
    environment : mapping
        What a stream is told of it, faults included.
    quiet : mapping
        The same without faults.
    """

    uri: str
    environment: Mapping[str, str]
    quiet: Mapping[str, str]

    def publisher(self) -> Publisher:
        """Publish there; not disturbed."""
        ...

    def disturb(self) -> str:
        """Let it suffer something, while a stream reads; say what."""
        ...


@dataclass
class KafkaPlace:
    """Topics of a broker, which is killed now and then."""

    broker: EmbeddedBroker
    random: random.Random
    prefix: str = field(default_factory=lambda: f"chaos-{uuid.uuid4().hex[:12]}")
    environment: Mapping[str, str] = field(default_factory=dict)
    quiet: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.uri = f"kafka:{self.broker.bootstrap}/{self.prefix}"

    def publisher(self) -> Publisher:
        return KafkaPublisher(self.broker.bootstrap, self.prefix, partitions=_PARTITIONS)

    def disturb(self) -> str:
        away_s = self.random.uniform(0, _BROKER_AWAY_S)
        self.broker.kill()
        time.sleep(away_s)
        self.broker.start()
        return f"broker killed, and back after {away_s:.1f} s"


class KinesisPlace:
    """Streams whose calls are throttled, broken and unanswered, and whose shards change."""

    def __init__(self, url: str, proxy: FaultyKinesis, source: random.Random) -> None:
        self.prefix = f"chaos-{uuid.uuid4().hex[:12]}"
        self.uri = f"kinesis:{REGION}/{self.prefix}"
        self.environment = _kinesis_environment(proxy.url)
        self.quiet = _kinesis_environment(url)
        self._access, self._random = access_to(url), source
        self._client: Any = self._access.client()
        create_streams(self._client, self.prefix, _SHARDS)

    def publisher(self) -> Publisher:
        return KinesisPublisher(self._access, self.prefix, aggregate=True)

    def disturb(self) -> str:
        stream = topic_of(self._random.choice(list(TOPICS)), self.prefix)
        shards = self._client.list_shards(StreamName=stream)["Shards"]
        last = "EndingSequenceNumber"
        leaves = sorted(
            (s for s in shards if last not in s["SequenceNumberRange"]),
            key=lambda s: int(s["HashKeyRange"]["StartingHashKey"]),
        )
        if len(leaves) > _SHARDS and self._random.random() < 0.5:
            done = self._merge(stream, leaves)
        else:
            done = self._split(stream, self._random.choice(leaves))
        wait_until_active(self._client, stream)
        return done

    def _merge(self, stream: str, leaves: list[dict[str, Any]]) -> str:
        first = self._random.randrange(len(leaves) - 1)
        one, other = (leaf["ShardId"] for leaf in leaves[first : first + 2])
        self._client.merge_shards(StreamName=stream, ShardToMerge=one, AdjacentShardToMerge=other)
        return f"{stream}: {one} and {other} merged"

    def _split(self, stream: str, leaf: dict[str, Any]) -> str:
        low, high = (int(leaf["HashKeyRange"][f"{n}HashKey"]) for n in ("Starting", "Ending"))
        self._client.split_shard(
            StreamName=stream,
            ShardToSplit=leaf["ShardId"],
            NewStartingHashKey=str((low + high) // 2 + 1),
        )
        return f"{stream}: {leaf['ShardId']} split"


def _kinesis_environment(url: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL_KINESIS": url,
        "MARKETLAKE_KINESIS__PAUSE_MS": "0",
        "MARKETLAKE_KINESIS__POLL_MS": "20",
    }


@contextmanager
def kinesis_place(seed: int, folder: Path) -> Iterator[KinesisPlace]:
    """Run Kinesis on this machine, behind a proxy by which calls fail."""
    faults = Faults(seed, throttled=0.05, broken=0.02, unanswered=0.02, expired_iterator=0.02)
    with kinesalite_server(folder) as url, FaultyKinesis(url, faults) as proxy:
        yield KinesisPlace(url, proxy, random.Random(seed))


@dataclass(frozen=True)
class LakePlace:
    """A lake and how streams reach it: with faults, and without."""

    uri: str
    environment: Mapping[str, str] = field(default_factory=dict)
    quiet: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def lake_place(uri: str, seed: int, fault_rate: float) -> Iterator[LakePlace]:
    """Give the lake that is named; where it is on S3, S3 by moto, behind a proxy that fails."""
    if not uri.startswith("s3a://"):
        yield LakePlace(uri)
        return
    bucket = uri.removeprefix("s3a://").partition("/")[0]
    with moto() as server, faulty(server, seed=seed, rate=fault_rate) as proxy:
        server.client().create_bucket(Bucket=bucket)
        quiet, failing = (
            {k.replace("_URL", "_URL_S3"): v for k, v in s.environment.items()}
            for s in (server, proxy)
        )
        # This process looks at the lake, undisturbed.
        os.environ |= quiet
        yield LakePlace(uri, failing, quiet)
