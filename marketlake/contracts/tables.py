"""Every table of the lake: columns, key, partitioning; each stands here and nowhere else.

Spark, Arrow and DDL forms, the documentation page and the row factories of tests are derived.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import pyarrow as pa

from marketlake.contracts.types import (
    BINARY,
    BOOLEAN,
    DATE,
    DOUBLE,
    INT,
    LEVELS,
    LONG,
    STRING,
    STRINGS,
    TIMESTAMP,
    ColumnType,
)


@dataclass(frozen=True)
class Column:
    """A column: its name, its type, whether it may be null, and what it means."""

    name: str
    type: ColumnType
    doc: str
    nullable: bool = True


@dataclass(frozen=True)
class Table:
    """A table of the lake at ``<lake>/<layer>/<name>``.

    Attributes
    ----------
    key : tuple of str
        Columns that name a row; no two rows share their values.
    partition_by : tuple of str
        Partition columns of the Delta table, which stand in the path and not in the files.
    """

    layer: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    doc: str
    partition_by: tuple[str, ...] = ("market", "date")

    @property
    def path(self) -> str:
        """Path of the table relative to the lake, ``layer/name``."""
        return f"{self.layer}/{self.name}"

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """Arrow schema of the whole table, partition columns included."""
        return pa.schema([pa.field(c.name, c.type.arrow, c.nullable) for c in self.columns])

    @cached_property
    def file_schema(self) -> pa.Schema:
        """Arrow schema of a data file: the table's without its partition columns."""
        return pa.schema(f for f in self.arrow_schema if f.name not in self.partition_by)

    @property
    def ddl(self) -> str:
        """Column list in Spark SQL."""
        return ", ".join(
            f"`{c.name}` {c.type.ddl}" + ("" if c.nullable else " NOT NULL") for c in self.columns
        )

    def row(self, **values: Any) -> dict[str, Any]:
        """Make a row for a test that names only the columns the test is about.

        Raises
        ------
        KeyError
            If a name is no column of this table.
        """
        unknown = values.keys() - {c.name for c in self.columns}
        if unknown:
            raise KeyError(f"{self.path} has no column {sorted(unknown)}")
        return {
            c.name: values.get(c.name, None if c.nullable else c.type.example) for c in self.columns
        }


def _c(name: str, type_: ColumnType, doc: str, *, null: bool = False) -> Column:
    return Column(name, type_, doc, null)


_VENUE = _c("venue", STRING, "venue, lower case")
_INSTRUMENT = _c("instrument", STRING, "BASE-QUOTE, or BASE-QUOTE-PERP for perpetuals")
_EVENT_TIME = _c("event_time", TIMESTAMP, "time at the venue")
_RECEIVED = _c("received_time", TIMESTAMP, "time the feed received it", null=True)
_SEQUENCE = _c("sequence", LONG, "the venue's sequence number", null=True)
_MARKET = _c("market", STRING, "spot, perp, equity or fx; unknown where nothing tells")
_DATE = _c("date", DATE, "UTC date of the event")
_SOURCE_DATE = _c("date", DATE, "UTC date of the source timestamp")
_INTERVAL = _c("interval", STRING, "length of the bar: 1s, 1m, …")
_ORIGIN = _c("origin", STRING, "trades: built here; venue: as published")
_OPEN_TIME = _c("open_time", TIMESTAMP, "start of the bar, inclusive")
_COSTS = _c(
    "costs_bps",
    DOUBLE,
    "slippage allowance, transfer and withdrawal; null if indicative",
    null=True,
)
_DURATION = _c("duration_ms", DOUBLE, "since it opened; null if indicative", null=True)
_PEAK = _c("peak_net_bps", DOUBLE, "largest net so far; null if indicative", null=True)
_POSITION = (
    _c("source", STRING, "kafka, kinesis, file; marketlake/… for a control event"),
    _c("topic", STRING, "topic or stream"),
    _c("partition", INT, "partition or shard index"),
    _c("offset", LONG, "position in the partition; of a control event, the next one to be read"),
)

