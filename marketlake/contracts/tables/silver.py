"""Tables of the silver layer: events clean and unique, and those that were refused."""

from __future__ import annotations

from typing import Final

from marketlake.contracts.tables.columns import (
    EVENT_DATE,
    EVENT_TIME,
    INSTRUMENT,
    INTERVAL,
    MARKET,
    POSITION,
    RECEIVED,
    SEQUENCE,
    SOURCE_DATE,
    VENUE,
)
from marketlake.contracts.tables.table import Table, column
from marketlake.contracts.types import (
    BINARY,
    DOUBLE,
    LEVELS,
    LONG,
    STRING,
    STRINGS,
    TIMESTAMP,
)

SILVER_TRADES: Final = Table(
    "silver",
    "trades",
    (
        VENUE,
        INSTRUMENT,
        EVENT_TIME,
        column("trade_id", STRING, "the venue's id, or hash of the content where it has none"),
        column("price", DOUBLE, "in the quote currency"),
        column("quantity", DOUBLE, "in the base currency or contracts"),
        column("side", STRING, "the aggressor: buy or sell", null=True),
        SEQUENCE,
        RECEIVED,
        MARKET,
        EVENT_DATE,
    ),
    ("venue", "instrument", "event_time", "trade_id"),
    "Trades, clean and unique.",
)

SILVER_QUOTES: Final = Table(
    "silver",
    "quotes",
    (
        VENUE,
        INSTRUMENT,
        EVENT_TIME,
        column("sequence", LONG, "the venue's, or hash of the content where it has none"),
        column("bid_price", DOUBLE, "best bid"),
        column("bid_quantity", DOUBLE, "size at the best bid"),
        column("ask_price", DOUBLE, "best ask"),
        column("ask_quantity", DOUBLE, "size at the best ask"),
        RECEIVED,
        MARKET,
        EVENT_DATE,
    ),
    ("venue", "instrument", "event_time", "sequence"),
    "Best bids and asks, clean and unique.",
)

SILVER_BOOKS: Final = Table(
    "silver",
    "books",
    (
        VENUE,
        INSTRUMENT,
        EVENT_TIME,
        column("sequence", LONG, "the venue's, or hash of the content where it has none"),
        column("bids", LEVELS, "highest price first"),
        column("asks", LEVELS, "lowest price first"),
        RECEIVED,
        MARKET,
        EVENT_DATE,
    ),
    ("venue", "instrument", "event_time", "sequence"),
    "Top of the book, up to 20 levels a side.",
)

SILVER_BARS: Final = Table(
    "silver",
    "bars",
    (
        VENUE,
        INSTRUMENT,
        INTERVAL,
        column("event_time", TIMESTAMP, "open time of the bar"),
        column("open", DOUBLE, "first price"),
        column("high", DOUBLE, "highest price"),
        column("low", DOUBLE, "lowest price"),
        column("close", DOUBLE, "last price"),
        column("volume", DOUBLE, "in the base currency"),
        column("trade_count", LONG, "trades in the bar", null=True),
        SEQUENCE,
        RECEIVED,
        MARKET,
        EVENT_DATE,
    ),
    ("venue", "instrument", "interval", "event_time"),
    "Bars as venues published them.",
)

SILVER_QUARANTINE: Final = Table(
    "silver",
    "quarantine",
    (
        *POSITION,
        column("reasons", STRINGS, "why, in the order they were found"),
        column("value", BINARY, "message as it came", null=True),
        column("type", STRING, "event type where known", null=True),
        column("venue", STRING, "where known", null=True),
        column("instrument", STRING, "where known", null=True),
        column("source_timestamp", TIMESTAMP, "the source's own timestamp"),
        SOURCE_DATE,
    ),
    ("source", "topic", "partition", "offset"),
    "Every message that is not in silver, with its reasons and its position.",
    ("date",),
)
