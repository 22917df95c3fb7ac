"""One change of a deployment at a time: a lock in the state bucket that says who, and since when.

It is an object that its holder writes anew again and again, each time on condition that it is as it
was seen last. How old it is says S3, by its own clock. One that is not renewed any more is stale,
and is taken over; one of a process that died on this machine at once.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self

import msgspec

from marketlake.emr.errors import EmrError
from marketlake.lake.errors import LakeError
from marketlake.lake.processes import has_died, started, this_machine
from marketlake.lake.s3_files import Object, ObjectExistsError, S3Files

_PATH: Final = "lock.json"
_RENEWALS: Final = 3
_CLOCK_STEP_S: Final = 1.0
"""S3 tells times in whole seconds."""


class LockHolder(msgspec.Struct, frozen=True):
    """Who changes a deployment.

    Attributes
    ----------
    token : str
        Of this holding; empty where it was given back.
    who : str
        ARN of the caller.
    what : str
        The command.
    since : str
        When it began, UTC.
    """

    token: str
    who: str
    what: str
    since: str
    host: str
    process: int
    started: int
    machine: str
    lock_s: int
    renewal: int = 0

    def __str__(self) -> str:
        return (
            f"{self.what} of {self.who}, process {self.process} on {self.host}, since {self.since}"
        )


class DeploymentLock:
    """The lock of one deployment; a context manager.

    Parameters
    ----------
    place : S3Files
        Folder of the deployment in the state bucket.
    lock_s : int
        Seconds without a renewal after which it is stale.

    Attributes
    ----------
    taken_from : LockHolder or None
        Whose stale lock was taken over: that one did not end as it should.
    """

    def __init__(self, place: S3Files, who: str, what: str, lock_s: int) -> None:
        self._place = place
        self._holder = LockHolder(
            token=uuid.uuid4().hex,
            who=who,
            what=what,
            since=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ"),
            host=socket.gethostname(),
            process=os.getpid(),
            started=started(os.getpid()),
            machine=this_machine(),
            lock_s=lock_s,
        )
        self.taken_from: LockHolder | None = None
        self._etag = ""
        self._lost = ""
        self._ends_s = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="deployment lock", daemon=True)

    def __enter__(self) -> Self:
        found = self._place.get(_PATH)
        holder = read_holder(found)
        if found is not None and holder is not None:
            died = has_died(holder.process, holder.started, holder.machine)
            if not died and found.age_s <= holder.lock_s + _CLOCK_STEP_S:
                raise EmrError(
                    f"locked: {holder} works on this deployment; wait for it. If it has died, its "
                    f"lock is stale {holder.lock_s} s after its last sign of life "
                    f"({found.age_s:.0f} s ago), and the same command then takes it over"
                )
            self.taken_from = holder
        self._etag = found.etag if found is not None else ""
        try:
            self._write(self._holder)
        except ObjectExistsError:
            holder = read_holder(self._place.get(_PATH))
            raise EmrError(f"locked: {holder} came first; wait for it") from None
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()
        if not self._lost:
            try:
                self._write(msgspec.structs.replace(self._holder, token=""))
            except LakeError:
                # It becomes stale by itself; how the command ended is what is to be told.
                return

    def check(self) -> None:
        """Raise where the lock was lost: to be called before each change.

        Raises
        ------
        EmrError
            If another has it, or it could not be renewed in time.
        """
        if not self._lost and time.monotonic() >= self._ends_s:
            self._lost = f"it could not be renewed for {self._holder.lock_s} s"
        if self._lost:
            raise EmrError(f"the lock of this deployment was lost: {self._lost}; run it again")

    def _renew(self) -> None:
        while not self._done.wait(self._holder.lock_s / _RENEWALS):
            renewed = msgspec.structs.replace(self._holder, renewal=self._holder.renewal + 1)
            try:
                self._write(renewed)
            except ObjectExistsError:
                self._lost = "another process has taken it"
                return
            except LakeError:
                # Tried again at the next turn; check() tells when it has ended.
                continue

    def _write(self, holder: LockHolder) -> None:
        asked_s = time.monotonic()
        self._etag = self._place.put_if(_PATH, msgspec.json.encode(holder), self._etag or None)
        self._holder = holder
        self._ends_s = asked_s + holder.lock_s


def read_holder(found: Object | None) -> LockHolder | None:
    """Read who holds a lock; None where nobody does.

    Raises
    ------
    EmrError
        If the object is no lock.
    """
    if found is None:
        return None
    try:
        holder = msgspec.json.decode(found.data, type=LockHolder)
    except msgspec.DecodeError as error:
        raise EmrError(f"{_PATH} in the state bucket is no lock ({error}): remove it") from error
    return holder if holder.token else None


def current_holder(place: S3Files) -> LockHolder | None:
    """Tell who holds the lock of a deployment now; None where nobody does."""
    return read_holder(place.get(_PATH))
