"""Tables of the gold layer a venue and instrument: bars and what is computed on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from marketlake.contracts.tables.columns import (
    BAR_KEY,
    EVENT_DATE,
    INSTRUMENT,
    INTERVAL,
    MARKET,
    OPEN_TIME,
    ORIGIN,
    VENUE,
)
from marketlake.contracts.tables.table import Table, column
from marketlake.contracts.types import DOUBLE, LONG, STRING, TIMESTAMP

GOLD_BARS: Final = Table(
    "gold",
    "bars",
    (
        VENUE,
        INSTRUMENT,
        INTERVAL,
        ORIGIN,
        OPEN_TIME,
        column("open", DOUBLE, "first price"),
        column("high", DOUBLE, "highest price"),
        column("low", DOUBLE, "lowest price"),
        column("close", DOUBLE, "last price"),
        column("volume", DOUBLE, "in the base currency"),
        column(
            "quote_volume", DOUBLE, "in the quote currency; null where not published", null=True
        ),
        column("vwap", DOUBLE, "quote_volume / volume; null without volume", null=True),
        column("trade_count", LONG, "trades in the bar", null=True),
        MARKET,
        EVENT_DATE,
    ),
    BAR_KEY,
    "Closed bars, built here from trades or as published.",
)


INDICATORS_PATH: Final = "gold/indicators"
"""Its columns are a setting's; see :func:`indicators_table`."""


def indicators_table(outputs: Mapping[str, str]) -> Table:
    """Derive ``gold/indicators`` from the outputs of the indicator registry.

    Parameters
    ----------
    outputs : mapping of str to str
        Column name to documentation, in the order of the registry.
    """
    return Table(
        "gold",
        "indicators",
        (
            VENUE,
            INSTRUMENT,
            INTERVAL,
            ORIGIN,
            OPEN_TIME,
            column("close", DOUBLE, "close of the bar"),
            *(column(name, DOUBLE, doc, null=True) for name, doc in outputs.items()),
            MARKET,
            EVENT_DATE,
        ),
        BAR_KEY,
        "Indicators on closed bars; null while warming up; a gap does not reset one.",
    )


GOLD_MICROSTRUCTURE: Final = Table(
    "gold",
    "microstructure",
    (
        VENUE,
        INSTRUMENT,
        INTERVAL,
        column("origin", STRING, "what the row is made of: trades, quotes or books"),
        OPEN_TIME,
        column("rows", LONG, "trades, quotes or books that told something"),
        column("trade_sign", DOUBLE, "mean of 1 for a buyer's trade, -1 a seller's", null=True),
        column("trade_run", DOUBLE, "mean of the trades of one sign in a row so far", null=True),
        column("kyle_lambda_100", DOUBLE, "bps a unit bought, over 100 trades; mean", null=True),
        column("vpin_20_50", DOUBLE, "one-sidedness of the volume, 0 to 1; mean", null=True),
        column("quoted_spread_bps", DOUBLE, "ask less bid, of the middle; mean", null=True),
        column("book_imbalance", DOUBLE, "bid less ask size of both, -1 to 1; mean", null=True),
        column("microprice", DOUBLE, "prices weighted by the other side's size; mean", null=True),
        column("order_flow_imbalance", DOUBLE, "size that bids gained less asks; sum", null=True),
        MARKET,
        EVENT_DATE,
    ),
    BAR_KEY,
    "Order flow and liquidity a bar and feed: columns of another feed, or warming up, are null.",
)

GOLD_ANOMALIES: Final = Table(
    "gold",
    "anomalies",
    (
        VENUE,
        INSTRUMENT,
        column(
            "metric",
            STRING,
            "return, excursion, volume (ln), peg, quoted_spread_bps, move (ln) or silence_s",
        ),
        column("detector", STRING, "detector, and the series it watches"),
        column("event_time", TIMESTAMP, "start of the run of exceedances"),
        column("interval", STRING, "length of the bars: 1s, 1m, …; tick where it is not of bars"),
        column("end_time", TIMESTAMP, "end of the run, exclusive"),
        column("value", DOUBLE, "value at the peak of the run"),
        column("expected", DOUBLE, "what the detector expected there"),
        column("scale", DOUBLE, "the detector's scale there"),
        column("score", DOUBLE, "(value - expected) / scale at the peak"),
        column("severity", STRING, "low, medium or high"),
        column(
            "kind",
            STRING,
            "spike_up, spike_down; of several venues: bad_print, venue_move, market_move, "
            "stale_feed",
        ),
        column("evidence", STRING, "JSON: bars in the run, origin, what the other venues did"),
        MARKET,
        EVENT_DATE,
    ),
    ("venue", "instrument", "metric", "detector", "event_time"),
    "One row a run of exceedances.",
)
