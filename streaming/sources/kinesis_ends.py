"""What readers of Kinesis leave for each other: where a shard's first reader in a plan stopped.

Small files in a folder, each written once and only if it is not there. That makes a batch
repeatable: whoever reads the same shard of the same plan again, reads up to the recorded end.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import msgspec

from marketlake.lake.errors import LakeError
from marketlake.lake.storage import Storage
from marketlake.settings.model import S3Settings
from streaming.sources.kinesis_plans import Plan, ShardEnd, ShardName

_KEPT_PLANS: Final = 100
"""As many as Spark keeps batches of: any of them may be run again."""
_FORGET_EVERY: Final = 20
_THREADS: Final = 16

_File = TypeVar("_File", ShardEnd, Plan)


class KinesisEnds:
    """The folder of one query.

    Parameters
    ----------
    uri : str
        Of the folder: on a disk that all workers share, or in S3.
    s3 : S3Settings
        How to write in S3: as the lake is written.
    """

    def __init__(self, uri: str, s3: S3Settings) -> None:
        self._storage = Storage(uri, s3)

    def begin(self, plan: Plan) -> Plan:
        """Record what all begins with; give what was recorded first."""
        return self._first("beginning.json", plan)

    def beginning(self) -> Plan | None:
        """Give what all began with."""
        return self._read("beginning.json", Plan)

    def record(self, plan: int, name: ShardName, end: ShardEnd) -> ShardEnd:
        """Record where a reader stopped; give where the first of them did."""
        return self._first(_path(plan, name), end)

    def end(self, plan: int, name: ShardName) -> ShardEnd | None:
        """Give where the first reader of a shard in a plan stopped."""
        return self._read(_path(plan, name), ShardEnd)

    def ends(self, plan: Plan) -> dict[ShardName, ShardEnd]:
        """Give all ends of a plan that are recorded."""
        names = [name for name, _ in plan.reads()]
        with ThreadPoolExecutor(_THREADS) as pool:
            found = pool.map(lambda name: self.end(plan.number, name), names)
            return {name: end for name, end in zip(names, found, strict=True) if end is not None}

    def forget(self, plan: int) -> None:
        """Remove what was recorded of plans so old that they are not run again.

        Parameters
        ----------
        plan : int
            The last that is done.
        """
        if plan % _FORGET_EVERY:
            return
        for name in self._storage.list("ends"):
            if int(name.partition("-")[0]) <= plan - _KEPT_PLANS:
                self._storage.remove(f"ends/{name}")

    def seen(self) -> dict[ShardName, int]:
        """Give up to when nothing can have been missed of each shard, in ms since the epoch."""
        if not self._storage.exists("seen.json"):
            return {}
        known = msgspec.json.decode(self._storage.read("seen.json"), type=dict[str, dict[str, int]])
        return {(stream, shard): ms for stream, of in known.items() for shard, ms in of.items()}

    def see(self, known_ms: Mapping[ShardName, int]) -> None:
        """Keep that for a restart."""
        known: dict[str, dict[str, int]] = {}
        for (stream, shard), ms in known_ms.items():
            known.setdefault(stream, {})[shard] = ms
        self._storage.write("seen.json", msgspec.json.encode(known))

    def _first(self, path: str, value: _File) -> _File:
        try:
            self._storage.write_new(path, msgspec.json.encode(value))
        except LakeError:
            first = self._read(path, type(value))
            if first is None:
                raise
            return first
        return value

    def _read(self, path: str, kind: type[_File]) -> _File | None:
        if not self._storage.exists(path):
            return None
        return msgspec.json.decode(self._storage.read(path), type=kind)


def _path(plan: int, name: ShardName) -> str:
    return f"ends/{plan:012d}-{name[0]}-{name[1]}.json"
