"""One writer a table: a lease that a process holds while it writes, and loses when it dies.

On this machine it is a lock of the operating system, which no process outlives. On S3 it is an
object that its holder renews, see :mod:`marketlake.lake.s3_lease`.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from marketlake.lake.errors import LakeError
from marketlake.lake.s3_files import S3Files
from marketlake.lake.storage import Storage

Check = Callable[[], None]
"""Raises a :class:`LakeError` where the lease was lost: called before each commit."""


@contextmanager
def lease(storage: Storage, name: str) -> Iterator[Check]:
    """Hold the right to write some tables of a lake.

    Parameters
    ----------
    name : str
        ``stream`` for all that the stream writes; else the name of a job.

    Yields
    ------
    callable
        To be called before each commit: it raises where the lease was lost meanwhile.

    Raises
    ------
    LakeError
        If another process holds it, or the lake cannot be written.
    """
    path = f"_marketlake/{name}.lease"
    if isinstance(storage.files, S3Files):
        from marketlake.lake.s3_lease import S3Lease

        with S3Lease(storage.files, path, name, storage.s3.lease_s) as held:
            yield held.check
    else:
        with _locked(storage, storage.local_root / path, name):
            yield _never_lost


def _never_lost() -> None:
    """Do nothing: a lock lasts as long as its process."""


@contextmanager
def _locked(storage: Storage, path: Path, name: str) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise LakeError(
            f"cannot write lake {storage.uri}: {error.strerror or error}; "
            "check that the folder may be written"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 64, 0).decode() or "unknown"
            raise LakeError(
                f"process {holder} writes lake {storage.uri} ({name}); wait for it, or stop it"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)
