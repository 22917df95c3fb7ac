"""``marketlake rebuild``: a new lake beside the old one, compared before a stream moves to it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table as Shown

from marketlake.contracts.tables import STREAM_TABLES
from marketlake.lake.lease import lease
from marketlake.lake.manifests import Manifest
from marketlake.lake.storage import Storage
from marketlake.lake.tally import Tally, tally
from marketlake.settings.model import Settings, load_settings
from spark_jobs.errors import JobError, one_line
from spark_jobs.reconcile_command import FileDays
from spark_jobs.sessions import job_session
from streaming.rebuilding import Rebuild
from streaming.stages.indicators import table_of

_MOST_MESSAGES: Final = 2_000_000
_SHOWN: Final = 20
"""Groups that are shown of a table; all are in the JSON."""


def rebuild_command(
    *,
    old: Annotated[str, typer.Option("--from", help="Lake that the stream fills.")],
    lake: Annotated[str, typer.Option(help="Lake that is to take its place; made if absent.")],
    switch: Annotated[
        bool,
        typer.Option(
            "--switch",
            help="The old stream is stopped: catch up, compare, and let a stream go on in the new.",
        ),
    ] = False,
    accept: Annotated[
        list[str] | None,
        typer.Option(help="Table that may differ, as gold.anomalies; may be given again."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file with settings, of the new lake.")
    ] = None,
    most_messages: Annotated[
        int, typer.Option("--max-messages", min=1, help="Messages taken at once.")
    ] = _MOST_MESSAGES,
    json_output: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = (
        False
    ),
) -> None:
    """Make a lake anew from another's bronze; compare both, and switch only where they agree."""
    with one_line("rebuild"):
        settings = load_settings(config)
        accepted = _accepted(accept or [], settings)
        before, after = Storage(old, settings.s3), Storage(lake, settings.s3)
        found = _rebuild(before, after, settings, most_messages, switch=switch, accepted=accepted)
    refused = [t.table for t in found or () if t.differences and t.table not in accepted]
    if json_output:
        tables = None if found is None else [asdict(t) for t in found]
        said = {"compared": tables, "refused": refused, "switched": switch and not refused}
        typer.echo(json.dumps(said))
    elif found is None:
        typer.echo(f"{lake} has caught up; stop the stream on {old}, then --switch")
    else:
        _print(found, accepted)
        typer.echo(_verdict(lake, refused, switch=switch))
    if refused:
        raise typer.Exit(1)


def _accepted(names: Sequence[str], settings: Settings) -> frozenset[str]:
    known = {f"{t.layer}.{t.name}" for t in (*STREAM_TABLES, table_of(settings.indicators))}
    for name in names:
        if name not in known:
            raise JobError(f"--accept {name}: there are {', '.join(sorted(known))}")
    return frozenset(names)


def _rebuild(
    old: Storage,
    new: Storage,
    settings: Settings,
    most_messages: int,
    *,
    switch: bool,
    accepted: frozenset[str],
) -> list[Tally] | None:
    """Catch up; where the old lake stands still, compare, and hand over; None where it does not."""
    work = Rebuild(old, new, settings, most_messages)
    with lease(new, "stream"), ExitStack() as still:
        if switch:
            # Nobody writes the old lake from here on.
            still.enter_context(lease(old, "stream"))
        spark = job_session("marketlake rebuild", new)
        work.catch_up(spark, _say)
        if not switch:
            return None
        work.require_complete()
        found = compare(old, new, settings)
        if all(not t.differences or t.table in accepted for t in found):
            work.hand_over()
    return found


def _say(manifest: Manifest, seconds: float) -> None:
    read = manifest.counts["read"]["messages"]
    typer.echo(f"{read:,} messages taken in {seconds:.1f} s", err=True)


def compare(old: Storage, new: Storage, settings: Settings) -> list[Tally]:
    """Compare all that bronze gives; days that plain files gave are left out."""
    days = FileDays.of(old)
    return tally(old, new, (*STREAM_TABLES, table_of(settings.indicators)), days.rest)


def _print(found: Sequence[Tally], accepted: frozenset[str]) -> None:
    shown = Shown("table", "day", "venue", "instrument", "rows: old", "new", "differs in")
    for t in found:
        verdict = "same" if not t.differences else f"{len(t.differences):,} of {t.groups:,} groups"
        if t.differences and t.table in accepted:
            verdict += " (accepted)"
        for names, word in ((t.added, "new"), (t.gone, "gone")):
            verdict += f"; {word}: {', '.join(names)}" if names else ""
        shown.add_row(t.table, "", "", "", f"{t.old_rows:,}", f"{t.new_rows:,}", verdict)
        for d in t.differences[:_SHOWN]:
            shown.add_row(
                "", d.day, d.venue, d.instrument, f"{d.old_rows:,}", f"{d.new_rows:,}", d.what
            )
        if len(t.differences) > _SHOWN:
            shown.add_row("", "", "", "", "", "", f"and {len(t.differences) - _SHOWN:,} more")
    Console().print(shown)


def _verdict(lake: str, refused: Sequence[str], *, switch: bool) -> str:
    if refused:
        return (
            f"not switched: {', '.join(refused)} differ; mend the new code and rebuild into "
            "another lake, or --accept what is meant. The old stream may go on"
        )
    return f"switched: marketlake stream --lake {lake} goes on there" if switch else "the same"
