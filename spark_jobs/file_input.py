"""Trades and bars of plain Parquet and CSV files as messages, as a topic would carry them.

Every row becomes one wire event, whatever is in it: a bad value goes on as the text that it is, so
that the row ends in quarantine by the same rules as a message. The input of a row is a partition
of ``file.trades`` or ``file.bars``; all rows of an instrument share one, in order of event time.
"""

from __future__ import annotations

import csv
import gzip
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import reduce
from pathlib import Path
from typing import Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession

from marketlake.contracts.events import INTERVAL_US, topic_of
from spark_jobs.errors import JobError
from spark_jobs.file_columns import COLUMNS, TIMES, json_value, time_us
from streaming.recompute import day_start_us
from streaming.stages.tasks import INPUT_COLUMNS
from streaming.stages.validate import EARLIEST_EVENT_US, LATEST_EVENT_US

SOURCE: Final = "file"
TOPIC_PREFIX: Final = "file"
NANOSECONDS_AS_LONG: Final = "spark.sql.legacy.parquet.nanosAsLong"
"""Spark refuses Parquet times in nanoseconds, which pandas writes, unless this is set."""

_INPUT_BYTES: Final = 32 * 2**20
"""Bytes of file a partition. The number of partitions follows from the files alone, not from the
machine: positions in quarantine are the same wherever the job runs."""
_PARTITIONS_MIN: Final = 2
_PARTITIONS_MAX: Final = 1_024
_GLOB: Final = re.compile(r"[*?\[\]{}\\]")
"""Spark would take these in a path for a pattern."""
_DAY_US: Final = INTERVAL_US["1d"]
_OFFSET_MASK: Final = 2**33 - 1
"""Row number in ``monotonically_increasing_id``, whose upper bits are the partition."""

Kind = Literal["trade", "bar"]


@dataclass(frozen=True)
class InputFile:
    """One file: what it holds, told by its columns.

    Attributes
    ----------
    layout : str
        Equal for files that one reader can read.
    nanoseconds : frozenset of str
        Columns that hold nanoseconds since the epoch.
    """

    path: Path
    format: Literal["parquet", "csv"]
    kind: Kind
    columns: tuple[str, ...]
    layout: str
    nanoseconds: frozenset[str] = frozenset()


@dataclass(frozen=True)
class FileInput:
    """What ``--input`` names.

    Attributes
    ----------
    ignored : tuple of Path
        Files in the folder that are neither Parquet nor CSV.
    """

    uri: str
    files: tuple[InputFile, ...]
    ignored: tuple[Path, ...]

    @property
    def partitions(self) -> int:
        """Partitions a topic."""
        size = sum(file.path.stat().st_size for file in self.files)
        return min(max(_PARTITIONS_MIN, math.ceil(size / _INPUT_BYTES)), _PARTITIONS_MAX)


def local_path(uri: str, option: str) -> Path:
    """Path of a local file or folder.

    Raises
    ------
    JobError
        If the URI is of another kind.
    """
    scheme, _, rest = uri.partition("://")
    if not rest:
        return Path(uri).absolute()
    if scheme == "file":
        return Path(rest if rest.startswith("/") else f"/{rest}")
    raise JobError(f"{option} {uri}: only local files are supported so far")


def find_files(uri: str) -> FileInput:
    """Look at a file or folder: which files hold trades, and which bars.

    Raises
    ------
    JobError
        If there is nothing to read, or a file lacks a column.
    """
    root = local_path(uri, "--input")
    if not root.exists():
        raise JobError(f"--input {uri} does not exist; name a Parquet or CSV file, or a folder")
    if (root / "_delta_log").is_dir():
        raise JobError(
            f"--input {uri} is a Delta table, whose folder holds rows that are no longer in it; "
            "export it to plain Parquet first"
        )
    paths = [root] if root.is_file() else list(_walk(root))
    try:
        looked = [(path, _look(path)) for path in paths]
    except OSError as error:
        raise JobError(f"cannot read --input {uri}: {error.strerror or error}") from error
    files = tuple(file for _, file in looked if file)
    if not files:
        raise JobError(f"--input {uri} holds no file named .parquet, .csv or .csv.gz")
    return FileInput(uri, files, tuple(path for path, file in looked if not file))


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "_")):
            continue
        if path.is_dir():
            yield from _walk(path)
        else:
            yield path


def _look(path: Path) -> InputFile | None:
    if path.name.endswith(".parquet"):
        try:
            schema = pq.read_schema(path)
        except pa.ArrowException as error:
            raise JobError(f"{path} is no Parquet file: {str(error).splitlines()[0]}") from error
        nanoseconds = frozenset(
            f.name for f in schema if pa.types.is_timestamp(f.type) and f.type.unit == "ns"
        )
        layout = f"parquet {[(f.name, str(f.type)) for f in schema]}"
        columns = tuple(schema.names)
        return InputFile(path, "parquet", _kind(path, columns), columns, layout, nanoseconds)
    if path.name.endswith((".csv", ".csv.gz")):
        columns = _csv_header(path)
        return InputFile(path, "csv", _kind(path, columns), columns, f"csv {columns}")
    return None


