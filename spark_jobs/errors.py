"""How commands fail: one line on the terminal, and a non-zero exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from marketlake.contracts.errors import MarketlakeError
from streaming.failures import full_disk, reason_of


class JobError(MarketlakeError):
    """A job was asked for something that cannot be done."""


@contextmanager
def one_line(command: str) -> Iterator[None]:
    """Turn an expected failure into one line and exit code 1."""
    try:
        yield
    except BrokenPipeError:
        # Whoever read our output has seen enough: no failure of ours.
        raise
    except MarketlakeError as error:
        text = str(error)
        _say(command, full_disk(text) or text)
        raise typer.Exit(1) from None
    except _foreign_errors() as error:
        _say(command, reason_of(error))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo(f"{command}: interrupted", err=True)
        raise typer.Exit(130) from None


def _say(command: str, text: str) -> None:
    # Causes from below may hold line breaks of their own.
    typer.echo(f"{command}: {' '.join(text.split())}", err=True)


def _foreign_errors() -> tuple[type[Exception], ...]:
    """Give what the system raises, and Spark where a command has loaded it: that takes seconds."""
    if "pyspark" not in sys.modules:
        return (OSError,)
    from marketlake.lake.session import SPARK_ERRORS

    return (*SPARK_ERRORS, OSError)
