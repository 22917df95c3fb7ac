"""The daily job as a file of its own: ``spark-submit financial_data_processor.py D --lake URI``."""

from __future__ import annotations

from typing import Annotated

import typer

from spark_jobs.batch_process import process_command


def process_day(
    day: Annotated[str, typer.Argument(help="UTC day, as 2024-08-08.")],
    *,
    lake: Annotated[str, typer.Option(help="Folder of the lake.")] = "./lake",
    rewrite: Annotated[
        bool, typer.Option("--rewrite", help="Compute gold of the day again from bronze.")
    ] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print rows written as JSON.")] = (
        False
    ),
) -> None:
    """Make the market summary of a day, and its gold where asked."""
    process_command(lake=lake, day=day, rewrite=rewrite, config=None, json_output=json_output)


if __name__ == "__main__":
    typer.run(process_day)
