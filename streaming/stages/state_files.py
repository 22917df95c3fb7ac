"""State of folds as files of ``state/folds``: one file an input or merge bucket and batch."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

from marketlake.contracts.tables import STATE_FOLDS
from marketlake.lake.datafiles import DataFile, DataFileWriter
from marketlake.lake.errors import LakeError
from marketlake.lake.storage import Storage
from streaming.stages.input_fold import STATE_VERSION, StateRow


def write_state(
    storage: Storage, label: str, step: str, name: str, sequence: int, rows: list[StateRow]
) -> DataFile:
    """Write the state of one input or bucket."""
    n = len(rows)
    venues, instruments, kinds, payloads = (list(column) for column in zip(*rows, strict=True))
    table = pa.table(
        {
            "step": pa.array([step] * n),
            "venue": pa.array(venues),
            "instrument": pa.array(instruments),
            "kind": pa.array(kinds),
            "state_version": pa.array([STATE_VERSION] * n, pa.int32()),
            "batch": pa.array([sequence] * n, pa.int64()),
            "payload": pa.array(payloads, pa.binary()),
        }
    )
    writer = DataFileWriter(storage, STATE_FOLDS, label)
    writer.add((name,), table)
    return writer.close()[0]


def read_state(storage: Storage, path: str) -> list[StateRow]:
    """Read a state file.

    Raises
    ------
    LakeError
        If it is absent, or was written in another layout.
    """
    table = pq.read_table(io.BytesIO(storage.read(path)), partitioning=None)
    versions = set(table["state_version"].to_pylist())
    if versions != {STATE_VERSION}:
        raise LakeError(
            f"state {path} has version {sorted(versions)}, this release reads {STATE_VERSION}: "
            "run the release that wrote it, or start on a new lake and replay bronze"
        )
    columns = ("venue", "instrument", "kind", "payload")
    return list(zip(*(table[c].to_pylist() for c in columns), strict=True))
