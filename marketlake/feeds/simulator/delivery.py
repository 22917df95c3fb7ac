"""How messages get from a venue to the topic: latency, lateness, repeats, overtaking, gaps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from marketlake.contracts.events import US_PER_SECOND
from marketlake.feeds.simulator.config import SimulationConfig
from marketlake.feeds.simulator.prices import IntArray
from marketlake.feeds.simulator.venues import VenueProfile

BoolArray = npt.NDArray[np.bool_]

LATE_MIN_S: Final = 1.0
DUPLICATE_DELAY_MAX_US: Final = 2_000_000
GAP_RUN_MEAN: Final = 4.0
"""Messages that one gap swallows, on average."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """Delivery of a batch: when each message was received and published, and the repeats.

    ``copy_of`` indexes the messages that are published again at ``copy_published_us``.
    """

    received_us: IntArray
    published_us: IntArray
    copy_of: IntArray
    copy_published_us: IntArray
    late: int
    reordered: int


class Delivery:
    """One connection: what is sent on it arrives in order, unless a fault is drawn."""

    def __init__(
        self, config: SimulationConfig, profile: VenueProfile, rng: np.random.Generator
    ) -> None:
        self._config = config
        self._profile = profile
        self._rng = rng
        self._last_arrival_us = 0

    def lost(self, count: int) -> BoolArray:
        """Draw which of the messages are lost on the way, in runs."""
        lost = np.zeros(count, dtype=np.bool_)
        starts = np.flatnonzero(self._rng.random(count) < self._config.gap_rate / GAP_RUN_MEAN)
        lengths = self._rng.geometric(1.0 / GAP_RUN_MEAN, len(starts))
        for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
            lost[start : start + length] = True
        return lost

    def deliver(self, sent_us: IntArray) -> Delivered:
        """Deliver messages sent at ascending times (microseconds after the start)."""
        rng, config, count = self._rng, self._config, len(sent_us)
        median_us = math.log(self._profile.latency_ms * 1000.0)
        latency = rng.lognormal(median_us, self._profile.latency_sigma, count)
        arrival = np.maximum.accumulate(
            np.concatenate(([self._last_arrival_us], sent_us + latency.astype(np.int64)))
        )
        self._last_arrival_us = int(arrival[-1])
        received = arrival[1:]
        published = received.copy()
        # A message that its successor overtakes is published just behind it. Two such in a
        # row would undo each other.
        overtaken = rng.random(count) < config.reorder_rate
        overtaken[1:] &= ~overtaken[:-1]
        overtaken[-1:] = False
        behind = np.flatnonzero(overtaken)
        published[behind] = received[behind + 1] + 1
        in_swap = overtaken.copy()
        in_swap[1:] |= overtaken[:-1]
        late = np.flatnonzero((rng.random(count) < config.late_rate) & ~in_swap)
        delay_us = rng.uniform(LATE_MIN_S, config.late_max_s, len(late)) * US_PER_SECOND
        received[late] += delay_us.astype(np.int64)
        published[late] = received[late]
        copy_of = np.flatnonzero(rng.random(count) < config.duplicate_rate)
        repeat_us = rng.integers(1, DUPLICATE_DELAY_MAX_US, len(copy_of))
        return Delivered(
            received,
            published,
            copy_of,
            published[copy_of] + repeat_us,
            len(late),
            len(behind),
        )
