"""Files that ``--input`` names, on this machine or on S3, as workers open them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

import pyarrow.fs
from deltalake.fs import DeltaStorageHandler

from marketlake.lake.errors import LakeError
from marketlake.lake.storage import Storage
from marketlake.settings.model import S3Settings
from spark_jobs.errors import JobError

_READ_BYTES: Final = 4 * 2**20
"""Bytes that a request to S3 asks for."""


@dataclass(frozen=True)
class S3Path:
    """An object on S3, with as much of a path as is asked for."""

    uri: str
    size_bytes: int
    settings: S3Settings

    @property
    def name(self) -> str:
        """Last part of the name."""
        return self.uri.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """End of the name, from its last dot on."""
        return Path(self.name).suffix

    def open(self, mode: str) -> BinaryIO:
        """Open the object; parts of it are fetched as they are read."""
        assert mode == "rb"
        folder, _, name = self.uri.rpartition("/")
        # The reader of the tables: another would have to find endpoint and credentials again.
        handler = DeltaStorageHandler(folder, Storage(folder, self.settings).delta_options)
        file = pyarrow.fs.PyFileSystem(handler).open_input_file(name)
        return cast("BinaryIO", io.BufferedReader(file, _READ_BYTES))

    def __str__(self) -> str:
        return self.uri


InputPath = Path | S3Path
"""A file that ``--input`` names."""


def size_of(path: InputPath) -> int:
    """Size of a file in bytes."""
    return path.size_bytes if isinstance(path, S3Path) else path.stat().st_size


def find_paths(uri: str, settings: S3Settings) -> list[InputPath]:
    """List a file, or the files of a folder, but those named like hidden ones.

    Raises
    ------
    JobError
        If there is nothing, or a Delta table.
    """
    place = Storage(uri, settings)
    try:
        paths = _on_s3(place) if place.on_s3 else _local(place.local_root)
    except LakeError as error:
        raise JobError(f"--input {uri}: {error}") from error
    if paths is None:
        raise JobError(f"--input {uri} does not exist; name a Parquet or CSV file, or a folder")
    if any(part == "_delta_log" for path in paths for part in str(path).split("/")):
        raise JobError(
            f"--input {uri} is a Delta table, whose folder holds rows that are no longer in it; "
            "export it to plain Parquet first"
        )
    return paths


def _local(root: Path) -> list[InputPath] | None:
    if not root.exists():
        return None
    if root.is_file():
        return [root]
    return [root / "_delta_log"] if (root / "_delta_log").is_dir() else _files_below(root)


def _files_below(folder: Path) -> list[InputPath]:
    found: list[InputPath] = []
    for path in sorted(folder.iterdir()):
        if not _hidden(path.name):
            found += _files_below(path) if path.is_dir() else [path]
    return found


def _on_s3(place: Storage) -> list[InputPath] | None:
    found = sorted(place.walk(""), key=lambda file: file.path)
    if not found:
        folder, _, name = place.uri.rstrip("/").rpartition("/")
        size = Storage(folder, place.s3).size(name) if folder.count("/") > 1 else -1
        return [S3Path(place.uri, size, place.s3)] if size >= 0 else None
    return [
        S3Path(place.path(file.path), file.size_bytes, place.s3)
        for file in found
        if "_delta_log/" in file.path or not _hidden(file.path)
    ]


def _hidden(relative: str) -> bool:
    return any(part.startswith((".", "_")) for part in relative.split("/"))
