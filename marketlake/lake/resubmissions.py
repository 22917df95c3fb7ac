"""Which messages of the quarantine were sent again, so that none is sent twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from marketlake.lake.errors import LakeError
from marketlake.lake.storage import Storage

_FOLDER: Final = "_marketlake/resubmitted"


class Position(msgspec.Struct, frozen=True):
    """Where a message stood in its source."""

    source: str
    topic: str
    partition: int
    offset: int


class Resubmissions:
    """The positions that were sent again, a file a chunk.

    Parameters
    ----------
    storage : Storage
        The lake.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def positions(self) -> set[Position]:
        """Read all of them.

        Raises
        ------
        LakeError
            If a file is damaged.
        """
        found: set[Position] = set()
        for name in self._storage.list(_FOLDER):
            path = f"{_FOLDER}/{name}"
            try:
                found |= set(msgspec.json.decode(self._storage.read(path), type=list[Position]))
            except msgspec.DecodeError as error:
                raise LakeError(
                    f"{self._storage.path(path)} is damaged ({error}): remove it; what it named "
                    "may then be sent again"
                ) from error
        return found

    def add(self, positions: Sequence[Position]) -> None:
        """Note some more."""
        if not positions:
            return
        names = self._storage.list(_FOLDER)
        number = 1 + max((int(name.removesuffix(".json")) for name in names), default=-1)
        path = f"{_FOLDER}/{number:012d}.json"
        self._storage.write_new(path, msgspec.json.encode(list(positions)))
