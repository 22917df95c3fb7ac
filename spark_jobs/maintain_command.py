"""``marketlake maintain``: join small files, remove what nothing needs any more."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import typer
from rich.console import Console
from rich.table import Table

from marketlake.lake.bronze_retention import trim
from marketlake.lake.datafiles import is_from_files
from marketlake.lake.lease import lease
from marketlake.lake.query import delta_tables
from marketlake.lake.retention import Retained, in_flight, retain
from marketlake.lake.storage import Storage
from marketlake.lake.upkeep import TableUpkeep, Upkeep
from marketlake.settings.model import MaintainSettings, load_settings
from spark_jobs.errors import one_line
from spark_jobs.options import Config, DryRun, Json, Lake


@dataclass(frozen=True)
class Maintained:
    """What was done, or would be.

    Attributes
    ----------
    bronze_files, bronze_rows : int
        What left bronze for its age.
    """

    tables: list[TableUpkeep]
    history: Retained
    bronze_files: int
    bronze_rows: int


def maintain(storage: Storage, settings: MaintainSettings, *, dry_run: bool) -> Maintained:
    """Keep all tables of a lake, and the history of its stream.

    Raises
    ------
    LakeError
        If there is no lake, another upkeep runs, or something cannot be read or written.
    """
    paths = [f"{layer}/{name}" for layer, name in delta_tables(storage)]
    upkeep = Upkeep(storage, settings, is_from_files, lambda: in_flight(storage), dry_run=dry_run)
    # A lease of its own: no row is changed, so the stream may go on meanwhile.
    with (
        lease(storage, "maintain") as check,
        Console(stderr=True).status("looking at the tables …") as status,
    ):
        trimmed = []
        if settings.bronze_days is not None:
            status.update("bronze …")
            check()
            trimmed = trim(storage, settings.bronze_days, dry_run=dry_run)
        tables = []
        for path in paths:
            status.update(f"{path} …")
            tables.append(upkeep.keep(path, check))
        status.update("manifests and states …")
        check()
        history = retain(storage, settings, dry_run=dry_run)
    return Maintained(tables, history, len(trimmed), sum(file.rows for file in trimmed))


def maintain_command(
    *,
    lake: Lake,
    dry_run: DryRun = False,
    config: Config = None,
    json_output: Json = False,
) -> None:
    """Join small files and remove what nothing needs; the stream may run meanwhile."""
    with one_line("maintain"):
        settings = load_settings(config)
        done = maintain(Storage(lake, settings.s3), settings.maintain, dry_run=dry_run)
    if json_output:
        typer.echo(json.dumps({"dry_run": dry_run, **asdict(done)}))
        return
    _print(done, dry_run=dry_run)


def _print(done: Maintained, *, dry_run: bool) -> None:
    shown = Table("table", "files before", "after", "partitions joined", "MB", "removed", "MB")
    for t in done.tables:
        shown.add_row(
            t.table,
            f"{t.files_before:,}",
            "" if dry_run else f"{t.files_after:,}",
            f"{t.partitions:,}" + (f" ({t.skipped} changed meanwhile)" if t.skipped else ""),
            f"{t.joined_bytes / 1e6:,.1f}",
            f"{t.removed_files:,}",
            f"{t.removed_bytes / 1e6:,.1f}",
        )
    Console().print(shown)
    if done.bronze_files:
        typer.echo(f"bronze: {done.bronze_rows:,} messages in {done.bronze_files:,} files left it")
    h = done.history
    typer.echo(
        f"manifests: {h.manifests:,} stay, {h.boundaries:,} of them at boundaries of days, "
        f"{h.removed_manifests:,} removed; states: {h.removed_states:,} removed "
        f"({h.removed_bytes / 1e6:,.1f} MB)"
    )
    if dry_run:
        typer.echo("nothing was changed: --dry-run")
