"""Spark's log of the offsets of its batches, in the checkpoint of a query.

The format is that of Spark's ``OffsetSeqLog``: a version, a line of metadata, then a line a source.
"""

from __future__ import annotations

from typing import Final

from marketlake.lake.errors import LakeError
from marketlake.lake.storage import Storage

_VERSION: Final = "v1"
_SOURCE_LINE: Final = 2


def logged_offset(storage: Storage, checkpoint: str, batch: int) -> str:
    """Give the end offset of a batch, as the query's one source wrote it.

    Parameters
    ----------
    checkpoint : str
        The query's checkpoint, relative to the lake.

    Raises
    ------
    LakeError
        If there is none, or it is not as Spark 4 writes it.
    """
    path = f"{checkpoint}/offsets/{batch}"
    lines = storage.read(path).decode().splitlines()
    if len(lines) <= _SOURCE_LINE or lines[0] != _VERSION:
        raise LakeError(f"{storage.path(path)} is no offset log of Spark 4: start on a new --lake")
    return lines[_SOURCE_LINE]
