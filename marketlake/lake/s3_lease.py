"""A lease on S3: an object that its holder writes anew again and again.

Each write is conditional on the version seen last, so of two contenders one wins, and a holder that
was overtaken learns of it. No two clocks are compared. How old a lease is says S3, by the time of
its answer less that of the object. When its own lease ends the holder reckons from the moment at
which it asked for the renewal, on a clock that nobody sets: that is earlier than S3's moment, so a
holder stops before another may begin, as long as both clocks run at one speed.

A process that stands still between the check and its commit (a machine put to sleep) could commit
after all. Nothing is spoilt by that: a batch is decided by a manifest of its number, which S3 takes
once, and a table takes a batch once.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from types import TracebackType
from typing import Final, Self

import msgspec

from marketlake.lake.errors import LakeError
from marketlake.lake.processes import has_died, started, this_machine
from marketlake.lake.s3_files import Object, ObjectExistsError, S3Files

_RENEWALS: Final = 3
"""Renewals in the life of a lease: two may fail."""
_ASK_AGAIN_S: Final = 1.0
_CLOCK_STEP_S: Final = 1.0
"""S3 tells times in whole seconds."""


class Holder(msgspec.Struct, frozen=True):
    """Who holds a lease.

    Attributes
    ----------
    token : str
        Of this holding; empty where it was given back.
    started : int
        When the process began, in the machine's own count: its id may be another's later.
    machine : str
        Names the running system and its space of process ids: ids of another say nothing here.
    renewal : int
        Counts the renewals, so that no two versions of the object are the same.
    """

    token: str
    process: int
    started: int
    host: str
    machine: str
    lease_s: int
    renewal: int = 0


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
        self._files = files
        self._path = path
        self._what = f"lake {files.path('').rstrip('/')} ({name})"
        self._holder = Holder(
            token=uuid.uuid4().hex,
            process=os.getpid(),
            started=started(os.getpid()),
            host=socket.gethostname(),
            machine=this_machine(),
            lease_s=lease_s,
        )
        self._etag = ""
        self._ends_s = 0.0
        self._lost = ""
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._renew, name=f"lease {name}", daemon=True)

    def __enter__(self) -> Self:
        self._acquire()
        self._require_conditions()
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
                # It ends by itself; what the run did, or why it failed, is what is to be told.
                return

    def check(self) -> None:
        """Raise where the lease was lost.

        Raises
        ------
        LakeError
            If another has it, or it could not be renewed in time.
        """
        if not self._lost and time.monotonic() >= self._ends_s:
            self._lost = f"it could not be renewed for {self._holder.lease_s} s"
        if self._lost:
            raise LakeError(
                f"the lease of {self._what} was lost: {self._lost}; nothing more is written. "
                "Start again when no other writes there: nothing was lost"
            )

    def _acquire(self) -> None:
        waits_for: str | None = None
        while True:
            found = self._files.get(self._path)
            try:
                holder = _holder_of(found)
            except msgspec.DecodeError as error:
                path = self._files.path(self._path)
                raise LakeError(f"{path} is no lease ({error}): remove it") from error
            if found is not None and holder is not None and not _ended(found, holder):
                dead = has_died(holder.process, holder.started, holder.machine)
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
                self._etag = found.etag if found is not None else ""
                self._write(self._holder)
            except ObjectExistsError:
                # Another was quicker.
                waits_for = None
                continue
            return

    def _require_conditions(self) -> None:
        """See that the server keeps conditions: one that ignores them would let two write."""
        given_back = msgspec.json.encode(msgspec.structs.replace(self._holder, token=""))
        try:
            self._files.put_if(self._path, given_back, None)
        except ObjectExistsError:
            return
        raise LakeError(
            f"the S3 server of {self._what} ignores If-None-Match, by which two writers are kept "
            "apart: use a server that knows conditional writes"
        )

    def _renew(self) -> None:
        pause_s = self._holder.lease_s / _RENEWALS
        while not self._done.wait(pause_s):
            renewed = msgspec.structs.replace(self._holder, renewal=self._holder.renewal + 1)
            try:
                self._write(renewed)
                pause_s = self._holder.lease_s / _RENEWALS
            except ObjectExistsError:
                self._lost = "another process has taken it"
                return
            except LakeError:
                # As long as it lasts it may be tried again; check() tells when it has ended.
                pause_s = min(_ASK_AGAIN_S, pause_s)

    def _write(self, holder: Holder) -> None:
        asked_s = time.monotonic()
        self._etag = self._files.put_if(self._path, msgspec.json.encode(holder), self._etag or None)
        self._holder = holder
        self._ends_s = asked_s + holder.lease_s


def _holder_of(found: Object | None) -> Holder | None:
    """Read who holds a lease; None where nobody does."""
    if found is None:
        return None
    holder = msgspec.json.decode(found.data, type=Holder)
    return holder if holder.token else None


def _ended(found: Object, holder: Holder) -> bool:
    return found.age_s > holder.lease_s + _CLOCK_STEP_S
