"""What is published: a simulated market with faults of delivery, and junk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle, islice
from typing import Final

from marketlake.contracts.events import EventType
from marketlake.feeds.publish import Publisher
from marketlake.feeds.simulator.market import simulate
from marketlake.feeds.simulator.wire_corruption import fuzz_messages
from tests.streaming.chaos.errors import CampaignError
from tests.streaming.lakes import faulty_market

FAULT_RATE: Final = 0.05
"""Part of the messages that are late, are repeated, or are overtaken; of each kind."""
_LATE_MAX_S: Final = 9.0
"""Less than the allowed lateness of quotes: late messages belong to the result."""
_TYPES: Final[tuple[EventType, ...]] = ("trade", "quote", "book", "bar")


class Market:
    """A market published piece by piece."""

    def __init__(self, publisher: Publisher, seed: int, duration_s: int) -> None:
        self.published = 0
        self._publisher = publisher
        self._messages = _messages(seed, duration_s)

    def publish(self, count: int) -> None:
        """Publish the next messages."""
        sent = 0
        for event_type, key, value in islice(self._messages, count):
            self._publisher.publish(event_type, key, value, 0)
            sent += 1
        self._publisher.flush()
        self.published += sent
        if sent < count:
            raise CampaignError(f"the market ended after {self.published} messages; kill less")


def _messages(seed: int, duration_s: int) -> Iterator[tuple[EventType, bytes, bytes]]:
    junk = cycle(fuzz_messages(seed, 400))
    market = replace(
        faulty_market(seed, duration_s),
        late_rate=FAULT_RATE,
        late_max_s=_LATE_MAX_S,
        duplicate_rate=FAULT_RATE,
        reorder_rate=FAULT_RATE,
    )
    for n, message in enumerate(simulate(market).messages()):
        yield message
        if n % 100 == 99:
            yield _TYPES[n // 100 % 4], b"junk", next(junk)
