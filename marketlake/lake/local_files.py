"""Files of a lake in a folder on this machine; written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from marketlake.lake.errors import LakeError
from marketlake.lake.files import StoredFile

_NO_ROOM = "check that the disk has room and the folder may be written"


@dataclass(frozen=True)
class LocalFiles:
    """Files below a folder; see :class:`marketlake.lake.storage.Storage` for what each does."""

    root: Path

    def path(self, relative: str) -> str:
        return f"{self.root}/{relative}"

    def write(self, relative: str, data: bytes | memoryview) -> None:
        target = self.root / relative
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(data)
            temporary.replace(target)
        except OSError as error:
            _discard(temporary)
            raise LakeError(
                f"cannot write {target}: {error.strerror or error}; {_NO_ROOM}"
            ) from error

    def write_all(self, files: Iterable[tuple[str, bytes | memoryview]]) -> None:
        for relative, data in files:
            self.write(relative, data)

    def write_new(self, relative: str, data: bytes) -> None:
        target = self.root / relative
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
                f"cannot write {target}: {error.strerror or error}; {_NO_ROOM}"
            ) from error
        finally:
            _discard(temporary)

    def read(self, relative: str) -> bytes:
        try:
            return (self.root / relative).read_bytes()
        except OSError as error:
            raise LakeError(
                f"cannot read {self.root / relative}: {error.strerror or error}"
            ) from error

    def exists(self, relative: str) -> bool:
        return (self.root / relative).exists()

    def size(self, relative: str) -> int:
        try:
            return (self.root / relative).stat().st_size
        except FileNotFoundError:
            return -1

    def _entries(self, relative: str) -> list[os.DirEntry[str]]:
        folder = self.root / relative
        if not folder.is_dir():
            return []
        return [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]

    def folders(self, relative: str) -> list[str]:
        return sorted(entry.name for entry in self._entries(relative) if entry.is_dir())

    def list(self, relative: str) -> list[str]:
        return sorted(entry.name for entry in self._entries(relative) if entry.is_file())

    def walk(self, relative: str) -> Iterator[StoredFile]:
        top = self.root / relative
        for folder, _, names in os.walk(top):
            for name in names:
                path = Path(folder, name)
                # It may go while it is looked at.
                with contextlib.suppress(FileNotFoundError):
                    found = path.stat()
                    yield StoredFile(
                        path.relative_to(self.root).as_posix(), found.st_size, found.st_mtime
                    )

    def delete(self, paths: Iterable[str]) -> None:
        for relative in paths:
            path = self.root / relative
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise LakeError(
                    f"cannot remove {path}: {error.strerror or error}; "
                    "check that the folder may be written"
                ) from error

    def delete_all(self, relative: str) -> None:
        shutil.rmtree(self.root / relative, ignore_errors=True)


def _discard(temporary: Path) -> None:
    # Where the folder could not be made there is nothing to remove, and that must not be the error.
    with contextlib.suppress(OSError):
        temporary.unlink()
