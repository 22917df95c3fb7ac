"""Files of a lake by URI: a local folder or ``s3a://``; written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import uuid
from dataclasses import dataclass
from pathlib import Path

from marketlake.lake.errors import LakeError


@dataclass(frozen=True)
class Storage:
    """A lake's file system and its root folder.

    Attributes
    ----------
    uri : str
        The lake as the user named it.
    """

    uri: str

    @property
    def local_root(self) -> Path:
        """Root folder on this machine.

        Raises
        ------
        LakeError
            If the lake is no local folder.
        """
        scheme, _, rest = self.uri.partition("://")
        if not rest:
            return Path(self.uri).absolute()
        if scheme == "file":
            return Path(rest if rest.startswith("/") else f"/{rest}")
        raise LakeError(f"lake {self.uri}: only local folders are supported so far")

    def path(self, relative: str) -> str:
        """Absolute path of something in the lake."""
        return f"{self.local_root}/{relative}"

    def write(self, relative: str, data: bytes | memoryview) -> None:
        """Write a file that no reader sees until it is complete."""
        target = self.local_root / relative
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(data)
            temporary.replace(target)
        except OSError as error:
            _discard(temporary)
            raise LakeError(
                f"cannot write {target}: {error.strerror or error}; "
                "check that the disk has room and the folder may be written"
            ) from error

    def write_new(self, relative: str, data: bytes) -> None:
        """Write a file that must not exist yet, durably.

        Raises
        ------
        LakeError
            If it exists: another writer was here.
        """
        target = self.local_root / relative
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            # A link fails where the name exists; a rename would replace it.
            os.link(temporary, target)
        except OSError as error:
            if target.exists():
                raise LakeError(
                    f"{target} exists already: another writer works on this lake; stop one of them"
                ) from error
            raise LakeError(
                f"cannot write {target}: {error.strerror or error}; "
                "check that the disk has room and the folder may be written"
            ) from error
        finally:
            _discard(temporary)

    def read(self, relative: str) -> bytes:
        """Read a whole file."""
        try:
            return (self.local_root / relative).read_bytes()
        except OSError as error:
            raise LakeError(
                f"cannot read {self.local_root / relative}: {error.strerror or error}"
            ) from error

    def exists(self, relative: str) -> bool:
        """Tell whether something stands at a path."""
        return (self.local_root / relative).exists()

    def size(self, relative: str) -> int:
        """Size of a file in bytes; -1 where there is none."""
        try:
            return (self.local_root / relative).stat().st_size
        except FileNotFoundError:
            return -1

    def list(self, relative: str) -> list[str]:
        """Names of the files in a folder, sorted; none where the folder is absent."""
        folder = self.local_root / relative
        if not folder.is_dir():
            return []
        return sorted(
            entry.name
            for entry in os.scandir(folder)
            if entry.is_file() and not entry.name.startswith(".")
        )


def _discard(temporary: Path) -> None:
    # Where the folder could not be made there is nothing to remove, and that must not be the error.
    with contextlib.suppress(OSError):
        temporary.unlink()
