"""How commands fail: one line on the terminal, and a non-zero exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from marketlake.feeds.publish import PublishError, UnsupportedTargetError
from marketlake.feeds.recorded.records import RecordedDataError
from marketlake.lake.errors import LakeError
from marketlake.local.errors import LocalError
from marketlake.observability.logs import LogError
from marketlake.observability.metrics import MetricsError
from marketlake.settings.model import SettingsError
from streaming.failures import SPARK_ERRORS, full_disk, reason_of
from streaming.runner import StreamError
from streaming.sources.kafka import SourceError


class JobError(Exception):
    """A job was asked for something that cannot be done."""


_EXPECTED = (
    JobError,
    LakeError,
    LocalError,
    LogError,
    MetricsError,
    PublishError,
    RecordedDataError,
    SettingsError,
    SourceError,
    StreamError,
    UnsupportedTargetError,
)


@contextmanager
def one_line(command: str) -> Iterator[None]:
    """Turn an expected failure into one line and exit code 1."""
    try:
        yield
    except BrokenPipeError:
        # Whoever read our output has seen enough: no failure of ours.
        raise
    except _EXPECTED as error:
        text = str(error)
        _say(command, full_disk(text) or text)
        raise typer.Exit(1) from None
    except (*SPARK_ERRORS, OSError) as error:
        _say(command, reason_of(error))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo(f"{command}: interrupted", err=True)
        raise typer.Exit(130) from None


def _say(command: str, text: str) -> None:
    # Causes from below may hold line breaks of their own.
    typer.echo(f"{command}: {' '.join(text.split())}", err=True)