BRONZE_EVENTS: Final = Table(
    "bronze",
    "events",
    (
        *_POSITION,
        _c("key", BINARY, "message key as it came", null=True),
        _c("value", BINARY, "message as it came", null=True),
        _c("source_timestamp", TIMESTAMP, "the source's own timestamp"),
        _c("ingest_time", TIMESTAMP, "start of the batch that wrote the row"),
        _SOURCE_DATE,
    ),
    ("source", "topic", "partition", "offset"),
    "Every message as it came, and every control event: replayable.",
    ("date",),
)

SILVER_TRADES: Final = Table(
    "silver",
    "trades",
    (
        _VENUE,
        _INSTRUMENT,
        _EVENT_TIME,
        _c("trade_id", STRING, "the venue's id, or hash of the content where it has none"),
        _c("price", DOUBLE, "in the quote currency"),
        _c("quantity", DOUBLE, "in the base currency or contracts"),
        _c("side", STRING, "the aggressor: buy or sell", null=True),
        _SEQUENCE,
        _RECEIVED,
        _MARKET,
        _DATE,
    ),
    ("venue", "instrument", "event_time", "trade_id"),
    "Trades, clean and unique.",
)

SILVER_QUOTES: Final = Table(
    "silver",
    "quotes",
    (
        _VENUE,
        _INSTRUMENT,
        _EVENT_TIME,
        _c("sequence", LONG, "the venue's, or hash of the content where it has none"),
        _c("bid_price", DOUBLE, "best bid"),
        _c("bid_quantity", DOUBLE, "size at the best bid"),
        _c("ask_price", DOUBLE, "best ask"),
        _c("ask_quantity", DOUBLE, "size at the best ask"),
        _RECEIVED,
        _MARKET,
        _DATE,
    ),
    ("venue", "instrument", "event_time", "sequence"),
    "Best bids and asks, clean and unique.",
)

SILVER_BOOKS: Final = Table(
    "silver",
    "books",
    (
        _VENUE,
        _INSTRUMENT,
        _EVENT_TIME,
        _c("sequence", LONG, "the venue's, or hash of the content where it has none"),
        _c("bids", LEVELS, "highest price first"),
        _c("asks", LEVELS, "lowest price first"),
        _RECEIVED,
        _MARKET,
        _DATE,
    ),
    ("venue", "instrument", "event_time", "sequence"),
    "Top of the book, up to 20 levels a side.",
)

SILVER_BARS: Final = Table(
    "silver",
    "bars",
    (
        _VENUE,
        _INSTRUMENT,
        _INTERVAL,
        _c("event_time", TIMESTAMP, "open time of the bar"),
        _c("open", DOUBLE, "first price"),
        _c("high", DOUBLE, "highest price"),
        _c("low", DOUBLE, "lowest price"),
        _c("close", DOUBLE, "last price"),
        _c("volume", DOUBLE, "in the base currency"),
        _c("trade_count", LONG, "trades in the bar", null=True),
        _SEQUENCE,
        _RECEIVED,
        _MARKET,
        _DATE,
    ),
    ("venue", "instrument", "interval", "event_time"),
    "Bars as venues published them.",
)

SILVER_QUARANTINE: Final = Table(
    "silver",
    "quarantine",
    (
        *_POSITION,
        _c("reasons", STRINGS, "why, in the order they were found"),
        _c("value", BINARY, "message as it came", null=True),
        _c("type", STRING, "event type where known", null=True),
        _c("venue", STRING, "where known", null=True),
        _c("instrument", STRING, "where known", null=True),
        _c("source_timestamp", TIMESTAMP, "the source's own timestamp"),
        _SOURCE_DATE,
    ),
    ("source", "topic", "partition", "offset"),
    "Every message that is not in silver, with its reasons and its position.",
    ("date",),
)

