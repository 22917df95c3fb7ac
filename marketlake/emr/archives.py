"""Archives that have the same bytes whenever what is in them is the same."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TIME_S: Final = 315_532_800
"""1980-01-01: the time of every file, so that an archive tells nothing of when it was packed."""
_LEVEL: Final = 6


@dataclass(frozen=True)
class Archive:
    """A packed folder.

    Attributes
    ----------
    path : Path
        The file, ``.tar.gz``.
    sha256 : str
        Its digest, hexadecimal: the name under which it is shipped.
    size_bytes : int
    """

    path: Path
    sha256: str
    size_bytes: int


def pack(folder: Path, archive: Path) -> Archive:
    """Pack a folder's content; the archive is whole or not there.

    Order, times, owners and modes do not depend on the machine; links stay links.

    Raises
    ------
    OSError
        No room, or no right.
    """
    partial = archive.with_name(f".{archive.name}.partial")
    with (
        partial.open("wb") as file,
        gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        for path in sorted(folder.rglob("*")):
            tar.add(path, path.relative_to(folder).as_posix(), recursive=False, filter=_plain)
    partial.replace(archive)
    return Archive(archive, digest_of(archive), archive.stat().st_size)


def digest_of(file: Path) -> str:
    """Give the SHA-256 of a file, hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def remember(archive: Archive, inputs: str) -> None:
    """Note beside an archive what it was made of, for `packed_before`."""
    _note(archive.path).write_text(json.dumps({"inputs": inputs, "sha256": archive.sha256}))


def packed_before(archive: Path, inputs: str) -> Archive | None:
    """Give an archive that was made of the same inputs and is unharmed; None if there is none."""
    try:
        note = json.loads(_note(archive).read_text())
        found = Archive(archive, digest_of(archive), archive.stat().st_size)
    except (OSError, ValueError):
        return None
    return found if note == {"inputs": inputs, "sha256": found.sha256} else None


def _note(archive: Path) -> Path:
    return archive.with_name(f"{archive.name}.json")


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = _TIME_S
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member
