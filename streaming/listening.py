"""Who hears of a batch: manifests made into figures, and handed to metrics and logs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import msgspec

from marketlake.analytics.admission import NO_TIME_US
from marketlake.lake.datafiles import DataFile
from marketlake.lake.manifests import Manifest
from marketlake.observability.figures import BatchFigures, InputFigures
from streaming.pipeline import BatchListener

FiguresListener = Callable[[BatchFigures], None]
_LOG = logging.getLogger(__name__)


class _Maxima(msgspec.Struct):
    event_time: datetime | None = None
    open_time: datetime | None = None


class _Statistics(msgspec.Struct):
    maxima: _Maxima = msgspec.field(name="maxValues", default_factory=_Maxima)


_STATISTICS = msgspec.json.Decoder(_Statistics)


def figures_of(
    manifest: Manifest, seconds: float, lag_messages: Mapping[str, int] | None = None
) -> BatchFigures:
    """Give a batch in figures.

    Parameters
    ----------
    seconds : float
        What the batch took.
    lag_messages : mapping of str to int, optional
        Messages not read yet, by input; left out where unknown.
    """
    counts = manifest.counts
    return BatchFigures(
        sequence=manifest.sequence,
        kind=manifest.kind,
        seconds=seconds,
        read=counts["read"]["messages"],
        quarantined=counts["quarantine"]["messages"],
        silver=counts["silver"],
        reasons=counts["reasons"],
        gold=counts["gold"],
        inputs={
            name: InputFigures(_known(i.watermark_us), _known(i.latest_us), i.active)
            for name, i in manifest.inputs.items()
        },
        latest_event_us=_latest_event_us(manifest.files),
        lag_messages=lag_messages or {},
    )


def latest_event_us(file: DataFile) -> int | None:
    """Latest event time of a data file, by its statistics: microseconds since the epoch, UTC.

    Of bars, the latest open time; None for a table without either, such as bronze.
    """
    maxima = _STATISTICS.decode(file.statistics).maxima
    time = maxima.event_time or maxima.open_time
    return None if time is None else _micros(time)


def with_figures(
    *listeners: FiguresListener, lag: Callable[[], Mapping[str, int]] = dict
) -> BatchListener:
    """Make one listener to manifests of listeners to figures, such as metrics and logs.

    Parameters
    ----------
    lag : callable
        Gives the present lag by input.
    """

    def listen(manifest: Manifest, seconds: float) -> None:
        figures = figures_of(manifest, seconds, lag())
        for listener in listeners:
            listener(figures)

    return listen


def fan_out(*listeners: BatchListener) -> BatchListener:
    """Make one listener of several; one that fails is logged, and the stream goes on.

    A batch is committed when listeners hear of it: no trouble in telling may end the stream.
    """

    def listen(manifest: Manifest, seconds: float) -> None:
        for listener in listeners:
            try:
                listener(manifest, seconds)
            except Exception:  # noqa: BLE001 - whatever a listener meets, the stream goes on
                _LOG.exception("a listener failed", extra={"sequence": manifest.sequence})

    return listen


def _known(time_us: int) -> int | None:
    return None if time_us == NO_TIME_US else time_us


def _latest_event_us(files: Sequence[DataFile]) -> dict[str, int]:
    newest_day: dict[str, str] = {}
    for file in files:
        newest_day[file.table] = max(newest_day.get(file.table, ""), _day(file))
    latest: dict[str, int] = {}
    for file in files:
        # A batch may hold files of hundreds of days: the last day's tell.
        if _day(file) == newest_day[file.table]:
            time_us = latest_event_us(file)
            if time_us is not None:
                latest[file.table] = max(time_us, latest.get(file.table, time_us))
    return latest


def _day(file: DataFile) -> str:
    return file.partition.get("date", "")


def _micros(time: datetime) -> int:
    # Whole seconds and microseconds apart: a float of both is not exact.
    return int(time.replace(microsecond=0).timestamp()) * 1_000_000 + time.microsecond