_BAR_KEY = ("venue", "instrument", "interval", "origin", "open_time")

GOLD_BARS: Final = Table(
    "gold",
    "bars",
    (
        _VENUE,
        _INSTRUMENT,
        _INTERVAL,
        _ORIGIN,
        _OPEN_TIME,
        _c("open", DOUBLE, "first price"),
        _c("high", DOUBLE, "highest price"),
        _c("low", DOUBLE, "lowest price"),
        _c("close", DOUBLE, "last price"),
        _c("volume", DOUBLE, "in the base currency"),
        _c("quote_volume", DOUBLE, "in the quote currency; null where not published", null=True),
        _c("vwap", DOUBLE, "quote_volume / volume; null without volume", null=True),
        _c("trade_count", LONG, "trades in the bar", null=True),
        _MARKET,
        _DATE,
    ),
    _BAR_KEY,
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
            _VENUE,
            _INSTRUMENT,
            _INTERVAL,
            _ORIGIN,
            _OPEN_TIME,
            _c("close", DOUBLE, "close of the bar"),
            *(_c(name, DOUBLE, doc, null=True) for name, doc in outputs.items()),
            _MARKET,
            _DATE,
        ),
        _BAR_KEY,
        "Indicators on closed bars; null while warming up; a gap does not reset one.",
    )


GOLD_ANOMALIES: Final = Table(
    "gold",
    "anomalies",
    (
        _VENUE,
        _INSTRUMENT,
        _c(
            "metric",
            STRING,
            "return, excursion, volume (ln), peg, quoted_spread_bps, move (ln) or silence_s",
        ),
        _c("detector", STRING, "detector, and the series it watches"),
        _c("event_time", TIMESTAMP, "start of the run of exceedances"),
        _c("interval", STRING, "length of the bars: 1s, 1m, …; tick where it is not of bars"),
        _c("end_time", TIMESTAMP, "end of the run, exclusive"),
        _c("value", DOUBLE, "value at the peak of the run"),
        _c("expected", DOUBLE, "what the detector expected there"),
        _c("scale", DOUBLE, "the detector's scale there"),
        _c("score", DOUBLE, "(value - expected) / scale at the peak"),
        _c("severity", STRING, "low, medium or high"),
        _c(
            "kind",
            STRING,
            "spike_up, spike_down; of several venues: bad_print, venue_move, market_move, "
            "stale_feed",
        ),
        _c("evidence", STRING, "JSON: bars in the run, origin, what the other venues did"),
        _MARKET,
        _DATE,
    ),
    ("venue", "instrument", "metric", "detector", "event_time"),
    "One row a run of exceedances.",
)

GOLD_SPREADS: Final = Table(
    "gold",
    "spreads",
    (
        _c("opportunity_id", STRING, "names one opportunity, or one study series"),
        _EVENT_TIME,
        _c("status", STRING, "open, update or close"),
        _c("base", STRING, "base asset"),
        _c("buy_venue", STRING, "where to buy"),
        _c("buy_instrument", STRING, "what to buy"),
        _c("buy_price", DOUBLE, "in the buy instrument's quote currency"),
        _c("sell_venue", STRING, "where to sell"),
        _c("sell_instrument", STRING, "what to sell"),
        _c("sell_price", DOUBLE, "in the sell instrument's quote currency"),
        _c(
            "quantity",
            DOUBLE,
            "base units up to which each further one pays, through all books; prices and rate are "
            "averages over it; null if indicative",
            null=True,
        ),
        _c("notional", DOUBLE, "quantity x buy price; null if indicative", null=True),
        _c("conversion_rate", DOUBLE, "buy quote currency for one of the sell quote currency"),
        _c("gross_bps", DOUBLE, "sell price converted over buy price, less one"),
        _c("fees_bps", DOUBLE, "both taker fees and the conversion's"),
        _c("net_bps", DOUBLE, "gross less fees and costs"),
        _c("buy_age_ms", DOUBLE, "age of the buy price"),
        _c("sell_age_ms", DOUBLE, "age of the sell price"),
        _c("price_basis", STRING, "executable: quotes, books; indicative: bars, for study only"),
        _COSTS,
        _DURATION,
        _PEAK,
        _c("capacity", DOUBLE, "largest quantity so far; null if indicative", null=True),
        _c("capacity_notional", DOUBLE, "notional of the capacity; null if indicative", null=True),
        _MARKET,
        _DATE,
    ),
    ("opportunity_id", "event_time"),
    "Cross-venue spreads net of fees and costs, quote currencies converted.",
)

