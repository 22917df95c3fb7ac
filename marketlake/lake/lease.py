"""One writer a table: a lease that a process holds while it writes, and loses when it dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from marketlake.lake.errors import LakeError
from marketlake.lake.storage import Storage


@contextmanager
def lease(storage: Storage, name: str) -> Iterator[None]:
    """Hold the right to write some tables of a lake.

    Parameters
    ----------
    name : str
        ``stream`` for all that the stream writes; else the name of a job.

    Raises
    ------
    LakeError
        If another process holds it, or the lake cannot be written.
    """
    path = storage.local_root / "_marketlake" / f"{name}.lease"
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
