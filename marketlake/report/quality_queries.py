"""Headline figures and data quality, asked of DuckDB and the Delta logs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import duckdb

from marketlake.contracts.events import INTERVAL_US
from marketlake.lake.query import TableOverview
from marketlake.report.queries import columns_of, records

SILVER_EVENTS: Final = ("trades", "quotes", "books", "bars")
"""Tables of accepted events."""


@dataclass(frozen=True)
class Headline:
    """Figures at the top of the report.

    Attributes
    ----------
    events_read : int or None
        Messages in bronze without control events; None where the lake has no bronze.
    silver : dict of str to int
        Rows by table.
    reasons : dict of str to int
        Quarantined rows by reason; a row with two reasons counts under both.
    gold : dict of str to int
        Rows of bars, indicators, anomalies and spreads.
    first_event, last_event : datetime or None
        Range of the accepted events, UTC.
    """

    events_read: int | None
    silver: dict[str, int]
    quarantined: int
    reasons: dict[str, int]
    gold: dict[str, int]
    first_event: datetime | None
    last_event: datetime | None

    @property
    def accepted(self) -> int:
        """Rows in silver."""
        return sum(self.silver.values())

    @property
    def unaccounted(self) -> int | None:
        """Messages that are neither in silver nor in quarantine; 0 when the counts add up."""
        if self.events_read is None:
            return None
        return self.events_read - self.accepted - self.quarantined


def headline(connection: duckdb.DuckDBPyConnection, overview: Sequence[TableOverview]) -> Headline:
    """Count what was read, accepted, refused and derived."""
    rows = {table.name: table.rows for table in overview}
    events_read = None
    if "bronze.events" in rows:
        # Control events (idleness, end of input) have a source of their own: no message.
        events_read = _count(
            connection,
            "SELECT count(*) FROM bronze.events WHERE NOT starts_with(source, 'marketlake/')",
        )
    reasons = {}
    if "silver.quarantine" in rows:
        reasons = dict(
            connection.execute(
                "SELECT unnest(reasons) AS reason, count(*) FROM silver.quarantine "
                "GROUP BY reason ORDER BY count(*) DESC, reason"
            ).fetchall()
        )
    first, last = _time_range(connection, [t for t in SILVER_EVENTS if f"silver.{t}" in rows])
    return Headline(
        events_read=events_read,
        silver={table: rows.get(f"silver.{table}", 0) for table in SILVER_EVENTS},
        quarantined=rows.get("silver.quarantine", 0),
        reasons=reasons,
        gold={t: rows.get(f"gold.{t}", 0) for t in ("bars", "indicators", "anomalies", "spreads")},
        first_event=first,
        last_event=last,
    )


def _count(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = connection.execute(sql).fetchone()
    return 0 if row is None else int(row[0])


def _time_range(
    connection: duckdb.DuckDBPyConnection, tables: Sequence[str]
) -> tuple[datetime | None, datetime | None]:
    if not tables:
        return None, None
    ranges = " UNION ALL ".join(
        f"SELECT min(event_time) AS low, max(event_time) AS high FROM silver.{table}"  # noqa: S608
        for table in tables
    )
    row = connection.execute(f"SELECT min(low), max(high) FROM ({ranges})").fetchone()  # noqa: S608
    return (None, None) if row is None else (row[0], row[1])


def quarantine_breakdown(
    connection: duckdb.DuckDBPyConnection, limit: int = 40
) -> list[dict[str, Any]]:
    """Count quarantined rows by ``reason``, ``type`` and ``venue``, most first."""
    if not columns_of(connection, "silver.quarantine"):
        return []
    return records(
        connection,
        """SELECT reason, coalesce(type, 'unknown') AS type, coalesce(venue, 'unknown') AS venue,
                  count(*) AS rows, count(DISTINCT instrument) AS instruments,
                  min(source_timestamp) AS first, max(source_timestamp) AS last
           FROM (SELECT unnest(reasons) AS reason, type, venue, instrument, source_timestamp
                 FROM silver.quarantine)
           GROUP BY ALL ORDER BY rows DESC, reason, type, venue LIMIT ?""",
        [limit],
    )


def venue_counts(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Count accepted rows by ``venue`` and ``type``, with instruments and time range."""
    tables = [t for t in SILVER_EVENTS if columns_of(connection, f"silver.{t}")]
    if not tables:
        return []
    counts = " UNION ALL ".join(
        f"SELECT venue, '{table}' AS type, count(*) AS rows, "  # noqa: S608
        "count(DISTINCT instrument) AS instruments, min(event_time) AS first, "
        f"max(event_time) AS last FROM silver.{table} GROUP BY venue"
        for table in tables
    )
    return records(connection, f"{counts} ORDER BY venue, type")


def bar_gaps(connection: duckdb.DuckDBPyConnection, limit: int = 30) -> list[dict[str, Any]]:
    """Find minutes without a bar in each series of ``gold.bars``, the worst first.

    Of a (venue, instrument, origin) only the finest interval is looked at. A missing bar is one
    between the first and the last that the series has; a venue without a trade in a minute may
    publish none.

    Returns
    -------
    list of dict
        ``venue``, ``instrument``, ``interval``, ``origin``, ``bars``, ``missing``,
        ``missing_share`` (0 to 1), ``longest_s`` (longest stretch without a bar, seconds) and
        ``longest_from`` (its start).
    """
    if not columns_of(connection, "gold.bars"):
        return []
    return records(
        connection,
        """WITH lengths AS (SELECT unnest($names) AS interval, unnest($lengths) AS length_us),
           bars AS (
               SELECT venue, instrument, interval, origin, open_time, length_us,
                      epoch_us(open_time) - epoch_us(lag(open_time) OVER (
                          PARTITION BY venue, instrument, origin, interval ORDER BY open_time)
                      ) - length_us AS gap_us
               FROM gold.bars JOIN lengths USING (interval)
               QUALIFY length_us = min(length_us) OVER (PARTITION BY venue, instrument, origin)),
           series AS (
               SELECT venue, instrument, interval, origin, count(*) AS bars,
                      coalesce(sum(gap_us // length_us), 0)::BIGINT AS missing,
                      coalesce(max(gap_us), 0) / 1e6 AS longest_s,
                      arg_max(open_time - to_microseconds(gap_us), gap_us) AS longest_from
               FROM bars GROUP BY ALL)
           SELECT *, missing / (bars + missing) AS missing_share FROM series
           ORDER BY missing_share DESC, venue, instrument, origin LIMIT $limit""",
        {"names": list(INTERVAL_US), "lengths": list(INTERVAL_US.values()), "limit": limit},
    )
