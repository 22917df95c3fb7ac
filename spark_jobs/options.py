"""Options that more than one command has: their names, types and help stand here once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Lake = Annotated[str, typer.Option(help="Folder of the lake, or s3a://BUCKET/NAME.")]
_SOURCE = "kafka:HOST:PORT[/PREFIX] or kinesis:REGION[/PREFIX]; PREFIX is 'market' if not given."
Source = Annotated[str, typer.Option(help=_SOURCE)]
To = Annotated[str, typer.Option("--to", help=_SOURCE)]
Config = Annotated[Path | None, typer.Option(help="TOML file with settings.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Tell what would be done, and change nothing.")
]
Json = Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")]

# Of the daily job, which is a command and a file of its own.
Input = Annotated[
    str | None,
    typer.Option("--input", help="Parquet or CSV of trades or bars: a file, or a folder."),
]
Rewrite = Annotated[
    bool,
    typer.Option(
        "--rewrite", help="Compute gold of the day again, and replace what the stream wrote."
    ),
]
Export = Annotated[
    str | None, typer.Option(help="Folder for plain Parquet of the day's indicators.")
]
