"""What reading a recording gives: records in publishing order, and an account of every row."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from marketlake.contracts.errors import MarketlakeError
from marketlake.contracts.events import INTERVAL_US, Bar, Book, Event, EventType, Quote, encode
from marketlake.feeds.venues.base import Normaliser


class RecordedDataError(MarketlakeError):
    """A recording that cannot be read: one line with the file, what is wrong and the mend."""


@dataclass
class ReplayStats:
    """Account of the rows of a recording: each is used, or skipped for a reason.

    Attributes
    ----------
    rows_read : int
        Rows of tables and lines of frame files, headers excluded.
    events : collections.Counter of str
        Events by type; a frame may give several.
    skipped : collections.Counter of str
        Rows that gave no event, by reason.
    skipped_parts : collections.Counter of str
        Entries left out of frames that gave other events, by reason.
    """

    rows_read: int = 0
    events: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    skipped_parts: Counter[str] = field(default_factory=Counter)

    @property
    def rows_used(self) -> int:
        """Rows that gave at least one event."""
        return self.rows_read - self.skipped.total()


def account(normaliser: Normaliser, stats: ReplayStats) -> None:
    """Add the frames that a normaliser has seen, at the end of a file."""
    stats.rows_read += normaliser.frames
    stats.skipped.update(normaliser.skipped)
    stats.skipped_parts.update(normaliser.skipped_parts)


class Format(NamedTuple):
    """How the files of one data set are named, and what reads them."""

    name: str
    """Name of the data set, for messages."""
    file_name: re.Pattern[str]
    """Matches the whole name of each of its files."""
    example: str
    """Such a name, for messages."""
    read: Callable[[Path, ReplayStats], Iterator[Event]]
    """Give the events of one file as they stand in it, and account for rows and what is skipped.

    A failure is a ``RecordedDataError``, or whatever a broken file raises.
    """


OrderKey = tuple[int, str, str, str, int]
"""The total order across files: (time in µs, type, venue, instrument, sequence or -1)."""


class Record(NamedTuple):
    """One message ready for a topic, with its place in the order."""

    order: OrderKey
    event_type: EventType
    key: bytes
    """The instrument, so that all its venues share a partition."""
    value: bytes

    @property
    def time_us(self) -> int:
        """When the event would have been published, in microseconds since the epoch, UTC."""
        return self.order[0]


def event_type_of(event: Event) -> EventType:
    """Name the type of an event as it stands in its ``type`` field."""
    if isinstance(event, Bar):
        return "bar"
    if isinstance(event, Book):
        return "book"
    return "quote" if isinstance(event, Quote) else "trade"


def record_of(event: Event) -> Record:
    """Encode an event and place it: at its event time, a bar at its close.

    A venue publishes a bar when it closes, so a bar counts there and not at its open time.

    Raises
    ------
    KeyError
        The bar's interval is not one of ``INTERVAL_US``.
    """
    time_us = event.event_time_us
    if isinstance(event, Bar):
        time_us += INTERVAL_US[event.interval]
    event_type = event_type_of(event)
    sequence = -1 if event.sequence is None else event.sequence
    order = (time_us, event_type, event.venue, event.instrument, sequence)
    return Record(order, event_type, event.instrument.encode(), encode(event))
