"""Structured logs: JSON lines for machines, plain text on a terminal.

The modules of this project log through :mod:`logging`, with what they know as ``extra``; what
becomes of it is decided here and nowhere else.
"""

from __future__ import annotations

import logging
import re
import sys
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any, Final, Literal

import structlog
from structlog.types import EventDict, Processor

from marketlake.contracts.errors import MarketlakeError
from marketlake.observability.figures import BatchFigures

LogLevel = Literal["debug", "info", "warning", "error"]

_OURS: Final = ("marketlake", "streaming", "spark_jobs")
_QUIET: Final = {
    # A failed batch comes back as the query's error, which the command tells in one line; py4j
    # would write the trace of it too, and another for each connection cut at the end.
    "py4j": logging.CRITICAL,
    "pyspark": logging.ERROR,
    "SQLQueryContextLogger": logging.CRITICAL,
    "DataFrameQueryContextLogger": logging.CRITICAL,
}
_SECRET_NAME: Final = re.compile(
    r"passw|secret|token|credential|authorization|jaas|(access|api|private|account)_?key",
    re.IGNORECASE,
)
_USERINFO: Final = re.compile(r"(?<=://)[^/\s@]+(?=@)")
_HIDDEN: Final = "***"
_LOG: Final = logging.getLogger(__name__)


class LogError(MarketlakeError):
    """Logs cannot be written as asked."""


def configure_logs(level: LogLevel = "info", file: Path | None = None) -> None:
    """Send the logs of this process to standard error, or to a file.

    On a terminal they are plain text, elsewhere one JSON object a line with ``time`` (ISO 8601,
    UTC), ``level``, ``logger``, ``event`` and what belongs to the event. Other libraries are heard
    from ``warning`` on; py4j and Spark's Python side only where nothing else tells of the error.
    Called again, it takes the place of what it set up before.

    Parameters
    ----------
    level : str
        Least level of this project's own messages.
    file : Path, optional
        Lines are appended; a file that logrotate moved away is opened anew.

    Raises
    ------
    LogError
        If the file cannot be written.
    """
    terminal = file is None and sys.stderr.isatty()
    handler = _StderrHandler() if file is None else _file_handler(file)
    handler.setFormatter(_formatter(terminal=terminal))
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, _StderrHandler | _LogFileHandler)]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in _OURS:
        logging.getLogger(name).setLevel(level.upper())
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(least)


def log_batch(batch: BatchFigures) -> None:
    """Write the line of a batch; an error line too where it breaks law 4.

    ``watermark`` is ISO 8601 in UTC, or null; ``lag`` counts messages, or is null where unknown.
    """
    watermark = batch.watermark_us
    _LOG.info(
        "batch",
        extra={
            "sequence": batch.sequence,
            "kind": batch.kind,
            "read": batch.read,
            "silver": dict(batch.silver),
            "quarantined": batch.quarantined,
            "reasons": dict(batch.reasons),
            "gold": dict(batch.gold),
            "seconds": round(batch.seconds, 3),
            "rows_per_s": round(batch.rows_per_s),
            "watermark": None if watermark is None else _iso(watermark),
            "lag": batch.lag,
        },
    )
    if batch.unaccounted:
        _LOG.error(
            "messages unaccounted for",
            extra={"sequence": batch.sequence, "unaccounted": batch.unaccounted},
        )


class _StderrHandler(logging.Handler):
    """Writes where standard error is at that moment: a live view takes its place for a while."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001 - as logging's own handlers: no message ends the program
            self.handleError(record)


class _LogFileHandler(WatchedFileHandler):
    """The file this module opened, told from others' handlers."""


def _file_handler(file: Path) -> _LogFileHandler:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return _LogFileHandler(file, encoding="utf-8")
    except OSError as error:
        raise LogError(
            f"log file {file} cannot be written ({error.strerror or error}): name another"
        ) from error


def _formatter(*, terminal: bool) -> structlog.stdlib.ProcessorFormatter:
    # Plain traces: a rich one shows local variables, whatever they hold.
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(
            colors=False, timestamp_key="time", exception_formatter=structlog.dev.plain_traceback
        )
        if terminal
        else structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _drop_formatted,
            structlog.processors.format_exc_info,
            _hide_secrets,
            renderer,
        ],
    )


def _drop_formatted(_logger: object, _method: str, event: EventDict) -> EventDict:
    # Another handler's formatter leaves these on the record, where they look like extras.
    for name in ("message", "asctime"):
        event.pop(name, None)
    return event


def _hide_secrets(_logger: object, _method: str, event: EventDict) -> EventDict:
    return {name: _hidden(name, value) for name, value in event.items()}


def _hidden(name: str, value: Any) -> Any:
    if _SECRET_NAME.search(name):
        return _HIDDEN
    if isinstance(value, str):
        return _USERINFO.sub(_HIDDEN, value)
    if isinstance(value, dict):
        return {key: _hidden(str(key), item) for key, item in value.items()}
    return value


def _iso(time_us: int) -> str:
    seconds, micros = divmod(time_us, 1_000_000)
    time = datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)
    return time.isoformat().replace("+00:00", "Z")
