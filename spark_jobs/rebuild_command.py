"""``marketlake rebuild``: a new lake beside the old one, compared before a stream moves to it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table as Shown

from marketlake.contracts.tables import BRONZE_EVENTS, STREAM_TABLES
from marketlake.lake.errors import LakeError
from marketlake.lake.lease import lease
from marketlake.lake.manifests import Manifest
from marketlake.lake.runs import request_stop, running, withdraw_stop
from marketlake.lake.storage import Storage
from marketlake.lake.tally import Tally, tally
from marketlake.settings.model import Settings, load_settings
from spark_jobs.errors import JobError, one_line
from spark_jobs.reconcile_command import FileDays
from spark_jobs.sessions import job_session
from streaming.rebuilding import Rebuild
from streaming.stages.indicators import table_of

_MOST_MESSAGES: Final = 2_000_000
_LOOK_S: Final = 0.5
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
            help="Let the old stream end, compare, and where both agree let one go on in the new.",
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
    wait_s: Annotated[
        int, typer.Option("--wait-s", min=0, help="How long the old stream may take to end.")
    ] = 600,
    json_output: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = (
        False
    ),
) -> None:
    """Make a lake anew from another's bronze; compare both, and switch only where they agree."""
    with one_line("rebuild"):
        settings = load_settings(config)
        accepted = _accepted(accept or [], settings)
        before, after = Storage(old, settings.s3), Storage(lake, settings.s3)
        work = Rebuild(before, after, settings, most_messages)
        with lease(after, "stream"):
            # One of them on S3 is enough to need its jars.
            spark = job_session("marketlake rebuild", after if after.on_s3 else before)
            work.catch_up(spark, _say)
            found = None
            if switch:
                with _ended(before, wait_s):
                    work.catch_up(spark, _say)
                    found = _switch(work, settings, accepted)
    refused = [t.table for t in found or () if t.differences and t.table not in accepted]
    if json_output:
        tables = None if found is None else [asdict(t) for t in found]
        said = {"compared": tables, "refused": refused, "switched": switch and not refused}
        typer.echo(json.dumps(said))
    elif found is None:
        typer.echo(f"{lake} has caught up with {old}; --switch lets the stream move there")
    else:
        _print(found, accepted)
        typer.echo(_verdict(old, lake, refused))
    if refused:
        raise typer.Exit(1)


def _accepted(names: Sequence[str], settings: Settings) -> frozenset[str]:
    known = {f"{t.layer}.{t.name}" for t in (*STREAM_TABLES, table_of(settings.indicators))}
    for name in names:
        if name not in known:
            raise JobError(f"--accept {name}: there are {', '.join(sorted(known))}")
    return frozenset(names)


@contextmanager
def _ended(old: Storage, wait_s: int) -> Iterator[None]:
    """Ask the stream of a lake to end, and see that none begins meanwhile."""
    deadline, asked = time.monotonic() + wait_s, False
    with ExitStack() as still:
        while True:
            try:
                still.enter_context(lease(old, "stream"))
                break
            except LakeError:
                run = running(old)
                if run is None or time.monotonic() > deadline:
                    if asked:
                        withdraw_stop(old)
                    raise
                if not asked:
                    _tell(f"asked run {run.id} of {run.host} on {old.uri} to end after its batch")
                    request_stop(old, run, "marketlake rebuild")
                    asked = True
            time.sleep(_LOOK_S)
        yield


def _switch(work: Rebuild, settings: Settings, accepted: frozenset[str]) -> list[Tally]:
    """Compare both lakes, and hand over where they agree."""
    work.require_complete()
    found = compare(work.old, work.new, settings)
    if all(not t.differences or t.table in accepted for t in found):
        work.hand_over()
    return found


def _say(manifest: Manifest, seconds: float) -> None:
    read = manifest.counts["read"]["messages"]
    _tell(f"{read:,} messages taken in {seconds:.1f} s")


def _tell(text: str) -> None:
    typer.echo(text, err=True)


def compare(old: Storage, new: Storage, settings: Settings) -> list[Tally]:
    """Compare all that bronze gives; days that plain files gave are left out."""
    days = FileDays.of(old)
    tables = (*STREAM_TABLES, table_of(settings.indicators))
    return tally(old, new, tables, lambda t: "true" if t is BRONZE_EVENTS else days.rest(t))


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


def _verdict(old: str, lake: str, refused: Sequence[str]) -> str:
    if refused:
        return (
            f"not switched: {', '.join(refused)} differ; start the stream on {old} again, mend the "
            "new code and rebuild into another lake, or --accept what is meant"
        )
    return f"switched: start the stream with --lake {lake}"
