"""The live view of a running pipeline: a panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

_ROWS_SHOWN = 5
_SEVERITY_STYLE = {"high": "bold red", "medium": "yellow", "low": "dim"}


@dataclass(frozen=True)
class AnomalyLine:
    """One anomaly as the live view shows it; ``score`` in units of the detector's scale."""

    event_time: datetime
    venue: str
    instrument: str
    metric: str
    severity: str
    score: float


@dataclass(frozen=True)
class SpreadLine:
    """One spread as the live view shows it.

    Attributes
    ----------
    gross_bps, net_bps : float
        Basis points before and after fees.
    price_basis : str
        ``executable`` or ``indicative``.
    """

    base: str
    buy_venue: str
    sell_venue: str
    gross_bps: float
    net_bps: float
    price_basis: str


@dataclass(frozen=True)
class Progress:
    """What the pipeline tells after a batch.

    Attributes
    ----------
    stage : str
        What goes on, in a few words.
    elapsed_s : float
        Since the start, seconds.
    batch : int
        Number of the latest batch; -1 before the first.
    rows_in : int
        Rows read since the start.
    rows_per_s : float
        Of the latest batch.
    lag_rows : int or None
        Rows at the source that are not read yet; None where unknown.
    batch_ms : float
        Duration of the latest batch.
    silver_rows, quarantined : mapping of str to int
        Since the start, by table and by reason.
    event_time : datetime or None
        The watermark: how far the event times have come.
    anomalies, spreads : sequence
        Latest anomalies, newest first; best spreads, best first.
    """

    stage: str
    elapsed_s: float = 0.0
    batch: int = -1
    rows_in: int = 0
    rows_per_s: float = 0.0
    lag_rows: int | None = None
    batch_ms: float = 0.0
    silver_rows: Mapping[str, int] = field(default_factory=dict)
    quarantined: Mapping[str, int] = field(default_factory=dict)
    event_time: datetime | None = None
    anomalies: Sequence[AnomalyLine] = ()
    spreads: Sequence[SpreadLine] = ()


def render(progress: Progress) -> RenderableType:
    """Lay a snapshot out for a terminal; the same snapshot gives the same picture."""
    parts: list[RenderableType] = [_flow(progress), Text(), _counts(progress)]
    if progress.anomalies:
        parts += [Text(), _anomalies(progress.anomalies[:_ROWS_SHOWN])]
    if progress.spreads:
        parts += [Text(), _spreads(progress.spreads[:_ROWS_SHOWN])]
    return Panel(
        Group(*parts),
        title=Text(f"marketlake: {progress.stage}"),
        title_align="left",
        subtitle=Text(_clock(progress.elapsed_s)),
        subtitle_align="right",
        border_style="cyan",
        padding=(1, 2),
    )


def plain_line(progress: Progress) -> str:
    """Write a snapshot as one line for a log."""
    parts = [
        _clock(progress.elapsed_s),
        progress.stage,
        f"batch {progress.batch}" if progress.batch >= 0 else "no batch yet",
        f"{progress.rows_in:,} rows in",
        f"{progress.rows_per_s:,.0f} rows/s",
        f"lag {_lag(progress)}",
        f"silver {sum(progress.silver_rows.values()):,}",
        f"quarantined {sum(progress.quarantined.values()):,}",
        f"event time {_utc(progress.event_time)}",
    ]
    return " | ".join(parts)


class LiveView:
    """Shows snapshots as they come; a context manager, so that the terminal is given back.

    On a terminal one panel is redrawn in place. Elsewhere, in a log or a pipe, a plain line is
    printed every ``plain_every_s`` seconds, at once when the stage changes, and at the end.

    Parameters
    ----------
    console : Console, optional
        Where to write; standard output if not given.
    plain_every_s : float
        Seconds between two plain lines of one stage.
    clock : callable
        Monotonic seconds.
    """

    def __init__(
        self,
        console: Console | None = None,
        *,
        plain_every_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console or Console()
        self._plain_every_s = plain_every_s
        self._clock = clock
        self._live = (
            Live(console=self._console, refresh_per_second=4) if self._console.is_terminal else None
        )
        self._printed: Progress | None = None
        self._printed_at_s = 0.0
        self._latest: Progress | None = None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
        elif self._latest is not None and self._latest is not self._printed:
            self._print(self._latest)

    def update(self, progress: Progress) -> None:
        """Show a snapshot."""
        self._latest = progress
        if self._live is not None:
            self._live.update(render(progress))
        elif (
            self._printed is None
            or self._printed.stage != progress.stage
            or self._clock() - self._printed_at_s >= self._plain_every_s
        ):
            self._print(progress)

    def _print(self, progress: Progress) -> None:
        self._console.print(plain_line(progress), soft_wrap=True, markup=False, highlight=False)
        self._printed, self._printed_at_s = progress, self._clock()


def _flow(progress: Progress) -> Table:
    grid = Table.grid(padding=(0, 3))
    cells = [
        ("rows in", f"{progress.rows_in:,}"),
        ("rows/s", f"{progress.rows_per_s:,.0f}"),
        ("lag", _lag(progress)),
        ("batch", str(progress.batch) if progress.batch >= 0 else "–"),
        ("batch time", f"{progress.batch_ms:,.0f} ms"),
        ("event time (UTC)", _utc(progress.event_time)),
    ]
    for _ in cells:
        grid.add_column()
    grid.add_row(*(Text(name, style="dim") for name, _ in cells))
    grid.add_row(*(Text(value, style="bold") for _, value in cells))
    return grid


def _counts(progress: Progress) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    grid.add_row("silver", Text(_pairs(progress.silver_rows)))
    style = "yellow" if any(progress.quarantined.values()) else ""
    grid.add_row("quarantine", Text(_pairs(progress.quarantined), style=style))
    return grid


def _pairs(counts: Mapping[str, int]) -> str:
    shown = [f"{name.replace('_', ' ')} {rows:,}" for name, rows in counts.items() if rows]
    return "  ·  ".join(shown) or "nothing"


def _anomalies(lines: Sequence[AnomalyLine]) -> Table:
    table = _table("latest anomalies", "venue", "instrument", "metric", "severity")
    table.add_column("score", justify="right")
    for line in lines:
        table.add_row(
            _utc(line.event_time),
            Text(line.venue),
            Text(line.instrument),
            Text(line.metric),
            Text(line.severity, style=_SEVERITY_STYLE.get(line.severity, "")),
            f"{line.score:+.1f}",
        )
    return table


def _spreads(lines: Sequence[SpreadLine]) -> Table:
    table = _table("best spreads", "buy", "sell", "prices")
    table.add_column("gross bps", justify="right")
    table.add_column("net bps", justify="right")
    for line in lines:
        taken = line.net_bps > 0 and line.price_basis == "executable"
        table.add_row(
            Text(line.base),
            Text(line.buy_venue),
            Text(line.sell_venue),
            line.price_basis,
            f"{line.gross_bps:.1f}",
            Text(f"{line.net_bps:+.1f}", style="bold green" if taken else ""),
        )
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def _lag(progress: Progress) -> str:
    return "–" if progress.lag_rows is None else f"{progress.lag_rows:,}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _utc(value: datetime | None) -> str:
    return "–" if value is None else value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
