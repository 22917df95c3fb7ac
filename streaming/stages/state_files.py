"""State of folds as files of ``state/folds``: one file an input or merge bucket and batch."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

from marketlake.contracts.tables import STATE_FOLDS
from marketlake.lake.datafiles import DataFile, DataFileWriter
from marketlake.lake.errors import LakeError
from marketlake.lake.storage import Storage
from streaming.stages.input_state import STATE_SCHEMA, STATE_VERSION


def write_state(
    storage: Storage, label: str, step: str, name: str, sequence: int, state: pa.Table
) -> DataFile:
    """Write the state of one input or bucket, given as ``STATE_SCHEMA`` has it."""
    n = state.num_rows
    table = pa.table(
        {
            "step": pa.repeat(step, n),
            **{column: state[column] for column in STATE_SCHEMA.names},
            "state_version": pa.repeat(pa.scalar(STATE_VERSION, pa.int32()), n),
            "batch": pa.repeat(pa.scalar(sequence, pa.int64()), n),
        }
    )
    writer = DataFileWriter(storage, STATE_FOLDS, label)
    writer.add((name,), table)
    return writer.close()[0]


def read_state(storage: Storage, path: str) -> pa.Table:
    """Read a state file.

    Raises
    ------
    LakeError
        If it is absent, or was written in another layout.
    """
    table = pq.read_table(io.BytesIO(storage.read(path)), partitioning=None)
    versions = set(table["state_version"].unique().to_pylist())
    if versions != {STATE_VERSION}:
        raise LakeError(
            f"state {path} has version {sorted(versions)}, this release reads {STATE_VERSION}: "
            "run the release that wrote it, or start on a new lake and replay bronze"
        )
    return table.select(STATE_SCHEMA.names).cast(STATE_SCHEMA)
