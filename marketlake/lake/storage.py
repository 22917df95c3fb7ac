"""Files of a lake by URI: a local folder or ``s3a://``; written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from marketlake.lake.errors import LakeError
from marketlake.lake.files import Files, StoredFile
from marketlake.lake.local_files import LocalFiles
from marketlake.lake.s3_files import S3Files
from marketlake.settings.model import S3Settings

_S3_SCHEMES = ("s3", "s3a")


@dataclass(frozen=True)
class Storage:
    """A lake's file system and its root folder.

    Attributes
    ----------
    uri : str
        The lake as the user named it.
    s3 : S3Settings
        How to write, where the lake is on S3.
    """

    uri: str
    s3: S3Settings = field(default_factory=S3Settings)

    @cached_property
    def files(self) -> Files:
        """The files, where they are.

        Raises
        ------
        LakeError
            If the URI is of no known kind.
        """
        scheme, _, rest = self.uri.partition("://")
        if not rest:
            return LocalFiles(Path(self.uri).absolute())
        if scheme == "file":
            return LocalFiles(Path(rest if rest.startswith("/") else f"/{rest}"))
        if scheme in _S3_SCHEMES:
            bucket, _, prefix = rest.partition("/")
            if bucket:
                return S3Files(bucket, prefix.strip("/"), self.s3)
        raise LakeError(
            f"{self.uri} is no place known: name a folder, file:///FOLDER or s3a://BUCKET/NAME"
        )

    @property
    def on_s3(self) -> bool:
        """True where the lake is on S3."""
        return isinstance(self.files, S3Files)

    @property
    def local_root(self) -> Path:
        """Root folder on this machine.

        Raises
        ------
        LakeError
            If the lake is no local folder.
        """
        if isinstance(self.files, LocalFiles):
            return self.files.root
        raise LakeError(f"{self.uri} is no folder on this machine")

    @property
    def delta_options(self) -> dict[str, str]:
        """What delta-rs has to be told to reach the tables; nothing for a local lake."""
        return self.files.delta_options if isinstance(self.files, S3Files) else {}

    def path(self, relative: str) -> str:
        """Absolute path or URI of something in the lake, as Spark and delta-rs take it."""
        return self.files.path(relative)

    def write(self, relative: str, data: bytes | memoryview) -> None:
        """Write a file that no reader sees until it is complete.

        Raises
        ------
        LakeError
            If it cannot be written.
        """
        self.files.write(relative, data)

    def write_all(self, files: Sequence[tuple[str, bytes | memoryview]]) -> None:
        """Write files as :meth:`write` does, on S3 several at a time.

        Raises
        ------
        LakeError
            If one cannot be written; others may have been.
        """
        self.files.write_all(files)

    def write_new(self, relative: str, data: bytes) -> None:
        """Write a file that must not exist yet, durably.

        Raises
        ------
        LakeError
            If it exists: another writer was here.
        """
        self.files.write_new(relative, data)

    def read(self, relative: str) -> bytes:
        """Read a whole file.

        Raises
        ------
        LakeError
            If it is absent or cannot be read.
        """
        return self.files.read(relative)

    def exists(self, relative: str) -> bool:
        """Tell whether a file or folder stands at a path."""
        return self.files.exists(relative)

    def size(self, relative: str) -> int:
        """Size of a file in bytes; -1 where there is none."""
        return self.files.size(relative)

    def folders(self, relative: str) -> list[str]:
        """Names of the folders in a folder, sorted; none where it is absent."""
        return self.files.folders(relative)

    def remove(self, relative: str) -> None:
        """Remove a file, should it be there."""
        try:
            (self.local_root / relative).unlink(missing_ok=True)
        except OSError as error:
            raise LakeError(
                f"cannot remove {self.local_root / relative}: {error.strerror or error}"
            ) from error

    def list(self, relative: str) -> list[str]:
        """Names of the files in a folder, sorted; none where the folder is absent."""
        return self.files.list(relative)

    def walk(self, relative: str) -> Iterator[StoredFile]:
        """All files below a folder, in no order, hidden ones too."""
        return self.files.walk(relative)

    def delete(self, paths: Iterable[str]) -> None:
        """Remove files; those that are absent count as removed."""
        self.files.delete(paths)

    def delete_all(self, relative: str) -> None:
        """Remove a folder with all that is in it."""
        self.files.delete_all(relative)
