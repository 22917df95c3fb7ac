"""Faults planted in a lake, each of which a campaign must find."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from marketlake.contracts.tables import GOLD_BARS, STREAM_TABLES
from marketlake.lake.datafiles import DataFile
from marketlake.lake.delta import DeltaTables
from marketlake.lake.manifests import Manifest, Manifests
from marketlake.lake.storage import Storage
from streaming.pipeline import PIPELINE


def apply_twice(lake: str) -> None:
    """Add the files of a batch to a table once more, as a writer without transactions would."""
    storage = Storage(lake)
    batch = _with_bars(storage)
    copies = []
    for file in _bars(batch):
        copy = file.path.replace(".parquet", "-again.parquet")
        data = storage.read(f"{file.table}/{file.path}")
        storage.write(f"{file.table}/{copy}", data)
        copies.append(_renamed(file, copy))
    DeltaTables(storage, STREAM_TABLES).commit(GOLD_BARS.path, "planted", 1, copies)


def lose_state(lake: str) -> None:
    """Remove a file of the state that the last batch left."""
    storage = Storage(lake)
    last = Manifests(storage, PIPELINE).last()
    assert last is not None
    file = next(iter(last.state_files.values()))[-1]
    storage.delete([f"{file.table}/{file.path}"])


def change_row(lake: str) -> None:
    """Change a price in a table by a part in a billion."""
    storage = Storage(lake)
    file = _bars(_with_bars(storage))[0]
    path = f"{file.table}/{file.path}"
    storage.write(path, changed(storage.read(path)))


def changed(file: bytes) -> bytes:
    """Give a file of bars with the first close changed by a part in a billion."""
    table = pq.ParquetFile(BytesIO(file)).read()
    close = table["close"].to_pylist()
    close[0] += 1e-9 * close[0]
    place = table.schema.get_field_index("close")
    data = BytesIO()
    pq.write_table(table.set_column(place, "close", pa.array(close)), data)
    return data.getvalue()


def _with_bars(storage: Storage) -> Manifest:
    manifests = Manifests(storage, PIPELINE)
    return next(
        manifest
        for manifest in map(manifests.read, reversed(manifests.sequences()))
        if _bars(manifest)
    )


def _bars(manifest: Manifest) -> list[DataFile]:
    return [file for file in manifest.files if file.table == GOLD_BARS.path]


def _renamed(file: DataFile, path: str) -> DataFile:
    return DataFile(
        file.table, path, file.size_bytes, file.rows, file.digest, file.partition, file.statistics
    )


PLANTS: Final[Mapping[str, Callable[[str], None]]] = {
    "nothing": lambda _lake: None,
    "twice": apply_twice,
    "state": lose_state,
    "row": change_row,
}
