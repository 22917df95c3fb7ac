"""Raw frames of nine venues, about 30 s each, of different days and versions of their API."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from marketlake.contracts.events import Event
from marketlake.feeds.recorded.records import Format, ReplayStats, account
from marketlake.feeds.venues.registry import normaliser_of
from marketlake.feeds.venues.samples import normalise, read_wire_sample


def read(path: Path, stats: ReplayStats) -> Iterator[Event]:
    """Give the events of one venue's file, in the order of its frames.

    Raises
    ------
    ValueError
        The venue has no normaliser, or a line is no recorded frame.
    """
    normaliser = normaliser_of(path.name.partition(".")[0].lower())
    yield from normalise(read_wire_sample(path), normaliser)
    account(normaliser, stats)


FORMAT: Final = Format(
    "wire samples", re.compile(r"[A-Z0-9]+\.ws\.\d+(\.\d+)*\.gz"), "KRAKEN.ws.48.0.gz", read
)
