"""The Kinesis connector that AWS ships with EMR, made to give the columns of every source.

It is a JVM connector (``spark-sql-kinesis``, format ``aws-kinesis``), which reads one stream a
frame and takes aggregated records apart by itself. It says of a record its stream and its sequence
number, not its shard; the number of the shard is part of the sequence number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial, reduce
from typing import Final

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from marketlake.kinesis.client import KinesisAccess, KinesisError
from marketlake.settings.model import KinesisSettings
from streaming.sources.kinesis_records import ROW_DDL, ROW_SCHEMA, SOURCE
from streaming.stages.messages import BatchPlan, input_name

FORMAT: Final = "aws-kinesis"
_SHARD_BITS: Final = 4
_SHARD_MASK: Final = 0xFFFFFFFF
_SEQUENCE_BITS: Final = 186
_COLUMNS: Final = ("streamName", "partitionKey", "data", "approximateArrivalTimestamp")


def options(
    access: KinesisAccess, stream: str, settings: KinesisSettings, metadata_path: str
) -> dict[str, str]:
    """Give the connector's options for one stream.

    Raises
    ------
    KinesisError
        If a setting asks for what the connector lacks.
    """
    if settings.starting_sequences:
        raise KinesisError('kinesis.starting_sequences needs kinesis.reader = "marketlake"')
    if settings.external_id:
        raise KinesisError('kinesis.external_id needs kinesis.reader = "marketlake"')
    endpoint = access.endpoint_url or f"https://kinesis.{access.region}.amazonaws.com"
    given = {
        "kinesis.region": access.region,
        "kinesis.streamName": stream,
        "kinesis.endpointUrl": endpoint,
        "kinesis.consumerType": "SubscribeToShard" if settings.fan_out_consumer else "GetRecords",
        "kinesis.startingposition": _start(settings.starting_position),
        "kinesis.maxFetchRecordsPerShard": str(settings.max_records_per_shard),
        "kinesis.maxFetchTimePerShardSec": str(max(1, settings.max_read_ms_per_shard // 1_000)),
        "kinesis.failOnDataLoss": str(settings.fail_on_data_loss).lower(),
        "kinesis.metadataPath": f"{metadata_path}/{stream}",
    }
    if settings.fan_out_consumer:
        # The connector registers it at each stream, or takes the one that is there.
        given["kinesis.consumerName"] = settings.fan_out_consumer
    if access.role_arn:
        given["kinesis.stsRoleArn"] = access.role_arn
        given["kinesis.stsSessionName"] = "marketlake"
    return given


def _start(position: str) -> str:
    if position.lower() in {"trim_horizon", "latest"}:
        return position.upper()
    time = datetime.fromisoformat(position)
    return f"AT_TIMESTAMP {time.strftime('%Y-%m-%dT%H:%M:%SZ')}"


def read(
    spark: SparkSession,
    access: KinesisAccess,
    streams: Sequence[str],
    settings: KinesisSettings,
    metadata_path: str,
) -> DataFrame:
    """Give the frame of all streams, as the connector has its columns."""
    frames = [
        spark.readStream.format(FORMAT)
        .options(**options(access, stream, settings, metadata_path))
        .load()
        .select(*_COLUMNS, "sequenceNumber")
        for stream in streams
    ]
    return reduce(DataFrame.unionByName, frames)


def with_offsets(frame: DataFrame, plan: BatchPlan) -> DataFrame:
    """Give the columns of every source: offsets go on where the batch before ended."""
    firsts = {name: max(i.next_offset, 0) for name, i in plan.inputs.items()}
    return frame.mapInArrow(partial(mapped, firsts=firsts), ROW_DDL)


def mapped(
    batches: Iterator[pa.RecordBatch], firsts: Mapping[str, int]
) -> Iterator[pa.RecordBatch]:
    """Map the connector's rows of whole shards, each in the order of its records.

    Parameters
    ----------
    firsts : mapping
        Offset of the first record, by input; 0 where it is not named.
    """
    following = dict(firsts)
    for batch in batches:
        n = batch.num_rows
        streams = batch.column("streamName").to_pylist()
        numbers = batch.column("sequenceNumber").to_pylist()
        shards = [shard_of(number) for number in numbers]
        offsets = np.empty(n, np.int64)
        for i, place in enumerate(zip(streams, shards, strict=True)):
            name = input_name(*place)
            offsets[i] = following.get(name, 0)
            following[name] = int(offsets[i]) + 1
        columns = [
            pa.repeat(SOURCE, n),
            batch.column("streamName"),
            pa.array(shards, pa.int32()),
            pa.array(offsets),
            batch.column("partitionKey").cast(pa.binary()),
            batch.column("data"),
            batch.column("approximateArrivalTimestamp"),
            batch.column("sequenceNumber"),
        ]
        cast = [c.cast(f.type) for c, f in zip(columns, ROW_SCHEMA, strict=True)]
        yield pa.RecordBatch.from_arrays(cast, schema=ROW_SCHEMA)


def shard_of(sequence_number: str) -> int:
    """Give the number of the shard that a sequence number is of.

    Raises
    ------
    KinesisError
        If it has not the form that Kinesis has given them since 2014.
    """
    number = int(sequence_number)
    if number.bit_length() != _SEQUENCE_BITS or number & 0xF != 2:
        raise KinesisError(
            f"sequence number {sequence_number} does not tell its shard; use "
            'kinesis.reader = "marketlake"'
        )
    return (number >> _SHARD_BITS) & _SHARD_MASK
