"""One change of a deployment at a time: a lock in the state bucket that says who, and since when.

It is an object that its holder renews, see :mod:`marketlake.lake.held_object`. One that is not
renewed any more is stale, and is taken over; one of a process that died on this machine at once.
"""

from __future__ import annotations

from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self

import msgspec

from marketlake.emr.errors import EmrError
from marketlake.lake.held_object import HeldObject, Holder, has_ended, holder_of
from marketlake.lake.s3_files import Object, ObjectExistsError, S3Files

_PATH: Final = "lock.json"


class LockHolder(Holder, frozen=True, kw_only=True):
    """Who changes a deployment.

    Attributes
    ----------
    who : str
        ARN of the caller.
    what : str
        The command.
    since : str
        When it began, UTC.
    """

    who: str
    what: str
    since: str
    lasts_s: int = msgspec.field(name="lock_s")

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
        since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        holder = LockHolder.here(lock_s, who=who, what=what, since=since)
        self.taken_from: LockHolder | None = None
        self._place = place
        self._held = HeldObject(place, _PATH, holder, "deployment lock")

    def __enter__(self) -> Self:
        found = self._place.get(_PATH)
        holder = read_holder(found)
        if found is not None and holder is not None:
            if not holder.has_died and not has_ended(found, holder):
                raise EmrError(
                    f"locked: {holder} works on this deployment; wait for it. If it has died, its "
                    f"lock is stale {holder.lasts_s} s after its last sign of life "
                    f"({found.age_s:.0f} s ago), and the same command then takes it over"
                )
            self.taken_from = holder
        try:
            self._held.take(found)
        except ObjectExistsError:
            holder = current_holder(self._place)
            raise EmrError(f"locked: {holder} came first; wait for it") from None
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
        """Raise where the lock was lost: to be called before each change.

        Raises
        ------
        EmrError
            If another has it, or it could not be renewed in time.
        """
        if why := self._held.why_lost():
            raise EmrError(f"the lock of this deployment was lost: {why}; run it again")


def read_holder(found: Object | None) -> LockHolder | None:
    """Read who holds a lock; None where nobody does.

    Raises
    ------
    EmrError
        If the object is no lock.
    """
    try:
        return holder_of(found, LockHolder)
    except msgspec.DecodeError as error:
        raise EmrError(f"{_PATH} in the state bucket is no lock ({error}): remove it") from error


def current_holder(place: S3Files) -> LockHolder | None:
    """Tell who holds the lock of a deployment now; None where nobody does."""
    return read_holder(place.get(_PATH))
