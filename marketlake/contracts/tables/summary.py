"""Tables of the daily job."""

from __future__ import annotations

from typing import Final

from marketlake.contracts.tables.columns import EVENT_DATE, INSTRUMENT, MARKET, VENUE
from marketlake.contracts.tables.table import Table, column
from marketlake.contracts.types import DOUBLE, LONG, STRING

GOLD_MARKET_SUMMARY: Final = Table(
    "gold",
    "market_summary",
    (
        VENUE,
        INSTRUMENT,
        column("open", DOUBLE, "first price of the day"),
        column("high", DOUBLE, "highest price"),
        column("low", DOUBLE, "lowest price"),
        column("close", DOUBLE, "last price of the day"),
        column("volume", DOUBLE, "in the base currency"),
        column("vwap", DOUBLE, "null without volume or without quote volume", null=True),
        column("log_return", DOUBLE, "ln(close / open)"),
        column(
            "realised_volatility", DOUBLE, "root of the sum of squared 1m log returns", null=True
        ),
        column("trade_count", LONG, "trades of the day", null=True),
        column("anomaly_count", LONG, "anomalies that began that day"),
        column("best_net_bps", DOUBLE, "best net spread seen with this instrument", null=True),
        column("poc_price", DOUBLE, "middle of the 10 bps of price with most volume", null=True),
        column(
            "value_area_low", DOUBLE, "lower edge of the 70 % of the volume around it", null=True
        ),
        column("value_area_high", DOUBLE, "upper edge of it", null=True),
        column("busiest_hour", LONG, "hour (UTC) with most volume, the first on a tie", null=True),
        column("busiest_hour_share", DOUBLE, "its part of the day's volume", null=True),
        column(
            "absent_minutes", LONG, "minutes without volume between the first and the last with"
        ),
        column("longest_gap_minutes", LONG, "most of them in a row"),
        column("lateness_p99_ms", DOUBLE, "received less event time of trades, 99 %", null=True),
        column("duplicates", LONG, "messages that were there already"),
        column("too_late", LONG, "messages behind the watermark"),
        column("refused", LONG, "messages of the day in quarantine, for whatever reason"),
        column("stale_s", DOUBLE, "seconds that its feeds were silent while others spoke"),
        column(
            "effective_spread_bps",
            DOUBLE,
            "twice the way of a trade's price from the middle before it; mean by quantity",
            null=True,
        ),
        MARKET,
        EVENT_DATE,
    ),
    ("venue", "instrument", "date"),
    "One row a venue, instrument and day.",
)

GOLD_MARKET_LINKS: Final = Table(
    "gold",
    "market_links",
    (
        VENUE,
        column("other_venue", STRING, "after the first in the alphabet"),
        INSTRUMENT,
        column("minutes", LONG, "minutes in which both have a return"),
        column("correlation", DOUBLE, "of 1m log returns; null below 30 minutes", null=True),
        column("lead_minutes", LONG, "by how much venue leads other_venue, -5 to 5", null=True),
        column("lead_correlation", DOUBLE, "correlation at that lead", null=True),
        MARKET,
        EVENT_DATE,
    ),
    ("venue", "other_venue", "instrument", "date"),
    "One row a pair of venues, instrument and day: who moves with whom, and who goes first.",
)

SUMMARY_TABLES: Final = (GOLD_MARKET_SUMMARY, GOLD_MARKET_LINKS)
"""Tables of the daily job."""
