"""Wire events: what a producer puts on a topic and what the pipeline reads from it.

JSON, one event a message, tagged by the field ``type``, keyed by the instrument without the
venue, so that all venues of an instrument share a partition. Times are integer microseconds
since the epoch, UTC. Fields that are not listed here stay in bronze and are ignored.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

Side = Literal["buy", "sell"]
EventType = Literal["trade", "quote", "book", "bar"]

BOOK_LEVELS_MAX: Final = 20
"""Levels a side that a ``book`` event carries at most: the full top of the book, best first."""

US_PER_SECOND: Final = 1_000_000

INTERVAL_US: Final[dict[str, int]] = {
    "1s": US_PER_SECOND,
    "1m": 60 * US_PER_SECOND,
    "5m": 300 * US_PER_SECOND,
    "15m": 900 * US_PER_SECOND,
    "1h": 3_600 * US_PER_SECOND,
    "4h": 14_400 * US_PER_SECOND,
    "1d": 86_400 * US_PER_SECOND,
}
"""Length of each bar interval that the wire and the tables know, in microseconds."""

TOPICS: Final[dict[EventType, str]] = {
    "trade": "trades",
    "quote": "quotes",
    "book": "books",
    "bar": "bars",
}
"""Topic (Kafka) or stream (Kinesis) of each event type, behind the prefix."""

DEFAULT_TOPIC_PREFIX: Final = "market"


def topic_of(event_type: EventType, prefix: str = DEFAULT_TOPIC_PREFIX) -> str:
    """Name the topic that carries events of one type: ``market.trades`` for ``trade``."""
    return f"{prefix}.{TOPICS[event_type]}"


class Trade(msgspec.Struct, tag_field="type", tag="trade", omit_defaults=True, frozen=True):
    """One execution as the venue printed it."""

    venue: str
    instrument: str
    event_time_us: int
    price: float
    quantity: float
    trade_id: str | None = None
    side: Side | None = None
    """The aggressor's side."""
    sequence: int | None = None
    received_time_us: int | None = None


class Quote(msgspec.Struct, tag_field="type", tag="quote", omit_defaults=True, frozen=True):
    """The best bid and the best ask, with their sizes."""

    venue: str
    instrument: str
    event_time_us: int
    bid_price: float
    bid_quantity: float
    ask_price: float
    ask_quantity: float
    sequence: int | None = None
    received_time_us: int | None = None


class Book(msgspec.Struct, tag_field="type", tag="book", omit_defaults=True, frozen=True):
    """The full top of the book, at most ``BOOK_LEVELS_MAX`` levels a side, best first.

    A longer side is refused (``too_many_levels``).
    """

    venue: str
    instrument: str
    event_time_us: int
    bids: list[tuple[float, float]]
    """``(price, quantity)``, highest price first."""
    asks: list[tuple[float, float]]
    """``(price, quantity)``, lowest price first."""
    sequence: int | None = None
    received_time_us: int | None = None


class Bar(msgspec.Struct, tag_field="type", tag="bar", omit_defaults=True, frozen=True):
    """A bar as the venue published it; ``event_time_us`` is its open time."""

    venue: str
    instrument: str
    event_time_us: int
    interval: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    trade_count: int | None = None
    sequence: int | None = None
    received_time_us: int | None = None


Event = Trade | Quote | Book | Bar


def encode(event: Event) -> bytes:
    """Encode an event as the JSON bytes that go on the wire."""
    return msgspec.json.encode(event)
