"""Find the recorded files of a path, whichever data sets they are of, and merge their events."""

from __future__ import annotations

import hashlib
import heapq
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Final

import pyarrow as pa

from marketlake.feeds.recorded import binance_ticks, depeg, ftx, link_books, wire_samples
from marketlake.feeds.recorded.records import (
    Format,
    Record,
    RecordedDataError,
    ReplayStats,
    record_of,
)

FORMATS: Final = (
    depeg.FORMAT,
    binance_ticks.FORMAT,
    link_books.FORMAT,
    ftx.FORMAT,
    wire_samples.FORMAT,
)
"""The data sets that can be replayed; another is a module and a line here."""

_BY_ORDER: Final = attrgetter("order")


@dataclass(frozen=True)
class RecordedFile:
    """A file and the format that reads it."""

    path: Path
    format: Format

    def records(self, stats: ReplayStats) -> list[Record]:
        """Read the file whole and give its events in publishing order.

        Events that the order does not part keep the order they have in the file.

        Raises
        ------
        RecordedDataError
            The file cannot be read as what its name says.
        """
        try:
            records = [record_of(event) for event in self.format.read(self.path, stats)]
        except RecordedDataError:
            raise
        except (OSError, EOFError, ValueError, zlib.error, pa.ArrowException) as error:
            raise RecordedDataError(
                f"{self.path}: not readable as {self.format.name}: {error}"
            ) from error
        stats.events.update(record.event_type for record in records)
        records.sort(key=_BY_ORDER)
        return records


@dataclass(frozen=True)
class Recording:
    """Recorded files that are replayed together.

    Attributes
    ----------
    files : tuple of RecordedFile
        In the order of their paths.
    ignored : tuple of Path
        Files beside them that belong to no data set.
    """

    files: tuple[RecordedFile, ...]
    ignored: tuple[Path, ...] = ()

    def records(self, stats: ReplayStats) -> Iterator[Record]:
        """Give the events of all files, merged in publishing order.

        All files are read before the first record is given, so from then on ``stats`` is
        complete. Memory is that of the encoded events.

        Raises
        ------
        RecordedDataError
            A file cannot be read.
        """
        yield from heapq.merge(*[file.records(stats) for file in self.files], key=_BY_ORDER)

    def fingerprint(self) -> str:
        """Digest of the files' names and content: the same data set has the same anywhere."""
        digest = hashlib.sha256()
        for file in self.files:
            with file.path.open("rb") as content:
                inner = hashlib.file_digest(content, "sha256").hexdigest()
            digest.update(f"{file.path.parent.name}/{file.path.name} {inner}\n".encode())
        return digest.hexdigest()


def open_recording(path: Path) -> Recording:
    """Find what to replay: one file, the folder of a data set, or a folder of such folders.

    Files are told by their names; nothing is read yet.

    Raises
    ------
    RecordedDataError
        The path does not exist, or holds no file of a known data set.
    """
    if not path.exists():
        raise RecordedDataError(f"{path}: no such file or folder")
    if path.is_file():
        candidates = [path]
    else:
        candidates = sorted(entry for entry in path.glob("*") if entry.is_file())
        candidates += sorted(entry for entry in path.glob("*/*") if entry.is_file())
    files, ignored = [], []
    for candidate in candidates:
        found = _format_of(candidate)
        if found is None:
            ignored.append(candidate)
        else:
            files.append(RecordedFile(candidate, found))
    if not files:
        raise RecordedDataError(
            f"{path}: no recorded data here; files are named like "
            + ", ".join(f"{known.example} ({known.name})" for known in FORMATS)
        )
    return Recording(tuple(files), tuple(ignored))


def _format_of(path: Path) -> Format | None:
    """Give the format that a file's name tells, if any."""
    for known in FORMATS:
        if known.file_name.fullmatch(path.name):
            return known
    return None