GOLD_TRIANGLES: Final = Table(
    "gold",
    "triangles",
    (
        _c("opportunity_id", STRING, "names one opportunity, or one study series"),
        _EVENT_TIME,
        _c("status", STRING, "open, update or close"),
        _VENUE,
        _c("cycle", STRING, "assets in the order in which they are held: USDT>BTC>ETH>USDT"),
        _c(
            "quantity",
            DOUBLE,
            "units of the first asset up to which each further one pays, through all books; null "
            "if indicative",
            null=True,
        ),
        _c("gross_bps", DOUBLE, "what comes back over what was put in, less one"),
        _c("fees_bps", DOUBLE, "taker fees of all legs"),
        _c("net_bps", DOUBLE, "gross less fees and costs"),
        _c("oldest_age_ms", DOUBLE, "age of the oldest price"),
        _c("price_basis", STRING, "executable: quotes, books; indicative: bars, for study only"),
        _COSTS,
        _DURATION,
        _PEAK,
        _c("capacity", DOUBLE, "largest quantity so far; null if indicative", null=True),
        _MARKET,
        _DATE,
    ),
    ("opportunity_id", "event_time"),
    "Ways round one venue, of three legs or more, net of fees and costs.",
)

GOLD_BASIS: Final = Table(
    "gold",
    "basis",
    (
        _VENUE,
        _c("base", STRING, "base asset"),
        _c("spot_instrument", STRING, "spot instrument"),
        _c("perp_instrument", STRING, "perpetual of the same venue"),
        _c("event_time", TIMESTAMP, "end of the interval; nothing later is known to the row"),
        _c("spot_price", DOUBLE, "mid price for one base, in the spot's quote currency"),
        _c("perp_price", DOUBLE, "mid price for one base, in the perpetual's quote currency"),
        _c("basis_bps", DOUBLE, "perpetual's price converted over the spot's, less one"),
        _c(
            "annualised_carry",
            DOUBLE,
            "funding of a year at this basis, a fraction, longs to shorts: 8760 / hours x (basis + "
            "clamp(interest - basis, -damper, damper)); null where the formula is not known",
            null=True,
        ),
        _c("conversion_rate", DOUBLE, "spot's quote currency for one of the perpetual's"),
        _c("spot_quantity", DOUBLE, "size, in base, at the best price of the side a carry takes"),
        _c("perp_quantity", DOUBLE, "contracts turned into base, likewise"),
        _c("oldest_age_ms", DOUBLE, "age of the older price"),
        _MARKET,
        _DATE,
    ),
    ("venue", "base", "spot_instrument", "perp_instrument", "event_time"),
    "Perpetual against spot at one venue, once an interval: a position to carry, no arbitrage.",
)

