"""``marketlake stream``: the streaming pipeline."""

from __future__ import annotations

import json
from typing import Annotated

import msgspec
import typer

from marketlake.lake.lease import lease
from marketlake.lake.storage import Storage
from marketlake.settings.model import load_settings
from spark_jobs.errors import one_line
from spark_jobs.observed import observed
from spark_jobs.options import Config, Json, Lake, Source
from spark_jobs.sessions import job_session
from streaming.runner import StreamRunner, StreamSummary
from streaming.sources.open_source import open_source


def stream_command(
    *,
    source: Source,
    lake: Lake,
    until_idle: Annotated[
        bool,
        typer.Option("--until-idle", help="Drain what is there, close the last bars and stop."),
    ] = False,
    config: Config = None,
    max_offsets: Annotated[
        int | None, typer.Option(min=1, help="Messages a batch, in place of the setting.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Read a source into a lake until told to stop; SIGTERM ends after the running batch."""
    with one_line("stream"):
        settings = load_settings(config)
        if max_offsets is not None:
            stream = settings.stream.model_copy(update={"max_offsets_per_batch": max_offsets})
            settings = settings.model_copy(update={"stream": stream})
        place = open_source(source, settings)
        # What is wrong with source or lake is told before the seconds that Spark takes.
        _, inputs = place.look()
        if until_idle:
            place.require(inputs)
        storage = Storage(lake, settings.s3)
        with lease(storage, "stream"):
            pass
        spark = job_session("marketlake stream", storage, light=place.light(settings))
        with observed(place, settings.observability) as listener:
            runner = StreamRunner(spark, place, lake, settings, listener)
            runner.stop_on_signals()
            summary = runner.run(until_idle=until_idle)
    print_summary(summary, json_output=json_output)


def print_summary(summary: StreamSummary, *, json_output: bool) -> None:
    """Say what a run did."""
    if json_output:
        typer.echo(json.dumps(msgspec.to_builtins(summary)))
    else:
        typer.echo(
            f"{summary.read:,} messages in {summary.batches} batches: {summary.silver:,} in "
            f"silver, {summary.quarantined:,} in quarantine"
        )
