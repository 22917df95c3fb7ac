"""State of folds as files of ``state/folds``: of a lane or merge bucket a whole one, then changes.

A state is written whole where there is none, and again when the changes written since outweigh it;
in between a batch writes what it changed. The files of a state, in order, are its chain.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from marketlake.contracts.tables import STATE_FOLDS
from marketlake.lake.datafiles import DataFileWriter, SealedFile
from marketlake.lake.errors import LakeError
from marketlake.lake.storage import Storage
from streaming.stages.lane_state import (
    STATE_SCHEMA,
    STATE_VERSION,
    bytes_as_words,
    words_as_bytes,
)
from streaming.stages.messages import StateFile
from streaming.stages.state_upgrades import UPGRADES, upgraded

_LONGEST_CHAIN: Final = 16
"""Files of a chain: each is opened at a restart, and stands in every manifest."""


def is_due_whole(chain: Sequence[StateFile]) -> bool:
    """Tell whether the next file of a state should hold all of it."""
    if not chain or len(chain) >= _LONGEST_CHAIN:
        return True
    return sum(file.size_bytes for file in chain[1:]) > chain[0].size_bytes


def seal_state(
    storage: Storage, label: str, step: str, name: str, sequence: int, state: pa.Table
) -> SealedFile:
    """Make the file of the state of one lane or bucket of rows as ``STATE_SCHEMA`` has them."""
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
    return writer.seal()[0]


def read_state(storage: Storage, paths: Sequence[str]) -> pa.Table:
    """Read a chain; give the whole state after its last file, in the layout of this release.

    Raises
    ------
    LakeError
        If a file is absent, or was written in a layout that cannot be read.
    """
    return read_versioned(storage, paths)[0]


def read_versioned(storage: Storage, paths: Sequence[str]) -> tuple[pa.Table, int]:
    """Read a chain as :func:`read_state` does; give the version of its files, too.

    What changes a state of another version cannot be added to its chain.
    """
    versions, parts = zip(*(_read(storage, path) for path in paths), strict=True)
    version = versions[0]
    try:
        if set(versions) != {version}:
            raise LookupError(f"versions {sorted(set(versions))} in one chain")
        return upgraded(_whole(parts), version, STATE_VERSION, UPGRADES), version
    except LookupError as error:
        raise LakeError(
            f"state {paths[0]} has version {version}, this release reads {STATE_VERSION}: "
            "run the release that wrote it, or start on a new lake and replay bronze"
        ) from error


def _whole(parts: Sequence[pa.Table]) -> pa.Table:
    if len(parts) == 1:
        return parts[0]
    every = pa.concat_tables(parts)
    kinds = sorted(every["kind"].unique().to_pylist())
    return pa.concat_tables(
        [_newest([p.filter(pc.equal(p["kind"], kind)) for p in parts]) for kind in kinds]
    )


def instruments_of(storage: Storage, paths: Sequence[str], kind: str) -> set[str]:
    """Name the instruments that a chain has rows of one kind for."""
    found: set[str] = set()
    for path in paths:
        data = io.BytesIO(storage.read(path))
        names = pq.read_table(data, columns=["instrument", "kind"], partitioning=None)
        found |= set(names.filter(pc.equal(names["kind"], kind))["instrument"].to_pylist())
    return found


def _read(storage: Storage, path: str) -> tuple[int, pa.Table]:
    table = pq.read_table(io.BytesIO(storage.read(path)), partitioning=None)
    version: int = table["state_version"][0].as_py()
    return version, table.select(STATE_SCHEMA.names).cast(STATE_SCHEMA)


def _newest(parts: list[pa.Table]) -> pa.Table:
    """Apply the changes of one kind, in order; give its rows whole, in order of name."""
    if parts[-1].num_rows and not parts[-1]["instrument"][0].as_py():
        # Of a whole lane: no words, and always whole.
        return parts[-1]
    place: dict[tuple[str, str], int] = {}
    words = np.empty((0, 0))
    for part in parts:
        if not part.num_rows:
            continue
        names = zip(part["venue"].to_pylist(), part["instrument"].to_pylist(), strict=True)
        rows = np.array([place.setdefault(name, len(place)) for name in names], np.int64)
        payload = bytes_as_words(part["payload"].combine_chunks())
        fresh = np.zeros((len(place) - len(words), payload.shape[1]))
        words = np.concatenate([words.reshape(-1, payload.shape[1]), fresh])
        delta = part["delta"].to_numpy()
        bits, changes = words.view(np.int64), payload.view(np.int64)
        bits[rows[~delta]] = changes[~delta]
        bits[rows[delta]] ^= changes[delta]
    order = sorted(place)
    kind = next(part["kind"][0].as_py() for part in parts if part.num_rows)
    return pa.table(
        [
            [venue for venue, _ in order],
            [instrument for _, instrument in order],
            [kind] * len(order),
            [False] * len(order),
            words_as_bytes(words[[place[name] for name in order]]),
        ],
        schema=STATE_SCHEMA,
    )
