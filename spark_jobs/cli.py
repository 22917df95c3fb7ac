"""The one launcher, for a laptop and for spark-submit."""

from __future__ import annotations

import typer

from spark_jobs.registry import BATCH_JOBS, COMMANDS

app = typer.Typer(
    name="marketlake",
    help="Market data from many venues, made into a lake that people can trust.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
batch = typer.Typer(help="Bounded jobs.", no_args_is_help=True)
app.add_typer(batch, name="batch")
for _name, _function in COMMANDS.items():
    app.command(_name)(_function)
for _name, _function in BATCH_JOBS.items():
    batch.command(_name)(_function)


def main() -> None:
    """Run a command."""
    app()


if __name__ == "__main__":
    main()
