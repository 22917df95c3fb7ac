"""Kinesis as a streaming source of Spark: ``spark.readStream.format("marketlake-kinesis")``.

========================== ==========================================================
option                     meaning
========================== ==========================================================
``region``                 AWS region
``streams``                names of streams, with commas between
``metadata_path``          folder that all workers reach, of this query alone
``metadata_s3``            JSON: how to write there, the section ``s3`` of the settings
``starting_position``      ``trim_horizon`` (default), ``latest``, or a time as ISO 8601
``starting_sequences``     JSON: stream, shard, sequence number to start from
``max_records``            most records of a batch, over all shards (500,000)
``max_records_per_shard``  most records of a shard in a batch (100,000)
``max_bytes_per_shard``    most bytes of a shard in a batch (33,554,432)
``max_read_ms_per_shard``  time after which a batch asks a shard for no more (10,000)
``poll_ms``                least time between looks at a shard without records (500)
``pause_ms``               least time between two calls of one shard (200)
``give_up_s``              time without an answer after which the query fails (60)
``tasks``                  tasks of a batch at most; shards are dealt to them (8)
``drain``                  ``true``: read what is there at the start, then nothing more
``fail_on_data_loss``      ``false``: go on where records not read yet have expired
``role_arn``, ``external_id``  role to assume, as for streams of another account
``endpoint_url``           where Kinesis is, if not at AWS
========================== ==========================================================
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa
from pydantic import ValidationError
from pyspark.sql.datasource import DataSource, DataSourceStreamReader, InputPartition
from pyspark.sql.types import StructType

from marketlake.kinesis.client import KinesisAccess, KinesisError
from marketlake.settings.model import S3Settings
from streaming.sources.kinesis_cursor import Patience, ShardCursor
from streaming.sources.kinesis_ends import KinesisEnds
from streaming.sources.kinesis_planner import KinesisPlanner
from streaming.sources.kinesis_plans import Plan, ShardName, ShardPosition
from streaming.sources.kinesis_records import ROW_DDL, Bounds, read_again, read_on

FORMAT: Final = "marketlake-kinesis"
_OPTIONS: Final = frozenset(
    {
        "region",
        "streams",
        "metadata_path",
        "metadata_s3",
        "starting_position",
        "starting_sequences",
        "max_records",
        "max_records_per_shard",
        "max_bytes_per_shard",
        "max_read_ms_per_shard",
        "poll_ms",
        "pause_ms",
        "give_up_s",
        "tasks",
        "drain",
        "fail_on_data_loss",
        "role_arn",
        "external_id",
        "endpoint_url",
    }
)
_NEEDED: Final = ("region", "streams", "metadata_path")
_ROWS: Final = 50_000
"""Rows that are handed to Spark at once."""


class KinesisDataSource(DataSource):
    """Kinesis data streams; see the module for its options."""

    @classmethod
    def name(cls) -> str:
        """Name of the format."""
        return FORMAT

    def schema(self) -> str:
        """Columns, as every source of the stream has them, and the sequence number."""
        return ROW_DDL

    def streamReader(self, schema: StructType) -> DataSourceStreamReader:  # noqa: ARG002, N802
        """Give the reader of a query."""
        return KinesisStreamReader(Options.of(dict(self.options)))


@dataclass(frozen=True)
class Options:
    """The options, checked."""

    access: KinesisAccess
    streams: tuple[str, ...]
    metadata_path: str
    metadata_s3: S3Settings
    start: str
    sequence_numbers: dict[str, dict[str, str]]
    max_records: int
    bounds: Bounds
    patience: Patience
    poll_ms: int
    tasks: int
    drain: bool
    may_lose: bool

    @classmethod
    def of(cls, options: Mapping[str, str]) -> Options:
        """Read and check the options.

        Raises
        ------
        KinesisError
            If one is unknown, absent or out of its range.
        """
        given = {name.lower(): value for name, value in options.items()}
        unknown = sorted(set(given) - _OPTIONS)
        if unknown:
            raise KinesisError(
                f"{FORMAT} has no option {unknown[0]}; there are {', '.join(sorted(_OPTIONS))}"
            )
        absent = [name for name in _NEEDED if not given.get(name)]
        if absent:
            raise KinesisError(f"{FORMAT} needs the option {absent[0]}")
        return cls(
            access=KinesisAccess(
                given["region"],
                given.get("endpoint_url", ""),
                given.get("role_arn", ""),
                given.get("external_id", ""),
            ),
            streams=tuple(name.strip() for name in given["streams"].split(",")),
            metadata_path=given["metadata_path"],
            metadata_s3=_s3(given.get("metadata_s3", "{}")),
            start=_start(given.get("starting_position", "trim_horizon")),
            sequence_numbers=_sequence_numbers(given.get("starting_sequences", "{}")),
            max_records=_whole(given, "max_records", 500_000),
            bounds=Bounds(
                _whole(given, "max_records_per_shard", 100_000),
                _whole(given, "max_bytes_per_shard", 32 << 20),
                _whole(given, "max_read_ms_per_shard", 10_000),
            ),
            patience=Patience(
                _whole(given, "pause_ms", 200, least=0), float(_whole(given, "give_up_s", 60))
            ),
            poll_ms=_whole(given, "poll_ms", 500),
            tasks=_whole(given, "tasks", 8),
            drain=_flag(given, "drain", default=False),
            may_lose=not _flag(given, "fail_on_data_loss", default=True),
        )

    def ends(self) -> KinesisEnds:
        """Give what readers leave for each other."""
        return KinesisEnds(self.metadata_path, self.metadata_s3)


def _s3(text: str) -> S3Settings:
    try:
        return S3Settings.model_validate_json(text)
    except ValidationError as error:
        (problem, *_) = error.errors()
        place = ".".join(str(part) for part in problem["loc"])
        raise KinesisError(f"metadata_s3: {place or 'JSON'}: {problem['msg'].lower()}") from error


def _start(text: str) -> str:
    if text.lower() in {"trim_horizon", "latest"}:
        return text.upper()
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise KinesisError(
            f"starting_position is trim_horizon, latest, or a time as 2025-01-31T12:00:00Z, not "
            f"{text!r}"
        ) from None
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    return f"AT_TIMESTAMP {round(aware.timestamp() * 1e3)}"


def _sequence_numbers(text: str) -> dict[str, dict[str, str]]:
    try:
        given = json.loads(text)
        return {s: {shard: str(int(n)) for shard, n in of.items()} for s, of in given.items()}
    except (ValueError, AttributeError, TypeError):
        raise KinesisError(
            'starting_sequences is JSON such as {"market.trades": {"shardId-000000000000": "49…"}}'
        ) from None


def _whole(given: Mapping[str, str], name: str, default: int, least: int = 1) -> int:
    text = given.get(name, str(default))
    if not text.isdecimal() or int(text) < least:
        raise KinesisError(f"{name} is a whole number of at least {least}, not {text!r}")
    return int(text)


def _flag(given: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = given.get(name, str(default)).lower()
    if text not in {"true", "false"}:
        raise KinesisError(f"{name} is true or false, not {text!r}")
    return text == "true"


@dataclass
class ShardsPartition(InputPartition):
    """What one task reads: some shards of a plan."""

    plan: int
    max_records: int
    shards: list[tuple[ShardName, ShardPosition]]


class KinesisStreamReader(DataSourceStreamReader):
    """Plans in a process of the driver, reads in the workers.

    An offset is a plan: it says from where its batch reads.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._planner: KinesisPlanner | None = None
        self._last: Plan | None = None

    def initialOffset(self) -> dict[str, Any]:  # noqa: N802
        """Give the plan that all begins with."""
        return self._planning().beginning().offset()

    def latestOffset(self) -> dict[str, Any]:  # noqa: N802
        """Plan the next batch, after the one that Spark planned last."""
        planner = self._planning()
        return planner.next(self._last or planner.beginning()).offset()

    def partitions(self, start: dict[str, Any], end: dict[str, Any]) -> Sequence[InputPartition]:
        """Deal the shards of a plan to tasks.

        At a restart Spark calls this with the last offset of its log for both.
        """
        plan = self._last = Plan.of(end)
        if start == end:
            return []
        reads = plan.reads()
        tasks = min(self._options.tasks, len(reads))
        most = max(1, self._options.max_records // max(1, len(reads)))
        return [ShardsPartition(plan.number, most, reads[task::tasks]) for task in range(tasks)]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        """Read the shards of a task, all at once, and give them one after the other."""
        assert isinstance(partition, ShardsPartition)
        options, shards = self._options, partition.shards
        most = min(partition.max_records, options.bounds.records)
        bounds = replace(options.bounds, records=most)
        with ThreadPoolExecutor(max(1, len(shards))) as pool:
            for rows in pool.map(lambda s: _read(options, bounds, partition.plan, *s), shards):
                for first in range(0, rows.num_rows, _ROWS):
                    yield rows.slice(first, _ROWS)

    def commit(self, end: dict[str, Any]) -> None:
        """Remove what no batch can need any more."""
        self._options.ends().forget(Plan.of(end).number)

    def stop(self) -> None:
        """Keep what a restart has to know."""
        if self._planner is not None:
            self._planner.close()

    def _planning(self) -> KinesisPlanner:
        if self._planner is None:
            options = self._options
            self._planner = KinesisPlanner(
                options.access,
                options.streams,
                options.ends(),
                options.patience,
                start=options.start,
                sequence_numbers=options.sequence_numbers,
                poll_ms=options.poll_ms,
                drain=options.drain,
                may_lose=options.may_lose,
            )
        return self._planner


def _read(
    options: Options, bounds: Bounds, plan: int, name: ShardName, position: ShardPosition
) -> pa.RecordBatch:
    """Read a shard: up to where its first reader in this plan stopped, or as that reader."""
    ends = options.ends()
    end = ends.end(plan, name)
    cursor = ShardCursor(
        options.access, name, position, options.patience, may_lose=options.may_lose
    )
    if end is None:
        taken, own = read_on(cursor, position, bounds)
        end = ends.record(plan, name, own)
        if end == own:
            return taken.rows(name, position.offset)
        # Another attempt was quicker, and its end holds.
        cursor = ShardCursor(
            options.access, name, position, options.patience, may_lose=options.may_lose
        )
    taken = read_again(cursor, position, end, may_lose=options.may_lose)
    return taken.rows(name, end.offset - len(taken))
