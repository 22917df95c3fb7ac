"""``marketlake replay-quarantine``: sends refused messages again, mended."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Annotated, Final

import duckdb
import msgspec
import typer

from marketlake.feeds.publish import Target, parse_target
from marketlake.lake.manifests import Manifests
from marketlake.lake.query import open_lake
from marketlake.lake.resubmissions import Position
from marketlake.lake.storage import Storage
from marketlake.settings.model import Settings, load_settings
from spark_jobs.errors import JobError, one_line
from spark_jobs.options import Config, DryRun, Json, Lake, To
from spark_jobs.resubmission import Mend, Row, Sending, Summary
from streaming.pipeline import PIPELINE
from streaming.sources.open_source import open_source

Mender = Callable[[bytes, Sequence[str]], bytes | None]
"""Gives a message mended, from its bytes and the reasons it was refused for; None to leave it."""

_CHUNK: Final = 10_000
_ROWS: Final = """
SELECT source, topic, "partition", "offset", reasons, value FROM silver.quarantine
WHERE ({where}) ORDER BY source_timestamp, topic, "partition", "offset"
"""


def replay_quarantine_command(
    *,
    lake: Lake,
    to: To = "",
    where: Annotated[
        str, typer.Option(help="SQL condition on silver.quarantine: which messages.")
    ] = "true",
    mender: Annotated[
        str,
        typer.Option(
            "--with", metavar="MODULE:FUNCTION", help="Mends a message: (bytes, reasons) to bytes."
        ),
    ] = "",
    export: Annotated[
        Path | None, typer.Option(help="Write the messages as JSON lines, to mend by hand.")
    ] = None,
    mended: Annotated[
        Path | None, typer.Option("--from", help="Such a file, its values mended: send these.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also what an earlier call has sent.")
    ] = False,
    dry_run: DryRun = False,
    config: Config = None,
    json_output: Json = False,
) -> None:
    """Send messages of the quarantine again, mended, to the topics they belong to.

    Only those are sent that would now be taken; what was sent once is not sent again.
    """
    with one_line("replay-quarantine"):
        settings = load_settings(config)
        storage = Storage(lake, settings.s3)
        if export is not None:
            typer.echo(f"{_export(_rows(storage, where), export)} messages in {export}")
            return
        if not to and not dry_run:
            raise JobError("--to is missing: name a target, or --dry-run to see what would be sent")
        target = parse_target(to) if to else None
        by_hand = _by_hand(mended) if mended else {}
        unmatched = set(by_hand)
        rows = _crossing_off(_rows(storage, where), unmatched)
        sending = Sending(
            storage,
            (lambda row: by_hand.get(row.position)) if mended else _mender(mender),
            _watermarks_us(storage, target, settings),
            settings,
            again=again,
        )
        if dry_run or target is None:
            summary = sending.judge(rows, target)
        else:
            summary = sending.send(rows, target)
        summary.unmatched = len(unmatched)
    typer.echo(json.dumps(asdict(summary)) if json_output else _told(summary, dry_run=dry_run))


def _rows(storage: Storage, where: str) -> Iterator[Row]:
    connection = open_lake(storage)
    try:
        found = connection.execute(_ROWS.format(where=where))
        while chunk := found.fetchmany(_CHUNK):
            for source, topic, partition, offset, reasons, value in chunk:
                yield Row(Position(source, topic, partition, offset), list(reasons), value)
    except duckdb.Error as error:
        raise JobError(f"--where {where!r}: {str(error).splitlines()[0]}") from error


def _export(rows: Iterator[Row], file: Path) -> int:
    count = 0
    try:
        with file.open("w") as out:
            for row in rows:
                text = (row.value or b"").decode(errors="backslashreplace")
                line = {
                    **msgspec.structs.asdict(row.position),
                    "reasons": row.reasons,
                    "value": text,
                }
                out.write(json.dumps(line) + "\n")
                count += 1
    except OSError as error:
        raise JobError(f"cannot write {file}: {error.strerror}") from error
    return count


def _crossing_off(rows: Iterator[Row], awaited: set[Position]) -> Iterator[Row]:
    """Pass rows on, and take each from those that are awaited."""
    for row in rows:
        awaited.discard(row.position)
        yield row


def _by_hand(file: Path) -> dict[Position, bytes]:
    """Give what a file has in the place of each message."""
    values: dict[Position, bytes] = {}
    try:
        for number, line in enumerate(file.read_text().splitlines(), 1):
            try:
                given = json.loads(line)
                place = Position(*(given[n] for n in ("source", "topic", "partition", "offset")))
                value = str(given["value"]).encode()
            except (ValueError, KeyError, TypeError) as error:
                raise JobError(
                    f"{file}, line {number}: not a line that --export wrote ({error!r})"
                ) from error
            if place in values:
                raise JobError(f"{file}, line {number}: a message that an earlier line mends")
            values[place] = value
    except OSError as error:
        raise JobError(f"cannot read {file}: {error.strerror}") from error
    return values


def _mender(name: str) -> Mend:
    if not name:
        return lambda row: row.value
    module, _, attribute = name.partition(":")
    try:
        found: Mender = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise JobError(f"--with {name}: {error}; name it as MODULE:FUNCTION") from error

    def mend(row: Row) -> bytes | None:
        try:
            return None if row.value is None else found(row.value, row.reasons)
        except Exception as error:
            raise JobError(
                f"--with {name}: {row.position}: {error!r}; nothing more sent"
            ) from error

    return mend


def _watermarks_us(
    storage: Storage, target: Target | None, settings: Settings
) -> dict[str, int] | None:
    """Give how far the inputs of each topic are, where the lake is filled from the target."""
    last = Manifests(storage, PIPELINE).last()
    if last is None or target is None:
        return None
    name, _ = open_source(target.uri, settings).look()
    if last.source != name:
        return None
    latest: dict[str, int] = {}
    for given in last.inputs.values():
        latest[given.topic] = max(latest.get(given.topic, given.watermark_us), given.watermark_us)
    return latest


def _told(summary: Summary, *, dry_run: bool) -> str:
    lines = [f"{summary.chosen:,} messages, {summary.sent:,} {'would be ' * dry_run}sent"]
    for count, what in (
        (summary.left, "left as they are"),
        (summary.unmatched, "lines of the file stand for no message that was chosen"),
        (summary.resubmitted_before, "sent by an earlier call (--again sends them once more)"),
        (summary.too_late, "too late for the lake's own source: send them under another prefix"),
        (summary.still_wrong, "still wrong"),
    ):
        if count:
            lines.append(f"  {count:,} {what}")
    counted = sorted(summary.wrong.items(), key=lambda item: -item[1])
    lines += [f"    {count:,} {reason}" for reason, count in counted]
    return "\n".join(lines)
