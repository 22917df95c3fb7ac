"""A deterministic market of several venues: one configuration, always the same bytes."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from marketlake.contracts.events import (
    US_PER_SECOND,
    Bar,
    Book,
    Event,
    EventType,
    Quote,
    Trade,
)
from marketlake.feeds.simulator.config import SimulationConfig
from marketlake.feeds.simulator.events import Batch, Block, ListingStream
from marketlake.feeds.simulator.incidents import Incident
from marketlake.feeds.simulator.placement import incidents_of
from marketlake.feeds.simulator.prices import build_paths
from marketlake.feeds.simulator.venues import listing_weight

BLOCK_EVENTS: Final = 100_000
"""Events that one block holds, about: bounds the memory, and lets a slow reader start soon."""
MINUTE_US: Final = 60 * US_PER_SECOND

TYPE_OF: Final[dict[type[Event], EventType]] = {
    Trade: "trade",
    Quote: "quote",
    Book: "book",
    Bar: "bar",
}


@dataclass(frozen=True, slots=True)
class SimulationStats:
    """What a simulation published.

    ``events`` counts messages with repeats, ``by_type`` the same by type; ``late``,
    ``duplicates`` and ``reordered`` count the faults of delivery, ``lost`` the messages that
    were never published and whose sequence numbers are missing.
    """

    events: int
    by_type: dict[EventType, int]
    late: int
    duplicates: int
    reordered: int
    lost: int


class Simulation:
    """One simulated market; each iteration starts anew and gives the same."""

    def __init__(self, config: SimulationConfig) -> None:
        self.config = config
        placement_seed, _, _ = np.random.SeedSequence(config.seed).spawn(3)
        self.incidents: list[Incident] = incidents_of(config, np.random.default_rng(placement_seed))
        self._stats: SimulationStats | None = None

    @property
    def stats(self) -> SimulationStats:
        """Counts of the whole simulation; generates it once if nobody has read it to its end."""
        if self._stats is None:
            for _ in self.events():
                pass
        if self._stats is None:
            raise RuntimeError("simulation: its events ended without counts")
        return self._stats

    def events(self) -> Iterator[Event]:
        """Yield all events in the order of publication, repeats included."""
        counted: Counter[str] = Counter()
        by_type: Counter[EventType] = Counter()
        waiting: list[Event] = []
        waiting_us = np.empty(0, dtype=np.int64)
        streams = self._streams()
        blocks = self._blocks()
        for block in blocks:
            batches = [batch for stream in streams for batch in stream.block(block)]
            _count(counted, by_type, batches)
            published_us = np.concatenate([waiting_us, *(one.published_us for one in batches)])
            pool = waiting + [event for batch in batches for event in batch.events]
            order = np.argsort(published_us, kind="stable")
            ready = len(order)
            if block is not blocks[-1]:
                ready = int(np.searchsorted(published_us[order], block.end_us))
            for index in order[:ready].tolist():
                yield pool[index]
            waiting = [pool[index] for index in order[ready:].tolist()]
            waiting_us = published_us[order[ready:]]
        self._stats = SimulationStats(
            sum(by_type.values()),
            dict(by_type),
            counted["late"],
            counted["duplicates"],
            counted["reordered"],
            counted["lost"],
        )

    def messages(self) -> Iterator[tuple[EventType, bytes, bytes]]:
        """Yield type, key and JSON value of all events, ready to be published."""
        encode = msgspec.json.Encoder().encode
        names = (*self.config.instruments, *self.config.perpetuals)
        keys = {name: name.encode() for name in names}
        for event in self.events():
            yield TYPE_OF[type(event)], keys[event.instrument], encode(event)

    def _streams(self) -> list[ListingStream]:
        config = self.config
        spot = config.listings()
        listings = (*spot, *config.perpetual_listings())
        # Not kept from the start: a seed that is spawned from again gives other children.
        _, paths_seed, listings_seed = np.random.SeedSequence(config.seed).spawn(3)
        paths = build_paths(config, self.incidents, np.random.default_rng(paths_seed))
        seeds = listings_seed.spawn(len(listings))
        weights = np.array([listing_weight(one.venue, one.instrument) for one in listings])
        # Quotes are spread more evenly than trades: a thin market is quoted, if not traded.
        # Perpetuals come on top: what spot has does not hang on them.
        trade_shares = weights / weights[: len(spot)].sum()
        quote_shares = np.sqrt(weights) / np.sqrt(weights[: len(spot)]).sum()
        shares = zip(trade_shares.tolist(), quote_shares.tolist(), strict=True)
        return [
            ListingStream(listing, config, paths, self.incidents, seed, share)
            for listing, seed, share in zip(listings, seeds, shares, strict=True)
        ]

    def _blocks(self) -> list[Block]:
        """Cut the time at whole minutes into blocks of about ``BLOCK_EVENTS``."""
        config = self.config
        rate = config.trades_per_second + config.quotes_per_second + config.books_per_second
        length_us = max(1, round(BLOCK_EVENTS / max(rate, 1.0) / 60.0)) * MINUTE_US
        first_us = length_us - config.start_time_us % MINUTE_US
        end_us = config.duration_s * US_PER_SECOND
        edges = [0, *range(first_us, end_us, length_us), end_us]
        return [Block(a, b) for a, b in itertools.pairwise(edges)]


def simulate(config: SimulationConfig) -> Simulation:
    """Set a market up; its events are generated as they are read.

    Raises
    ------
    ValueError
        If an incident that the configuration sets does not fit its market.
    """
    return Simulation(config)


def _count(counted: Counter[str], by_type: Counter[EventType], batches: list[Batch]) -> None:
    for batch in batches:
        if batch.events:
            by_type[TYPE_OF[type(batch.events[0])]] += len(batch.events)
        counted["late"] += batch.late
        counted["duplicates"] += batch.duplicates
        counted["reordered"] += batch.reordered
        counted["lost"] += batch.lost
