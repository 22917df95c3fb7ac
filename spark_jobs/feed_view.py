"""What a feed shows while it runs: a table on a terminal, or JSON lines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from marketlake.feeds.live.ledger import STATES, Ledger
from marketlake.feeds.live.ports import LiveSource

_REFRESH_S: Final = 0.5
_COLOURS: Final = {
    "live": "green",
    "stale": "yellow",
    "connecting": "cyan",
    "degraded": "magenta",
    "broken": "red",
}


class FeedView:
    """Shows the health of a feed.

    Parameters
    ----------
    json_lines : bool
        JSON lines on standard output, one each ``every_s`` seconds, and a last one with ``ended``.
        Otherwise a table on standard error, if that is a terminal.
    """

    def __init__(self, ledger: Ledger, *, json_lines: bool, every_s: float) -> None:
        self._ledger = ledger
        self._json = json_lines
        self._every_s = every_s if json_lines else _REFRESH_S
        console = Console(stderr=True)
        shown = console.is_terminal and not json_lines
        self._live = Live(console=console, auto_refresh=False) if shown else None

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
        self._show(ended=True)
        if self._live is not None:
            self._live.stop()

    async def run(self) -> None:
        """Show it again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            self._show()

    def _show(self, *, ended: bool = False) -> None:
        if self._json:
            typer.echo(json.dumps({"ended": ended, **self._ledger.as_json()}))
        elif self._live is not None:
            self._live.update(health_table(self._ledger), refresh=True)

    def subscriptions(self, sources: Sequence[LiveSource]) -> None:
        """Show what the sources would subscribe to."""
        found = [one for source in sources for one in source.subscriptions]
        if self._json:
            for one in found:
                typer.echo(
                    json.dumps(
                        {
                            "venue": one.venue,
                            "channel": one.channel,
                            "instrument": one.instrument,
                            "symbol": one.symbol,
                        }
                    )
                )
            return
        for one in found:
            typer.echo(f"{one.venue:<18} {one.channel:<7} {one.instrument:<18} {one.symbol}")


def health_table(ledger: Ledger) -> Table:
    """Make the table: a row a venue and channel, and one for each venue that ever failed."""
    table = Table(title="live feeds", title_justify="left")
    for name in ("venue", "channel", "state"):
        table.add_column(name)
    for name in ("events", "conflated", "gaps", "silent"):
        table.add_column(name, justify="right")
    silent_s = ledger.silent_s()
    for (venue, channel), states in sorted(ledger.channel_states().items()):
        state = ", ".join(
            f"[{_COLOURS[name]}]{states[name]} {name}[/]" for name in STATES if states[name]
        )
        quiet_s = silent_s.get((venue, channel))
        table.add_row(
            venue,
            channel,
            state,
            f"{ledger.events[venue, channel]:,}",
            f"{ledger.conflated[venue, channel]:,}",
            f"{ledger.gaps[venue, channel]:,}",
            "" if quiet_s is None else f"{quiet_s:.0f} s",
        )
    states_of = ledger.venue_states()
    for venue, notes in sorted(ledger.venues.items()):
        if notes.error:
            state = states_of[venue]
            failures = f"[{_COLOURS[state]}]{state}[/], {notes.failures} failures"
            table.add_row(venue, "all", failures, "", "", "", "")
    table.caption = (
        f"{ledger.published.total():,} published, {ledger.waiting:,} waiting,"
        f" blocked {ledger.blocked_s:.1f} s"
    )
    return table


def summary_line(ledger: Ledger, target: str) -> str:
    """Say in one line what was published and what was not."""
    return (
        f"published {ledger.published.total():,} events to {target};"
        f" {ledger.skipped.total():,} gave none, {ledger.conflated.total():,} conflated,"
        f" {ledger.gaps.total():,} gaps, {ledger.failures.total():,} failures"
    )
