"""Columns that several tables share."""

from __future__ import annotations

from marketlake.contracts.tables.table import column
from marketlake.contracts.types import DATE, DOUBLE, INT, LONG, STRING, TIMESTAMP

VENUE = column("venue", STRING, "venue, lower case")
INSTRUMENT = column("instrument", STRING, "BASE-QUOTE, or BASE-QUOTE-PERP for perpetuals")
EVENT_TIME = column("event_time", TIMESTAMP, "time at the venue")
RECEIVED = column("received_time", TIMESTAMP, "time the feed received it", null=True)
SEQUENCE = column("sequence", LONG, "the venue's sequence number", null=True)
MARKET = column("market", STRING, "spot, perp, equity or fx; unknown where nothing tells")
EVENT_DATE = column("date", DATE, "UTC date of the event")
SOURCE_DATE = column("date", DATE, "UTC date of the source timestamp")
INTERVAL = column("interval", STRING, "length of the bar: 1s, 1m, …")
ORIGIN = column("origin", STRING, "trades: built here; venue: as published")
OPEN_TIME = column("open_time", TIMESTAMP, "start of the bar, inclusive")
COSTS = column(
    "costs_bps",
    DOUBLE,
    "slippage allowance, transfer and withdrawal; null if indicative",
    null=True,
)
DURATION = column("duration_ms", DOUBLE, "since it opened; null if indicative", null=True)
PEAK = column("peak_net_bps", DOUBLE, "largest net so far; null if indicative", null=True)
POSITION = (
    column("source", STRING, "kafka, kinesis, file; marketlake/… for a control event"),
    column("topic", STRING, "topic or stream"),
    column("partition", INT, "partition or shard index"),
    column(
        "offset", LONG, "position in the partition; of a control event, the next one to be read"
    ),
)

BAR_KEY = ("venue", "instrument", "interval", "origin", "open_time")
