"""What the driver tells the tasks of a batch, and what they answer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import msgspec

from marketlake.analytics.admission import NO_TIME_US
from marketlake.analytics.hashing import hash_text
from marketlake.contracts.control import Control
from marketlake.contracts.events import INTERVAL_US, TOPICS, EventType
from marketlake.lake.datafiles import DataFile
from marketlake.settings.model import Settings
from streaming.stages.merge_fold import MergeEvents

BAR_WORLD: frozenset[EventType] = frozenset({"trade", "bar"})
"""Types whose inputs carry closes to step two; the others carry best bids and asks."""

_MINUTE_US: Final = INTERVAL_US["1m"]


def input_name(topic: str, partition: int) -> str:
    """Name of an input: ``market.trades-0``."""
    return f"{topic}-{partition}"


def event_type_of(topic: str) -> EventType:
    """Type that a topic is for, told by its last part.

    Raises
    ------
    ValueError
        If no event type has such a topic.
    """
    last = topic.rpartition(".")[2]
    for event_type, name in TOPICS.items():
        if name == last:
            return event_type
    raise ValueError(f"topic {topic} is none of {', '.join(TOPICS.values())}")


class InputPosition(msgspec.Struct, frozen=True):
    """How far one input has come.

    Attributes
    ----------
    next_offset : int
        First offset that was not read yet; -1 where nothing was.
    latest_us : int
        Latest time of an admitted row.
    lane : str
        Name of the lane that the input shares with others; empty where it is alone.
    """

    topic: str
    partition: int
    next_offset: int = -1
    watermark_us: int = NO_TIME_US
    latest_us: int = NO_TIME_US
    active: bool = True
    lane: str = ""

    @property
    def name(self) -> str:
        """Name of the input."""
        return input_name(self.topic, self.partition)

    @property
    def lane_name(self) -> str:
        """Name of the input's lane; that of the input itself where it is alone."""
        return self.lane or self.name


@dataclass(frozen=True)
class StateFile:
    """One file of the chain of a state; its path is relative to the lake."""

    path: str
    size_bytes: int


@dataclass(frozen=True)
class PlacedControl:
    """A control event and its position: before the message at ``offset``."""

    topic: str
    partition: int
    offset: int
    source_time_us: int
    event: Control


def end_of_minute_us(latest_us: int) -> int:
    """End of the minute that a time lies in; no time stays no time."""
    if latest_us == NO_TIME_US:
        return NO_TIME_US
    return (latest_us // _MINUTE_US + 1) * _MINUTE_US


@lru_cache(maxsize=65_536)
def bucket_of(base: str, buckets: int) -> int:
    """Bucket of step two that a base asset belongs to."""
    return hash_text(base) % buckets


def venue_bucket(venue: str, buckets: int) -> int:
    """Bucket of step two that the triangles of a venue belong to."""
    return bucket_of(f"{venue}|", buckets)


def merged_watermark_us(inputs: dict[str, InputPosition], *, bars: bool) -> int:
    """Watermark of one world of step two."""
    return least_watermark_us(
        [i for i in inputs.values() if (event_type_of(i.topic) in BAR_WORLD) == bars]
    )


def least_watermark_us(inputs: Collection[InputPosition]) -> int:
    """Least watermark of those that are active or, with none active, the latest of all."""
    active = [i.watermark_us for i in inputs if i.active]
    if active:
        return min(active)
    return max((i.watermark_us for i in inputs), default=NO_TIME_US)


@dataclass(frozen=True)
class BatchPlan:
    """All that a task needs; sent to workers with the code.

    Attributes
    ----------
    label : str
        Begins the names of files.
    inputs : dict
        Every known input, as the batch before left it.
    state_files : dict
        Chain of the state of each lane or merge bucket.
    live : bool
        True where resumption is decided here; a replay meets it in bronze.
    notes : bool
        True where a replay writes the control events that it meets to its own bronze.
    tables : frozenset of str or None
        Tables to write; None for all.
    date : str or None
        Write rows of this UTC day only; None for all.
    state_lake : str
        Lake that the state is read from, where it is another than is written; else empty.
    ends_us : int or None
        The input is bounded: each ends after its last row, at this time or at the end of its last
        whole minute, the later. None where inputs go on.
    """

    lake: str
    sequence: int
    label: str
    settings: Settings
    ingest_time_us: int
    inputs: dict[str, InputPosition] = field(default_factory=dict)
    state_files: dict[str, tuple[StateFile, ...]] = field(default_factory=dict)
    live: bool = True
    notes: bool = False
    tables: frozenset[str] | None = None
    date: str | None = None
    ends_us: int | None = None
    state_lake: str = ""

    def writes(self, table: str) -> bool:
        """Tell whether a table is to be written."""
        return self.tables is None or table in self.tables

    def takes_day(self, date: str) -> bool:
        """Tell whether rows of a UTC day are to be written."""
        return self.date is None or self.date == date


class Counts(msgspec.Struct):
    """Messages of a batch: every one read is in silver or in quarantine.

    Attributes
    ----------
    of_date : int
        Messages read whose source timestamp lies on the plan's date.
    """

    read: int = 0
    of_date: int = 0
    silver: dict[str, int] = {}
    quarantined: int = 0
    reasons: dict[str, int] = {}
    gold: dict[str, int] = {}

    def add(self, other: Counts) -> None:
        """Add another count to this one."""
        self.read += other.read
        self.of_date += other.of_date
        self.quarantined += other.quarantined
        for mine, theirs in (
            (self.silver, other.silver),
            (self.reasons, other.reasons),
            (self.gold, other.gold),
        ):
            for name, rows in theirs.items():
                mine[name] = mine.get(name, 0) + rows

    @property
    def balanced(self) -> bool:
        """Law 4: read = silver + quarantine."""
        return self.read == sum(self.silver.values()) + self.quarantined


class StepResult(msgspec.Struct, kw_only=True):
    """What a step did with one input or bucket: files that no table has yet."""

    name: str
    files: list[DataFile]
    state_file: DataFile | None
    state_is_whole: bool = True
    counts: Counts


class LaneResult(StepResult, kw_only=True):
    """What step one did with one lane.

    Attributes
    ----------
    positions : list of InputPosition
        Of all its partitions, those too that had nothing.
    met : list of tuple
        Instruments that the lane had no rows of before, of no venue.
    unsettled_us : int
        Time of the latest row that came from another partition than its instrument's home.
    """

    positions: list[InputPosition]
    met: list[str]
    unsettled_us: int


class LaneEvents(msgspec.Struct):
    """What one lane sends to one bucket of step two."""

    name: str
    positions: list[InputPosition]
    events: MergeEvents


class MergeResult(StepResult, kw_only=True):
    """What step two did in one bucket."""
