"""``marketlake replay``: publish recorded market data as wire events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from marketlake.feeds.publish import (
    Publisher,
    PublishError,
    Target,
    UnsupportedTargetError,
    parse_target,
)
from marketlake.feeds.publishers import open_publisher
from marketlake.feeds.recorded.catalog import Recording, open_recording
from marketlake.feeds.recorded.records import RecordedDataError
from marketlake.feeds.replay import ProgressCallback, ReplayError, ReplaySummary, replay
from marketlake.settings.environment import cache_dir
from spark_jobs.options import Json, To

_ERRORS = (PublishError, UnsupportedTargetError, RecordedDataError, ReplayError, OSError)


def parse_speed(text: str) -> float | None:
    """Read ``max``, which is None, or a factor above 0.

    Raises
    ------
    ReplayError
        It is neither.
    """
    if text == "max":
        return None
    try:
        return float(text)
    except ValueError:
        raise ReplayError(f"--speed is 'max' or a number above 0, not {text!r}") from None


def default_journal(recording: Recording, target: Target) -> Path:
    """Give the journal's place where none is named: one a data set and target."""
    name = "".join(c if c.isalnum() or c in ".-" else "_" for c in target.uri)
    return cache_dir() / "replay" / f"{recording.fingerprint()[:16]}-{name}.json"


def _time(time_us: int | None) -> str | None:
    """Write microseconds since the epoch as ISO 8601."""
    if time_us is None:
        return None
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat(timespec="milliseconds")


def as_json(summary: ReplaySummary, recording: Recording, target: Target) -> dict[str, Any]:
    """Give the summary as it is printed with ``--json``."""
    stats = summary.stats
    return {
        "target": target.uri,
        "files": len(recording.files),
        "ignored_files": [str(path) for path in recording.ignored],
        "published": summary.published,
        "resumed_after": summary.resumed_after,
        "already_finished": summary.already_finished,
        "first_time": _time(summary.first_time_us),
        "last_time": _time(summary.last_time_us),
        "elapsed_s": round(summary.elapsed_s, 3),
        "rows_read": stats.rows_read,
        "rows_used": stats.rows_used,
        "events": dict(stats.events),
        "skipped": dict(stats.skipped),
        "skipped_parts": dict(stats.skipped_parts),
    }


def _counts(counts: dict[str, int]) -> str:
    """Write ``3 trade, 2 quote``, the most frequent first."""
    by_count = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count:,} {name}" for name, count in by_count)


def as_text(summary: ReplaySummary, recording: Recording, target: Target) -> str:
    """Give the summary for people."""
    if summary.already_finished:
        return (
            f"nothing to do: all {summary.resumed_after:,} events were published to {target.uri}"
            " before; --restart publishes them again"
        )
    rate = summary.published / summary.elapsed_s if summary.elapsed_s else 0.0
    stats = summary.stats
    lines = [
        f"published {summary.published:,} events in {summary.elapsed_s:.1f} s ({rate:,.0f}/s)",
        f"  to {target.uri}",
        f"  recorded {_time(summary.first_time_us)} to {_time(summary.last_time_us)}",
        f"  {len(recording.files)} files, {stats.rows_read:,} rows: {_counts(stats.events)}",
    ]
    if summary.resumed_after:
        lines.append(f"  resumed after {summary.resumed_after:,} events")
    if stats.skipped:
        lines.append(f"  {stats.skipped.total():,} rows gave no event: {_counts(stats.skipped)}")
    if stats.skipped_parts:
        lines.append(f"  left out of frames with other events: {_counts(stats.skipped_parts)}")
    if recording.ignored:
        lines.append(f"  {len(recording.ignored)} files of no known data set ignored")
    return "\n".join(lines)


@contextmanager
def _ended_by_one_line() -> Iterator[None]:
    """Make one line and an exit status of what ends a replay early."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("interrupted: --resume goes on from here", err=True)
        raise typer.Exit(130) from None
    except _ERRORS as error:
        typer.echo(f"replay: {error}", err=True)
        raise typer.Exit(1) from None


def _progress(console: Console) -> tuple[Progress, ProgressCallback]:
    """Make a progress bar and what advances it."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    task = bar.add_task("reading", total=None)

    def advance(summary: ReplaySummary) -> None:
        bar.update(
            task,
            description=_time(summary.last_time_us) or "reading",
            total=summary.stats.events.total(),
            completed=summary.resumed_after + summary.published,
        )

    return bar, advance


def _watched_replay(
    recording: Recording,
    publisher: Publisher,
    target: Target,
    speed: float | None,
    journal: Path | None,
    *,
    resume: bool,
) -> ReplaySummary:
    """Replay a recording, with a progress bar where there is a terminal."""
    bar, advance = _progress(Console(stderr=True))
    with bar:
        return replay(
            recording,
            publisher,
            speed=speed,
            progress=advance,
            journal_path=journal or default_journal(recording, target),
            target=target.uri,
            resume=resume,
        )


def replay_command(
    dataset: Annotated[
        Path,
        typer.Argument(help="A recorded file, the folder of a data set, or a folder of such."),
    ],
    *,
    to: To,
    speed: Annotated[
        str, typer.Option(help="'max', or event time over wall time: 1 is the recorded pace.")
    ] = "max",
    resume: Annotated[
        bool,
        typer.Option(
            "--resume/--restart",
            help="Go on after the last acknowledged event, or publish from the first.",
        ),
    ] = False,
    journal: Annotated[
        Path | None,
        typer.Option(help="Where to note how far it got.", show_default="in the cache folder"),
    ] = None,
    partitions: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Partitions of topics that are created, 4 where not given; of Kinesis: create "
            "streams that are absent, with so many shards.",
        ),
    ] = None,
    aggregate: Annotated[
        bool,
        typer.Option(
            "--aggregate",
            help="Of Kinesis: several events of an instrument in one record, as KPL makes them.",
        ),
    ] = False,
    json_output: Json = False,
) -> None:
    """Publish recorded market data as wire events, in the order of their times."""
    with _ended_by_one_line():
        target, pace = parse_target(to), parse_speed(speed)
        recording = open_recording(dataset)
        publisher = open_publisher(target, partitions, aggregate=aggregate)
        summary = _watched_replay(recording, publisher, target, pace, journal, resume=resume)
        publisher.close()
    if json_output:
        typer.echo(json.dumps(as_json(summary, recording, target)))
    else:
        typer.echo(as_text(summary, recording, target))
