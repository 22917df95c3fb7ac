"""A lease on S3: an object that its holder renews, see :mod:`marketlake.lake.held_object`.

A process that stands still between the check and its commit (a machine put to sleep) could commit
after all. Nothing is spoilt by that: a batch is decided by a manifest of its number, which S3 takes
once, and a table takes a batch once.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Final, Self

import msgspec

from marketlake.lake.errors import LakeError
from marketlake.lake.held_object import HeldObject, Holder, has_ended
from marketlake.lake.s3_files import Object, ObjectExistsError, S3Files

_ASK_AGAIN_S: Final = 1.0


class LeaseHolder(Holder, frozen=True, kw_only=True):
    """Who writes a lake."""

    lasts_s: int = msgspec.field(name="lease_s")


class S3Lease:
    """A lease that is renewed in the background while the context lasts.

    Parameters
    ----------
    path : str
        Of the object, relative to the lake.
    name : str
        What is leased, for messages.
    lease_s : int
        Seconds without a renewal after which it is lost.
    """

    def __init__(self, files: S3Files, path: str, name: str, lease_s: int) -> None:
        self._object_path = files.path(path)
        self._what = f"lake {files.path('').rstrip('/')} ({name})"
        self._held = HeldObject(files, path, LeaseHolder.here(lease_s), f"lease {name}")

    def __enter__(self) -> Self:
        self._acquire()
        self._require_conditions()
        self._held.keep()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._held.give_back()

    def check(self) -> None:
        """Raise where the lease was lost.

        Raises
        ------
        LakeError
            If another has it, or it could not be renewed in time.
        """
        if why := self._held.why_lost():
            raise LakeError(
                f"the lease of {self._what} was lost: {why}; nothing more is written. "
                "Start again when no other writes there: nothing was lost"
            )

    def _acquire(self) -> None:
        waits_for: str | None = None
        while True:
            found, holder = self._look()
            if found is not None and holder is not None and not has_ended(found, holder):
                dead = holder.has_died
                renewed = waits_for is not None and found.etag != waits_for
                if dead is False or renewed:
                    raise LakeError(
                        f"process {holder.process} on {holder.host} writes {self._what}; "
                        "wait for it, or stop it"
                    )
                if dead is None:
                    # It may have died: then it is not renewed. The end of its lease is waited for.
                    waits_for = found.etag
                    time.sleep(_ASK_AGAIN_S)
                    continue
            try:
                self._held.take(found)
            except ObjectExistsError:
                # Another was quicker.
                waits_for = None
                continue
            return

    def _look(self) -> tuple[Object | None, LeaseHolder | None]:
        try:
            return self._held.look()
        except msgspec.DecodeError as error:
            raise LakeError(f"{self._object_path} is no lease ({error}): remove it") from error

    def _require_conditions(self) -> None:
        """See that the server keeps conditions: one that ignores them would let two write."""
        if not self._held.keeps_conditions():
            raise LakeError(
                f"the S3 server of {self._what} ignores If-None-Match, by which two writers are "
                "kept apart: use a server that knows conditional writes"
            )
