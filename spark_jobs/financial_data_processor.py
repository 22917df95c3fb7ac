"""The daily job as a file of its own: ``spark-submit financial_data_processor.py D --lake URI``."""

from __future__ import annotations

from typing import Annotated

import typer

from spark_jobs.batch_process import process_command
from spark_jobs.options import Config, Export, Input, Json, Lake, Rewrite


def process_day(
    day: Annotated[str, typer.Argument(help="UTC day, as 2024-08-08.")],
    *,
    lake: Lake = "./lake",
    input_uri: Input = None,
    rewrite: Rewrite = False,
    export: Export = None,
    config: Config = None,
    json_output: Json = False,
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
