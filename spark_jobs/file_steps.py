"""Step one over plain files, as Spark calls it on its workers: read and divide, then fold.

Rows cross Spark's shuffle in blocks: one row of Spark is all that a piece of a file has for one
input, in columns, packed. All rows of an instrument share an input, in order of event time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession

from marketlake.analytics.arrays import Int64Array
from marketlake.contracts.events import INTERVAL_US, topic_of
from spark_jobs.file_columns import Kind
from spark_jobs.file_pieces import SOURCE, Piece, read_piece
from spark_jobs.file_rows import TIME, decoded, in_order, messages_of, row_schema, times_us
from streaming.recompute import day_start_us
from streaming.stages.lane_task import LaneTask
from streaming.stages.messages import BatchPlan, bucket_of, input_name
from streaming.stages.silver import timestamps
from streaming.stages.tasks import answers_of
from streaming.stages.validate import EARLIEST_EVENT_US, LATEST_EVENT_US
from streaming.stages.worker import lighten

TOPIC_PREFIX: Final = "file"
BLOCKS_DDL: Final = (
    "kind STRING NOT NULL, input INT NOT NULL, low BIGINT NOT NULL, block BINARY NOT NULL"
)

_BLOCK_SCHEMA: Final = pa.schema(
    [("kind", pa.string()), ("input", pa.int32()), ("low", pa.int64()), ("block", pa.binary())]
)
_PACKING: Final = pa.ipc.IpcWriteOptions(compression="lz4")
_CHUNK_ROWS: Final = 125_000
"""Rows folded at once, as in the stream."""
_DAY_US: Final = INTERVAL_US["1d"]
_BLOCKS_AT_ONCE: Final = 16
"""Blocks that cross to Python together; a block holds many rows."""


def blocks_of(spark: SparkSession, pieces: Sequence[Piece], inputs: int) -> DataFrame:
    """Read pieces, a task each; the blocks of an input come to one partition."""
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", str(_BLOCKS_AT_ONCE))
    numbers = _numbers(spark, pieces)
    blocks = numbers.mapInArrow(partial(divide, pieces=pieces, inputs=inputs), BLOCKS_DDL)
    return blocks.repartition(inputs, "kind", "input")


def _numbers(spark: SparkSession, pieces: Sequence[Piece]) -> DataFrame:
    """Place of each piece, a task each; a Parquet file may have none."""
    return spark.range(0, len(pieces), 1, max(1, len(pieces)))


def divide(
    batches: Iterator[pa.RecordBatch], pieces: Sequence[Piece], inputs: int
) -> Iterator[pa.RecordBatch]:
    """Read the pieces of some numbers; give a block an input."""
    lighten()
    for batch in batches:
        for number in batch.column(0).to_pylist():
            piece = pieces[number]
            for rows in read_piece(piece):
                yield from _divided(piece.file.kind, rows, inputs)


def _divided(kind: Kind, rows: pa.Table, inputs: int) -> Iterator[pa.RecordBatch]:
    names = rows["instrument"].combine_chunks()
    of_name = [bucket_of(name, inputs) if name else 0 for name in names.dictionary.to_pylist()]
    codes = pc.fill_null(names.indices, len(of_name)).to_numpy()
    input_ = np.array([*of_name, 0], np.int16)[codes]
    order = np.argsort(input_, kind="stable")
    bounds = np.searchsorted(input_[order], np.arange(inputs + 1))
    sorted_rows = rows.take(pa.array(order))
    for number in range(inputs):
        part = sorted_rows.slice(bounds[number], bounds[number + 1] - bounds[number])
        if part.num_rows:
            low = int(times_us(part).min())
            yield pa.RecordBatch.from_arrays(
                [[kind], pa.array([number], pa.int32()), [low], [_packed(part)]],
                schema=_BLOCK_SCHEMA,
            )


def _packed(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema, options=_PACKING) as writer:
        writer.write_table(rows)
    return sink.getvalue().to_pybytes()


def _unpacked(block: bytes) -> pa.Table:
    with pa.ipc.open_stream(block) as reader:
        return reader.read_all()


@dataclass(frozen=True)
class _Block:
    low: int
    data: pa.Buffer


def step_one_of_files(
    batches: Iterator[pa.RecordBatch], plan: BatchPlan, day: date
) -> Iterator[pa.RecordBatch]:
    """Fold the blocks of some inputs."""
    lighten()
    inputs: dict[tuple[Kind, int], list[_Block]] = {}
    for batch in batches:
        for i in range(batch.num_rows):
            key = (batch["kind"][i].as_py(), batch["input"][i].as_py())
            block = _Block(batch["low"][i].as_py(), batch["block"][i].as_buffer())
            inputs.setdefault(key, []).append(block)
    for (kind, number), blocks in sorted(inputs.items()):
        task = FileTask(plan, kind, number, day)
        for rows in _merged(kind, blocks):
            task.take(rows)
        assert plan.ends_us is not None
        task.end(plan.ends_us)
        yield answers_of(list(task.finish()))


def _merged(kind: Kind, blocks: list[_Block]) -> Iterator[pa.Table]:
    """Give the rows of all blocks in order.

    Rows before the first of the blocks to come are complete: of files in order of time, not much
    more than one block is held unpacked.
    """
    blocks.sort(key=lambda block: block.low)
    held = row_schema(kind).empty_table()
    for i, block in enumerate(blocks):
        held = pa.concat_tables([held, _unpacked(block.data)])
        if i + 1 == len(blocks):
            yield from _chunks(held)
            return
        early = times_us(held) < blocks[i + 1].low
        # Where blocks overlap much, the rest would be copied again and again.
        if np.count_nonzero(early) >= max(_CHUNK_ROWS, held.num_rows // 2):
            yield from _chunks(held.filter(pa.array(early)))
            held = held.filter(pa.array(~early))


def _chunks(rows: pa.Table) -> Iterator[pa.Table]:
    ordered = in_order(rows.unify_dictionaries().combine_chunks())
    for start in range(0, ordered.num_rows, _CHUNK_ROWS):
        yield ordered.slice(start, _CHUNK_ROWS)


class FileTask(LaneTask):
    """One input of plain files.

    Rows have no timestamp of a source. The last microsecond of the row's own UTC day stands for it,
    and that of ``day`` where the row has no time: so each day's rows, refused ones too, stand in
    that day's partitions, and a copied file gives the same rows.
    """

    def __init__(self, plan: BatchPlan, kind: Kind, number: int, day: date) -> None:
        topic = topic_of(kind, TOPIC_PREFIX)
        super().__init__(plan, topic, input_name(topic, number))
        self._kind, self._number, self._day, self._next_row = kind, number, day, 0

    def take(self, rows: pa.Table) -> None:
        """Take rows in order."""
        n = rows.num_rows
        offsets = pa.array(np.arange(self._next_row, self._next_row + n))
        self._next_row += n
        positioned = rows.append_column("offset", offsets).append_column(
            "source_timestamp", timestamps(self._source_time_us(times_us(rows)))
        )
        self.messages(self._number, SOURCE, positioned, decoded(self._kind, rows))

    def _source_time_us(self, time_us: Int64Array) -> Int64Array:
        known = (time_us >= EARLIEST_EVENT_US) & (time_us < LATEST_EVENT_US)
        days = np.where(known, time_us - time_us % _DAY_US, day_start_us(self._day))
        return days + _DAY_US - 1

    def _values(self, rows: pa.Table) -> pa.Array:
        return messages_of(self._kind, rows)


def days_of(spark: SparkSession, pieces: Sequence[Piece]) -> tuple[date, date] | None:
    """First and last UTC day of the rows; None where no row has a time."""
    found = (
        _numbers(spark, pieces)
        .mapInArrow(partial(_spans, pieces=pieces), "low BIGINT, high BIGINT")
        .collect()
    )
    if not found:
        return None
    first, last = min(row["low"] for row in found), max(row["high"] for row in found)
    return _day(first), _day(last)


def _day(time_us: int) -> date:
    return date(1970, 1, 1).fromordinal(date(1970, 1, 1).toordinal() + time_us // _DAY_US)


def _spans(batches: Iterator[pa.RecordBatch], pieces: Sequence[Piece]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for number in batch.column(0).to_pylist():
            for rows in read_piece(pieces[number]):
                time_us = times_us(rows.select([TIME]))
                known = time_us[(time_us >= EARLIEST_EVENT_US) & (time_us < LATEST_EVENT_US)]
                if known.size:
                    yield pa.record_batch({"low": [known.min()], "high": [known.max()]})
