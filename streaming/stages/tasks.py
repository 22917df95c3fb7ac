"""The two steps as functions over Arrow batches, as Spark calls them on its workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final, TypeVar

import msgspec
import numpy as np
import pyarrow as pa

from marketlake.contracts.control import SOURCE_PREFIX, decode_control
from marketlake.lake.datafiles import DataFileWriter, write_files
from marketlake.lake.storage import Storage
from streaming.sources.kafka_fetch import OffsetRange, fetcher
from streaming.stages import lane_task
from streaming.stages.catalog import Markets
from streaming.stages.gold import by_market_and_day
from streaming.stages.gold_merge import merge_rows
from streaming.stages.lane_state import whole_payload, whole_row
from streaming.stages.lane_task import Answer
from streaming.stages.lanes import Lanes
from streaming.stages.merge_fold import MergeFold
from streaming.stages.messages import (
    BatchPlan,
    Counts,
    LaneEvents,
    MergeResult,
    PlacedControl,
    StateFile,
    bucket_of,
    merged_watermark_us,
    venue_bucket,
)
from streaming.stages.state_files import read_state, seal_state
from streaming.stages.worker import lighten

ANSWER_SCHEMA: Final = pa.schema(
    [
        pa.field("bucket", pa.int32(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("payload", pa.binary(), nullable=False),
    ]
)
ANSWER_DDL: Final = "bucket INT NOT NULL, kind STRING NOT NULL, payload BINARY NOT NULL"

INPUT_COLUMNS: Final = (
    "source",
    "topic",
    "partition",
    "offset",
    "key",
    "value",
    "source_timestamp",
)

_Work = TypeVar("_Work")
_MERGES: Final[dict[str, tuple[StateFile, MergeFold]]] = {}


_MERGE_PREFIX: Final = "merge-"


def merge_name(bucket: int) -> str:
    """Name of the state of a bucket of step two."""
    return f"{_MERGE_PREFIX}{bucket}"


def is_merge(name: str) -> bool:
    """Tell whether a state is that of a bucket of step two."""
    return name.startswith(_MERGE_PREFIX)


def step_one_from_kafka(
    batches: Iterator[pa.RecordBatch],
    plan: BatchPlan,
    bootstrap: str,
    shares: Sequence[Sequence[Sequence[OffsetRange]]],
) -> Iterator[pa.RecordBatch]:
    """Fetch and fold the messages of the shares whose numbers the batches hold, lane by lane."""
    for spans in _of_shares(batches, shares):
        yield answers_of(fold_ranges(plan, bootstrap, spans))


def fold_ranges(plan: BatchPlan, bootstrap: str, spans: Iterable[OffsetRange]) -> list[Answer]:
    """Fetch and fold ranges of offsets that hold whole lanes, each in order."""
    kafka = fetcher(bootstrap, plan.settings.stream.kafka_give_up_s)
    lanes = Lanes(plan)
    for span in spans:
        task = lanes.task(span.topic, span.partition)
        for rows in kafka.read(span):
            task.messages(span.partition, "kafka", rows)
    return lanes.finish()


def step_one_of_controls(
    batches: Iterator[pa.RecordBatch],
    plan: BatchPlan,
    shares: Sequence[Sequence[Sequence[PlacedControl]]],
) -> Iterator[pa.RecordBatch]:
    """Let inputs take the control events of the shares whose numbers the batches hold."""
    for controls in _of_shares(batches, shares):
        yield answers_of(fold_controls(plan, controls))


def fold_controls(plan: BatchPlan, controls: Iterable[PlacedControl]) -> list[Answer]:
    """Let inputs take control events; what concerns a lane must be together."""
    lanes = Lanes(plan)
    for placed in controls:
        lanes.control(
            placed.topic, placed.partition, placed.event, placed.offset, placed.source_time_us
        )
    return lanes.finish()


def _of_shares(
    batches: Iterator[pa.RecordBatch], shares: Sequence[Sequence[_Work]]
) -> Iterator[_Work]:
    lighten()
    for batch in batches:
        for share in batch.column(0).to_pylist():
            yield from shares[share]


def step_one(batches: Iterator[pa.RecordBatch], plan: BatchPlan) -> Iterator[pa.RecordBatch]:
    """Fold the rows of some lanes, each input in the order of its offsets."""
    lighten()
    lanes = Lanes(plan)
    for batch in batches:
        for source, topic, partition, rows in _segments(batch):
            if not source.startswith(SOURCE_PREFIX):
                lanes.task(topic, partition).messages(partition, source, rows)
                continue
            times = rows["source_timestamp"].cast(pa.int64()).to_pylist()
            for value, offset, time_us in zip(
                rows["value"].to_pylist(), rows["offset"].to_pylist(), times, strict=True
            ):
                lanes.control(topic, partition, decode_control(value), offset, time_us)
    if plan.ends_us is not None:
        lanes.end(plan.ends_us)
    yield answers_of(lanes.finish())


def step_two(batches: Iterator[pa.RecordBatch], plan: BatchPlan) -> Iterator[pa.RecordBatch]:
    """Merge what step one gave; hand on its results."""
    columns = ANSWER_SCHEMA.names
    rows = (row for batch in batches for row in batch.to_pylist())
    yield answers_of(merge_answers(plan, (tuple(row[name] for name in columns) for row in rows)))


def merge_answers(plan: BatchPlan, answers: Iterable[Answer]) -> list[Answer]:
    """Merge what step one gave, whole buckets; hand on its results."""
    events: dict[int, list[LaneEvents]] = {}
    results: list[Answer] = []
    for bucket, kind, payload in answers:
        if kind == "events":
            part = msgspec.msgpack.decode(payload, type=LaneEvents)
            events.setdefault(bucket, []).append(part)
        else:
            results.append((bucket, kind, payload))
    for bucket, parts in sorted(events.items()):
        result = _merge(plan, bucket, parts)
        results.append((bucket, "merge", msgspec.msgpack.encode(result)))
    return results


def _merge(plan: BatchPlan, bucket: int, parts: list[LaneEvents]) -> MergeResult:
    storage, name = Storage(plan.lake, plan.settings.s3), merge_name(bucket)
    fold = _load_merge(plan, bucket)
    inputs = {**plan.inputs, **{i.name: i for part in parts for i in part.positions}}
    # The order of arrival of the parts is luck; the buffers sort, and ties are broken by content.
    output = fold.step(
        [part.events for part in sorted(parts, key=lambda part: part.name)],
        merged_watermark_us(inputs, bars=True),
        merged_watermark_us(inputs, bars=False),
    )
    label = f"{plan.label}-{name}"
    writers: dict[str, DataFileWriter] = {}
    counts = Counts()
    markets = Markets.of(output.instruments)
    for table, rows, codes, time_us in merge_rows(output):
        for partition, part in by_market_and_day(rows, markets, codes, time_us):
            if not plan.takes_day(partition[1]):
                continue
            counts.gold[table.path] = counts.gold.get(table.path, 0) + part.num_rows
            if plan.writes(table.path):
                if table.path not in writers:
                    writers[table.path] = DataFileWriter(storage, table, label)
                writers[table.path].add(partition, part)
    sealed = [file for writer in writers.values() for file in writer.seal()]
    files, state_file = [s.file for s in sealed], None
    if plan.writes("state/folds"):
        state = whole_row("merge", fold.state())
        sealed.append(seal_state(storage, label, "merge", name, plan.sequence, state))
        state_file = sealed[-1].file
        held = StateFile(f"{state_file.table}/{state_file.path}", state_file.size_bytes)
        _MERGES[f"{plan.lake}/{name}"] = (held, fold)
    write_files(storage, sealed)
    return MergeResult(name=name, files=files, state_file=state_file, counts=counts)


def forget(lake: str) -> None:
    """Let this process load the state of a lake from its files again."""
    lane_task.forget(lake)
    for name in [name for name in _MERGES if name.startswith(f"{lake}/")]:
        _MERGES.pop(name, None)


def holds_folds(plan: BatchPlan) -> bool:
    """Tell whether the folds of all lanes are in this process, as the batch before left them."""
    lanes = {name: chain for name, chain in plan.state_files.items() if not is_merge(name)}
    return bool(lanes) and all(lane_task.is_held(plan.lake, *lane) for lane in lanes.items())


def _load_merge(plan: BatchPlan, bucket: int) -> MergeFold:
    name = merge_name(bucket)
    chain = plan.state_files.get(name)
    cached = _MERGES.pop(f"{plan.lake}/{name}", None)
    if chain and cached is not None and cached[0] == chain[-1]:
        return cached[1]
    buckets = plan.settings.stream.merge_buckets
    fold = MergeFold(
        plan.settings.spreads,
        lambda base: bucket_of(base, buckets) == bucket,
        lambda venue: venue_bucket(venue, buckets) == bucket,
        plan.settings.anomalies,
    )
    if chain:
        held = Storage(plan.state_lake or plan.lake, plan.settings.s3)
        state = read_state(held, [file.path for file in chain])
        fold.restore(whole_payload(state, "merge"))
    return fold


def _segments(batch: pa.RecordBatch) -> Iterator[tuple[str, str, int, pa.Table]]:
    """Cut a batch where source, topic or partition change."""
    if not batch.num_rows:
        return
    rows = pa.Table.from_batches([batch])
    partitions = batch.column("partition").to_numpy()
    changes = np.diff(partitions) != 0
    for name in ("source", "topic"):
        codes = batch.column(name).dictionary_encode().indices.to_numpy()
        changes |= np.diff(codes) != 0
    starts = np.concatenate([[0], np.flatnonzero(changes) + 1, [batch.num_rows]])
    for start, stop in pairwise(starts):
        part = rows.slice(int(start), int(stop - start))
        yield (
            part["source"][0].as_py(),
            part["topic"][0].as_py(),
            int(partitions[start]),
            part,
        )


def answers_of(rows: Sequence[Answer]) -> pa.RecordBatch:
    """Give (bucket, kind, payload) as Spark takes them."""
    columns = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.RecordBatch.from_arrays(
        [
            pa.array(list(column), field.type)
            for column, field in zip(columns, ANSWER_SCHEMA, strict=True)
        ],
        schema=ANSWER_SCHEMA,
    )
