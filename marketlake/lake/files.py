"""What every place that holds a lake can do with files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class StoredFile:
    """A file of a lake.

    Attributes
    ----------
    path : str
        Relative to the lake.
    modified_s : float
        When it was written, in seconds since the epoch, by the clock of what holds it.
    """

    path: str
    size_bytes: int
    modified_s: float


class Files(Protocol):
    """Files by their path relative to the lake; :class:`Storage` says what each does."""

    def path(self, relative: str) -> str: ...
    def write(self, relative: str, data: bytes | memoryview) -> None: ...
    def write_all(self, files: Iterable[tuple[str, bytes | memoryview]]) -> None: ...
    def write_new(self, relative: str, data: bytes) -> None: ...
    def read(self, relative: str) -> bytes: ...
    def exists(self, relative: str) -> bool: ...
    def size(self, relative: str) -> int: ...
    def folders(self, relative: str) -> list[str]: ...
    def list(self, relative: str) -> list[str]: ...
    def walk(self, relative: str) -> Iterator[StoredFile]: ...
    def delete(self, paths: Iterable[str]) -> None: ...
    def delete_all(self, relative: str) -> None: ...
