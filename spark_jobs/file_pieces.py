"""Files cut into pieces that a task reads: ranges of lines of a CSV, row groups of a Parquet.

A line of a CSV file is a row, whatever is in it. Pieces are parsed whole and typed; what that
would read otherwise than line by line (a quote left open, text that is no number) is read again
the slower way, so how a row is read depends on its line alone.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from marketlake.lake.errors import LakeError
from spark_jobs.file_columns import COLUMNS, TIMES, TYPES, Kind
from spark_jobs.file_rows import wire_rows
from spark_jobs.input_paths import InputPath, size_of

SOURCE: Final = "file"
"""Source of rows that come from plain files, as quarantine names it."""
PIECE_BYTES: Final = 16 * 2**20
"""Bytes of CSV, or about so many of Parquet, that are read at once."""

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True)
class InputFile:
    """One file: what it holds, told by its columns."""

    path: InputPath
    format: Literal["parquet", "csv"]
    kind: Kind
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Piece:
    """A part of a file that one task reads.

    Attributes
    ----------
    start, stop : int
        Lines that begin in this range of bytes of a plain CSV; row groups of a Parquet file;
        without meaning for a compressed CSV, which is read whole.
    """

    file: InputFile
    start: int
    stop: int


def cut(file: InputFile) -> list[Piece]:
    """Cut a file."""
    if file.format == "parquet":
        with file.path.open("rb") as opened:
            groups = pq.read_metadata(opened).num_row_groups
        return [Piece(file, i, i + 1) for i in range(groups)]
    size = size_of(file.path)
    if file.path.suffix == ".gz":
        return [Piece(file, 0, size)]
    return [
        Piece(file, start, min(start + PIECE_BYTES, size)) for start in range(0, size, PIECE_BYTES)
    ]


def read_piece(piece: Piece) -> Iterator[pa.Table]:
    """Read rows of a piece, in ``row_schema``.

    Raises
    ------
    LakeError
        If the file cannot be read.
    """
    file = piece.file
    try:
        given = _parquet(piece) if file.format == "parquet" else _csv(piece)
        for table in given:
            if table.num_rows:
                yield wire_rows(file.kind, table)
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise LakeError(
            f"cannot read --input {file.path}: {reason}; nothing was written"
        ) from error


def _wanted(file: InputFile) -> list[str]:
    known = {*TIMES[file.kind], *(column.name for column in COLUMNS[file.kind])}
    return [name for name in file.columns if name in known]


def _parquet(piece: Piece) -> Iterator[pa.Table]:
    groups = list(range(piece.start, piece.stop))
    with piece.file.path.open("rb") as opened, pq.ParquetFile(opened) as file:
        for batch in file.iter_batches(
            row_groups=groups, columns=_wanted(piece.file), use_threads=False, batch_size=250_000
        ):
            yield pa.Table.from_batches([batch])


def _csv(piece: Piece) -> Iterator[pa.Table]:
    for lines in _compressed(piece) if piece.file.path.suffix == ".gz" else _range(piece):
        if lines:
            yield from _parse(piece.file, lines)


def _range(piece: Piece) -> Iterator[bytes]:
    """Lines that begin in the piece's range; the header is not among them."""
    with piece.file.path.open("rb") as file:
        if piece.start:
            # A line that begins right at the start is this piece's.
            file.seek(piece.start - 1)
            file.readline()
        else:
            file.readline()
        size = piece.stop - file.tell()
        if size > 0:
            lines = file.read(size)
            yield lines if lines.endswith(b"\n") else lines + file.readline()


def _compressed(piece: Piece) -> Iterator[bytes]:
    with piece.file.path.open("rb") as opened, gzip.open(opened) as file:
        file.readline()
        while lines := file.read(PIECE_BYTES):
            yield lines if lines.endswith(b"\n") else lines + file.readline()


def _parse(file: InputFile, lines: bytes) -> Iterator[pa.Table]:
    """Parse lines: whole and typed where that reads each line as if it stood alone."""
    odd: list[str] = []
    for typed in (True, False):
        odd.clear()
        try:
            # A number in base 16 is a number to the parser alone.
            if typed and (b"0x" in lines or b"0X" in lines):
                continue
            table = _parsed(file, lines, odd, typed=typed)
        except pa.ArrowInvalid:
            continue
        if table.num_rows + len(odd) + _blank(lines) != _line_count(lines):
            break
        if typed and not _finite(table):
            continue
        yield table
        if odd:
            yield _by_line(file, odd)
        return
    text = lines.decode("utf-8", "replace").encode()
    yield _by_line(file, [line.decode() for line in _LINE_END.split(text)])


def _parsed(file: InputFile, lines: bytes, odd: list[str], *, typed: bool) -> pa.Table:
    def keep(row: pa.csv.InvalidRow) -> str:
        odd.append(row.text)
        return "skip"

    wanted = _wanted(file)
    known = {column.name: column for column in COLUMNS[file.kind]}
    types = {name: pa.string() for name in wanted}
    if typed:
        types |= {name: TYPES[known[name].type] for name in wanted if name in known}
        types |= {name: pa.int64() for name in wanted if name == "event_time_us"}
    table = pa.csv.read_csv(
        pa.BufferReader(lines),
        pa.csv.ReadOptions(
            use_threads=False, column_names=list(file.columns), block_size=len(lines) + 1
        ),
        pa.csv.ParseOptions(invalid_row_handler=keep),
        pa.csv.ConvertOptions(
            include_columns=wanted,
            column_types=types,
            null_values=[""],
            strings_can_be_null=True,
        ),
    )
    spaced = b" " in lines or b"\t" in lines
    return _trimmed(table) if spaced else table


def _trimmed(table: pa.Table) -> pa.Table:
    """Take white space from the ends of texts; of nothing else there is nothing."""
    for i, (name, column) in enumerate(zip(table.column_names, table.columns, strict=True)):
        type_ = column.type
        if pa.types.is_string(type_) or pa.types.is_dictionary(type_):
            text = pc.ascii_trim_whitespace(column.cast(pa.string()))
            text = pc.if_else(pc.equal(text, ""), None, text)
            table = table.set_column(i, name, text.cast(type_))
    return table


def _line_count(lines: bytes) -> int:
    return lines.count(b"\n") + (not lines.endswith(b"\n"))


def _blank(lines: bytes) -> int:
    """Empty lines, which the parser passes over."""
    if b"\n\n" not in lines and b"\n\r\n" not in lines and lines[:1] not in (b"\n", b"\r"):
        return 0
    return sum(not line for line in lines.splitlines())


def _finite(table: pa.Table) -> bool:
    return all(
        pc.all(pc.is_finite(column), min_count=0).as_py()
        for column in table.columns
        if pa.types.is_floating(column.type)
    )


def _by_line(file: InputFile, lines: Sequence[str]) -> pa.Table:
    """Read lines one by one: too few values are filled up with none, too many left out."""
    width = len(file.columns)
    rows: list[list[str | None]] = []
    for line in lines:
        if not line.strip():
            continue
        values = [value.strip() or None for value in next(csv.reader([line]), [])][:width]
        rows.append([*values, *[None] * (width - len(values))])
    columns = zip(*rows, strict=True) if rows else ([] for _ in range(width))
    every = {name: pa.array(v, pa.string()) for name, v in zip(file.columns, columns, strict=True)}
    return pa.table({name: every[name] for name in _wanted(file)})
