"""An object on S3 that its holder writes anew again and again: leases and locks stand on it.

Each write is conditional on the version seen last, so of two contenders one wins, and a holder that
was overtaken learns of it. No two clocks are compared. How old the object is says S3, by the time
of its answer less that of the object. When its own time ends the holder reckons from the moment at
which it asked for the renewal, on a clock that nobody sets: that is earlier than S3's moment, so a
holder stops before another may begin, as long as both clocks run at one speed.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from typing import Any, Final, Generic, Self, TypeVar

import msgspec

from marketlake.lake.errors import LakeError
from marketlake.lake.processes import has_died, started, this_machine
from marketlake.lake.s3_files import Object, ObjectExistsError, S3Files

_RENEWALS: Final = 3
"""Renewals in the life of a holding: two may fail."""
_ASK_AGAIN_S: Final = 1.0
_CLOCK_STEP_S: Final = 1.0
"""S3 tells times in whole seconds."""


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds it.

    Attributes
    ----------
    token : str
        Of this holding; empty where it was given back.
    started : int
        When the process began, in the machine's own count: its id may be another's later.
    machine : str
        Names the running system and its space of process ids: ids of another say nothing here.
    lasts_s : int
        Seconds without a renewal after which the holding has ended.
    renewal : int
        Counts the renewals, so that no two versions of the object are the same.
    """

    token: str
    process: int
    started: int
    host: str
    machine: str
    lasts_s: int
    renewal: int = 0

    @classmethod
    def here(cls, lasts_s: int, **more: Any) -> Self:
        """Name this process, for a new holding."""
        return cls(
            token=uuid.uuid4().hex,
            process=os.getpid(),
            started=started(os.getpid()),
            host=socket.gethostname(),
            machine=this_machine(),
            lasts_s=lasts_s,
            **more,
        )

    @property
    def has_died(self) -> bool | None:
        """True where the process has died; None where that cannot be seen from here."""
        return has_died(self.process, self.started, self.machine)


H = TypeVar("H", bound=Holder)


class HeldObject(Generic[H]):
    """An object that is held, or that somebody would hold.

    Parameters
    ----------
    path : str
        Of the object, relative to the place.
    holder : Holder
        Who would hold it: its class is what the object is read as.
    name : str
        What is held, for the thread that renews it.
    """

    def __init__(self, place: S3Files, path: str, holder: H, name: str) -> None:
        self._place = place
        self._path = path
        self._holder = holder
        self._etag = ""
        self._ends_s = 0.0
        self._lost = ""
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._renew, name=name, daemon=True)

    def look(self) -> tuple[Object | None, H | None]:
        """Read the object, and who holds it; None where nobody does.

        Raises
        ------
        msgspec.DecodeError
            If the object is something else.
        """
        found = self._place.get(self._path)
        return found, holder_of(found, type(self._holder))

    def take(self, seen: Object | None) -> None:
        """Write the object, on condition that it is as it was seen.

        Raises
        ------
        ObjectExistsError
            If another was quicker.
        """
        self._etag = seen.etag if seen is not None else ""
        self._write(self._holder)

    def keep(self) -> None:
        """Renew it in the background from now on."""
        self._thread.start()

    def give_back(self) -> None:
        """Renew it no more, and let others have it."""
        self._done.set()
        self._thread.join()
        if not self._lost:
            try:
                self._write(self._given_back)
            except LakeError:
                # It ends by itself; what the run did, or why it failed, is what is to be told.
                return

    def keeps_conditions(self) -> bool:
        """Tell whether the server refuses to write a new object in the place of this one."""
        try:
            self._place.put_if(self._path, msgspec.json.encode(self._given_back), None)
        except ObjectExistsError:
            return True
        return False

    def why_lost(self) -> str:
        """Tell why it is held no longer; empty while it is."""
        if not self._lost and time.monotonic() >= self._ends_s:
            self._lost = f"it could not be renewed for {self._holder.lasts_s} s"
        return self._lost

    @property
    def _given_back(self) -> H:
        return msgspec.structs.replace(self._holder, token="")

    def _renew(self) -> None:
        pause_s = self._holder.lasts_s / _RENEWALS
        while not self._done.wait(pause_s):
            renewed = msgspec.structs.replace(self._holder, renewal=self._holder.renewal + 1)
            try:
                self._write(renewed)
                pause_s = self._holder.lasts_s / _RENEWALS
            except ObjectExistsError:
                self._lost = "another process has taken it"
                return
            except LakeError:
                # As long as it lasts it may be tried again; why_lost() tells when it has ended.
                pause_s = min(_ASK_AGAIN_S, pause_s)

    def _write(self, holder: H) -> None:
        asked_s = time.monotonic()
        self._etag = self._place.put_if(self._path, msgspec.json.encode(holder), self._etag or None)
        self._holder = holder
        self._ends_s = asked_s + holder.lasts_s


def holder_of(found: Object | None, kind: type[H]) -> H | None:
    """Read who holds an object; None where nobody does."""
    if found is None:
        return None
    holder = msgspec.json.decode(found.data, type=kind)
    return holder if holder.token else None


def has_ended(found: Object, holder: Holder) -> bool:
    """Tell whether a holding was renewed for the last time too long ago."""
    return found.age_s > holder.lasts_s + _CLOCK_STEP_S
