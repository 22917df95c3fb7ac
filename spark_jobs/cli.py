"""The one launcher, for a laptop and for spark-submit."""

from __future__ import annotations

from typing import Any, Final

import typer
from typer.core import TyperCommand

from spark_jobs.registry import BATCH_JOBS, COMMANDS, EMR_COMMANDS, Job

_STYLE: Final[dict[str, Any]] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
}


class LazyCommand(TyperCommand):
    """Stands for a command in the list of all, and imports it when it is to run."""

    job: Job

    def load(self) -> Any:
        """Import the command, with its parameters."""
        alone = typer.Typer(**_STYLE)
        context = {"allow_interspersed_args": False} if self.job.passes_on else {}
        alone.command(self.name, context_settings=context)(self.job.load())
        return typer.main.get_command(alone)

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        """Let the command itself read its arguments; what runs is what the context names."""
        return self.load().make_context(info_name, args, parent, **extra)


def _add(group: typer.Typer, jobs: dict[str, Job]) -> None:
    for name, job in jobs.items():
        lazy = type("LazyCommand", (LazyCommand,), {"job": job})
        group.command(name, cls=lazy, help=job.doc)(_never_called)


def _never_called() -> None:
    """Stand where typer wants a function: the one of the job is imported later."""


app = typer.Typer(
    name="marketlake",
    help="Market data from many venues, made into a lake that people can trust.",
    no_args_is_help=True,
    **_STYLE,
)
batch = typer.Typer(help="Bounded jobs.", no_args_is_help=True)
app.add_typer(batch, name="batch")
emr = typer.Typer(help="Clusters on Amazon EMR.", no_args_is_help=True)
app.add_typer(emr, name="emr")
_add(app, COMMANDS)
_add(batch, BATCH_JOBS)
_add(emr, EMR_COMMANDS)


def main() -> None:
    """Run a command."""
    app()


if __name__ == "__main__":
    main()