def _csv_header(path: Path) -> tuple[str, ...]:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file), [])
    except (gzip.BadGzipFile, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise JobError(f"{path} is no CSV file in UTF-8: {error}") from error
    # Without a name is the index that pandas writes.
    return tuple(name.strip() or f"_c{i}" for i, name in enumerate(header))


def _kind(path: Path, columns: tuple[str, ...]) -> Kind:
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


def read_messages(spark: SparkSession, source: FileInput, day: date) -> DataFrame:
    """Read files as rows of a source, whole inputs in order in each partition.

    Rows have no timestamp of a source. The last microsecond of the row's own UTC day stands for it,
    and that of ``day`` where the row has no time: so each day's rows, refused ones too, stand in
    that day's partitions, and a copied file gives the same rows. Order within a partition is event
    time, sequence, then content: the order of lines and files does not show.

    Returns
    -------
    DataFrame
        The columns of ``INPUT_COLUMNS``.
    """
    own_day = (
        f"CASE WHEN event_time_us >= {EARLIEST_EVENT_US} AND event_time_us < {LATEST_EVENT_US}L "
        f"THEN event_time_us - event_time_us % {_DAY_US}L ELSE {day_start_us(day)}L END"
    )
    frame = (
        _events(spark, source)
        .repartition(source.partitions, "instrument")
        .sortWithinPartitions("topic", "event_time_us", "sequence", "value")
        .selectExpr(
            f"'{SOURCE}' AS source",
            "topic",
            "spark_partition_id() AS partition",
            f"monotonically_increasing_id() & {_OFFSET_MASK}L AS offset",
            "CAST(instrument AS BINARY) AS key",
            "CAST(value AS BINARY) AS value",
            f"timestamp_micros({own_day} + {_DAY_US - 1}L) AS source_timestamp",
        )
    )
    return frame.select(*INPUT_COLUMNS)


def days_of(spark: SparkSession, source: FileInput) -> tuple[date, date] | None:
    """First and last UTC day of the rows; None where no row has a time."""
    known = _events(spark, source).where(
        f"event_time_us >= {EARLIEST_EVENT_US} AND event_time_us < {LATEST_EVENT_US}L"
    )
    times = known.selectExpr("min(event_time_us) AS low", "max(event_time_us) AS high").first()
    if times is None or times["low"] is None:
        return None
    low, high = (datetime.fromtimestamp(times[n] // 1_000_000, UTC).date() for n in ("low", "high"))
    return low, high


def _events(spark: SparkSession, source: FileInput) -> DataFrame:
    """Rows of all files: topic, instrument, event_time_us, sequence and value, the wire event."""
    layouts: dict[str, list[InputFile]] = {}
    for file in source.files:
        layouts.setdefault(file.layout, []).append(file)
    return reduce(DataFrame.unionByName, [_events_of(spark, files) for files in layouts.values()])


def _events_of(spark: SparkSession, files: list[InputFile]) -> DataFrame:
    first = files[0]
    paths = ["file://" + _GLOB.sub(r"\\\g<0>", str(file.path)) for file in files]
    if first.format == "parquet":
        frame = spark.read.parquet(*paths)
    else:
        schema = ", ".join(f"`{name.replace('`', '``')}` STRING" for name in first.columns)
        frame = spark.read.schema(schema).csv(
            paths,
            header=True,
            escape='"',
            ignoreLeadingWhiteSpace=True,
            ignoreTrailingWhiteSpace=True,
        )
    types = {f.name: f.dataType.typeName() for f in frame.schema.fields}
    time_column = next(name for name in TIMES[first.kind] if name in types)
    time = time_us(time_column, types[time_column], nanoseconds=time_column in first.nanoseconds)
    fields = [f"'type', '{first.kind}'", f"'event_time_us', {time.known}"]
    if time.text:
        # Of two fields with one name, the one that is null is left out.
        fields.append(f"'event_time_us', CASE WHEN {time.known} IS NULL THEN {time.text} END")
    for column in COLUMNS[first.kind]:
        if column.name in types:
            fields += json_value(column, types[column.name])
    sequence = "try_cast(`sequence` AS BIGINT)" if "sequence" in types else "CAST(NULL AS BIGINT)"
    return frame.selectExpr(
        f"'{topic_of(first.kind, TOPIC_PREFIX)}' AS topic",
        "CAST(`instrument` AS STRING) AS instrument",
        f"{time.known} AS event_time_us",
        f"{sequence} AS sequence",
        f"to_json(named_struct({', '.join(fields)})) AS value",
    )