GOLD_MARKET_SUMMARY: Final = Table(
    "gold",
    "market_summary",
    (
        _VENUE,
        _INSTRUMENT,
        _c("open", DOUBLE, "first price of the day"),
        _c("high", DOUBLE, "highest price"),
        _c("low", DOUBLE, "lowest price"),
        _c("close", DOUBLE, "last price of the day"),
        _c("volume", DOUBLE, "in the base currency"),
        _c("vwap", DOUBLE, "null without volume or without quote volume", null=True),
        _c("log_return", DOUBLE, "ln(close / open)"),
        _c("realised_volatility", DOUBLE, "root of the sum of squared 1m log returns", null=True),
        _c("trade_count", LONG, "trades of the day", null=True),
        _c("anomaly_count", LONG, "anomalies that began that day"),
        _c("best_net_bps", DOUBLE, "best net spread seen with this instrument", null=True),
        _c("poc_price", DOUBLE, "middle of the 10 bps of price with most volume", null=True),
        _c("value_area_low", DOUBLE, "lower edge of the 70 % of the volume around it", null=True),
        _c("value_area_high", DOUBLE, "upper edge of it", null=True),
        _c("busiest_hour", LONG, "hour (UTC) with most volume, the first on a tie", null=True),
        _c("busiest_hour_share", DOUBLE, "its part of the day's volume", null=True),
        _c("absent_minutes", LONG, "minutes without volume between the first and the last with"),
        _c("longest_gap_minutes", LONG, "most of them in a row"),
        _c("lateness_p99_ms", DOUBLE, "received less event time of trades, 99 %", null=True),
        _c("duplicates", LONG, "messages that were there already"),
        _c("too_late", LONG, "messages behind the watermark"),
        _c("refused", LONG, "messages of the day in quarantine, for whatever reason"),
        _c("stale_s", DOUBLE, "seconds that its feeds were silent while others spoke"),
        _MARKET,
        _DATE,
    ),
    ("venue", "instrument", "date"),
    "One row a venue, instrument and day.",
)

GOLD_MARKET_LINKS: Final = Table(
    "gold",
    "market_links",
    (
        _VENUE,
        _c("other_venue", STRING, "after the first in the alphabet"),
        _INSTRUMENT,
        _c("minutes", LONG, "minutes in which both have a return"),
        _c("correlation", DOUBLE, "of 1m log returns; null below 30 minutes", null=True),
        _c("lead_minutes", LONG, "by how much venue leads other_venue, -5 to 5", null=True),
        _c("lead_correlation", DOUBLE, "correlation at that lead", null=True),
        _MARKET,
        _DATE,
    ),
    ("venue", "other_venue", "instrument", "date"),
    "One row a pair of venues, instrument and day: who moves with whom, and who goes first.",
)

SUMMARY_TABLES: Final = (GOLD_MARKET_SUMMARY, GOLD_MARKET_LINKS)
"""Tables of the daily job."""

STATE_FOLDS: Final = Table(
    "state",
    "folds",
    (
        _c("step", STRING, "instruments (step one) or merge (step two)"),
        _c("input", STRING, "lane of inputs (market.trades-0) or bucket of step two (merge-0)"),
        _c("venue", STRING, "empty for state of the whole lane"),
        _c("instrument", STRING, "empty for state of the whole lane"),
        _c("kind", STRING, "what the payload holds"),
        _c("delta", BOOLEAN, "payload is the exclusive or with that of the batch before"),
        _c("state_version", INT, "layout of the payload"),
        _c("batch", LONG, "batch after which this state holds"),
        _c("payload", BINARY, "packed state"),
    ),
    ("input", "venue", "instrument", "kind", "batch"),
    "State of every fold after the latest batch, as a whole and the changes since; older versions "
    "by time travel.",
    ("input",),
)

STREAM_TABLES: Final = (
    BRONZE_EVENTS,
    SILVER_TRADES,
    SILVER_QUOTES,
    SILVER_BOOKS,
    SILVER_BARS,
    SILVER_QUARANTINE,
    GOLD_BARS,
    GOLD_ANOMALIES,
    GOLD_SPREADS,
    GOLD_TRIANGLES,
    GOLD_BASIS,
)
"""Tables with a fixed schema that the stream writes; ``gold/indicators`` follows the registry."""
