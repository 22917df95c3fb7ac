"""The daily job as a file of its own: ``spark-submit financial_data_processor.py D --lake URI``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spark_jobs.batch_process import process_command


def process_day(
    day: Annotated[str, typer.Argument(help="UTC day, as 2024-08-08.")],
    *,
    lake: Annotated[str, typer.Option(help="Folder of the lake.")] = "./lake",
    input_uri: Annotated[
        str | None,
        typer.Option("--input", help="Parquet or CSV of trades or bars: a file, or a folder."),
    ] = None,
    rewrite: Annotated[
        bool, typer.Option("--rewrite", help="Compute gold of the day again, and replace it.")
    ] = False,
    export: Annotated[
        str | None, typer.Option(help="Folder for plain Parquet of the indicators.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with settings.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print rows written as JSON.")] = (
        False
    ),
) -> None:
    """Make the market summary of a day, and its gold from files, or again from bronze."""
    process_command(
        lake=lake,
        day=day,
        input_uri=input_uri,
        rewrite=rewrite,
        export=export,
        config=config,
        json_output=json_output,
    )


if __name__ == "__main__":
    typer.run(process_day)
