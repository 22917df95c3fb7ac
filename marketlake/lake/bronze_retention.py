"""Old messages removed from bronze, and a note of what can no longer be computed from it."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from typing import Final

import msgspec
import pyarrow.compute as pc
from deltalake import DeltaTable

from marketlake.contracts.tables import BRONZE_EVENTS
from marketlake.lake.datafiles import DataFile
from marketlake.lake.delta import DeltaTables
from marketlake.lake.errors import LakeError
from marketlake.lake.storage import Storage

_NOTE: Final = "_marketlake/stream/bronze.json"
_APPLICATION: Final = "marketlake-maintain"


class BronzeNote(msgspec.Struct, frozen=True):
    """What bronze lacks.

    Attributes
    ----------
    complete_after_us : int
        Batches that began later have all their messages there; microseconds since the epoch.
    """

    complete_after_us: int


def complete_after_us(storage: Storage) -> int | None:
    """Time of the last batch of which bronze lacks messages; None where it has all.

    Raises
    ------
    LakeError
        If the note cannot be read.
    """
    if storage.size(_NOTE) < 0:
        return None
    try:
        return msgspec.json.decode(storage.read(_NOTE), type=BronzeNote).complete_after_us
    except msgspec.DecodeError as error:
        raise LakeError(
            f"{storage.path(_NOTE)} is damaged ({error}): restore it from a backup of the lake"
        ) from error


def trim(storage: Storage, keep_days: int, *, dry_run: bool) -> list[DataFile]:
    """Remove the partitions of bronze whose UTC date is so many days ago.

    The files leave the table; the storage they leave as all that left a table does.

    Returns
    -------
    list of DataFile
        What left, or would.
    """
    today = datetime.now(UTC).date()
    tables = DeltaTables(storage, [BRONZE_EVENTS])
    path = BRONZE_EVENTS.path
    oldest = (today - timedelta(days=keep_days)).isoformat()
    old = [file for file in tables.files(path) if file.partition["date"] < oldest]
    if old and not dry_run:
        # First the note: who computes from bronze must never find less than it says.
        before = complete_after_us(storage)
        note = BronzeNote(max(_latest_batch_us(storage, oldest), before or 0))
        storage.write(_NOTE, msgspec.json.encode(note))
        tables.commit(path, _APPLICATION, time.time_ns() // 1_000, [], replaced=old)
    return old


def _latest_batch_us(storage: Storage, before: str) -> int:
    delta = DeltaTable(storage.path(BRONZE_EVENTS.path), storage_options=storage.delta_options)
    dataset = delta.to_pyarrow_dataset()
    rows = dataset.scanner(
        columns=["ingest_time"], filter=pc.field("date") < pc.scalar(date.fromisoformat(before))
    )
    latest = max(pc.max(b["ingest_time"]).as_py() for b in rows.to_batches() if b.num_rows)
    return int((latest - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))
