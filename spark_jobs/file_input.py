"""What ``--input`` names: plain Parquet and CSV files, of trades or of bars."""

from __future__ import annotations

import csv
import gzip
import math
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from marketlake.settings.model import S3Settings
from spark_jobs.errors import JobError
from spark_jobs.file_columns import COLUMNS, TIMES, Kind
from spark_jobs.file_pieces import InputFile
from spark_jobs.input_paths import InputPath, find_paths, size_of

_INPUT_BYTES: Final = 32 * 2**20
"""Bytes of file an input. The number of inputs follows from the files alone, not from the
machine: positions in quarantine are the same wherever the job runs."""
_INPUTS_MIN: Final = 2
_INPUTS_MAX: Final = 1_024


@dataclass(frozen=True)
class FileInput:
    """What ``--input`` names.

    Attributes
    ----------
    ignored : tuple
        Files in the folder that are neither Parquet nor CSV.
    """

    uri: str
    files: tuple[InputFile, ...]
    ignored: tuple[InputPath, ...]

    @property
    def inputs(self) -> int:
        """Inputs a kind of row."""
        size = sum(size_of(file.path) for file in self.files)
        return min(max(_INPUTS_MIN, math.ceil(size / _INPUT_BYTES)), _INPUTS_MAX)


def find_files(uri: str, s3: S3Settings) -> FileInput:
    """Look at a file or folder: which files hold trades, and which bars.

    Raises
    ------
    JobError
        If there is nothing to read, or a file lacks a column.
    """
    paths = find_paths(uri, s3)
    try:
        looked = [(path, _look(path)) for path in paths]
    except OSError as error:
        raise JobError(f"cannot read --input {uri}: {error.strerror or error}") from error
    files = tuple(file for _, file in looked if file)
    if not files:
        raise JobError(f"--input {uri} holds no file named .parquet, .csv or .csv.gz")
    return FileInput(uri, files, tuple(path for path, file in looked if not file))


def _look(path: InputPath) -> InputFile | None:
    if path.name.endswith(".parquet"):
        try:
            with path.open("rb") as file:
                schema = pq.read_schema(file)
        except pa.ArrowException as error:
            raise JobError(f"{path} is no Parquet file: {str(error).splitlines()[0]}") from error
        columns = tuple(schema.names)
        return InputFile(path, "parquet", _kind(path, columns), columns)
    if path.name.endswith((".csv", ".csv.gz")):
        columns = _csv_header(path)
        return InputFile(path, "csv", _kind(path, columns), columns)
    return None


def _csv_header(path: InputPath) -> tuple[str, ...]:
    try:
        with path.open("rb") as file:
            lines = gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file
            line = lines.readline().decode("utf-8-sig")
        header = next(csv.reader([line]), [])
    except (gzip.BadGzipFile, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise JobError(f"{path} is no CSV file in UTF-8: {error}") from error
    # Without a name is the index that pandas writes.
    return tuple(name.strip() or f"_c{i}" for i, name in enumerate(header))


def _kind(path: InputPath, columns: tuple[str, ...]) -> Kind:
    """Tell trades from bars.

    Raises
    ------
    JobError
        If the columns are those of neither, or of both, or lack one.
    """
    # SQL does not tell upper from lower case.
    lower = [name.lower() for name in columns]
    twice = sorted({name for name in lower if lower.count(name) > 1})
    if twice:
        raise JobError(f"{path} has column {twice[0]} twice")
    names = set(columns)
    tells: dict[Kind, set[str]] = {
        "trade": names & {"price", "quantity"},
        "bar": names & {"open", "high", "low", "close"},
    }
    kinds = [kind for kind, found in tells.items() if found]
    if len(kinds) != 1:
        found = ", ".join(columns) or "no column"
        problem = "trades as well as bars" if kinds else "neither trades nor bars"
        raise JobError(
            f"{path} has columns of {problem} ({found}); expected are trades (price, quantity) "
            "or bars (open, high, low, close)"
        )
    kind = kinds[0]
    missing = [c.name for c in COLUMNS[kind] if c.required and c.name not in names]
    if not names & set(TIMES[kind]):
        missing.append(" or ".join(TIMES[kind]))
    if missing:
        required = ", ".join(c.name for c in COLUMNS[kind] if c.required)
        raise JobError(
            f"{path} lacks column {', '.join(missing)}; {kind}s have {required} and "
            f"{' or '.join(TIMES[kind])}"
        )
    return kind
