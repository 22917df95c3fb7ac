"""What the report shows of prices, indicators, anomalies and spreads, asked of DuckDB."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import duckdb

from marketlake.contracts.events import INTERVAL_US
from marketlake.report.downsample import Line, read_lines

MARKS_MAX: Final = 60
"""Anomalies marked on one price plot, the strongest first."""

_INDICATOR_BARS_WANTED: Final = 300


@dataclass(frozen=True)
class PriceSource:
    """The bars that one price plot draws.

    Attributes
    ----------
    origin_of : dict of str to str
        Venue to the origin of its bars.
    """

    instrument: str
    interval: str
    origin_of: dict[str, str]


@dataclass(frozen=True)
class SeriesWindow:
    """A stretch of one indicator series.

    Attributes
    ----------
    columns : dict of str to list
        By column name, ``open_time_ms`` among them; all of one length; None while warming up.
    total : int
        Bars that the series has in all.
    """

    venue: str
    instrument: str
    interval: str
    origin: str
    columns: dict[str, list[Any]]
    total: int
    around_anomaly: bool


def columns_of(connection: duckdb.DuckDBPyConnection, table: str) -> frozenset[str]:
    """Columns of ``layer.name``; none where the lake has no such table."""
    layer, name = table.split(".")
    rows = connection.execute(
        "SELECT column_name FROM information_schema.columns "
        "WHERE table_schema = ? AND table_name = ?",
        [layer, name],
    ).fetchall()
    return frozenset(row[0] for row in rows)


def records(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Any = ()
) -> list[dict[str, Any]]:
    """Run a query; each row as a mapping from column name to value."""
    cursor = connection.execute(sql, parameters)
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def price_sources(
    connection: duckdb.DuckDBPyConnection, *, by_venues: int = 4, by_anomaly: int = 2
) -> list[PriceSource]:
    """Choose what to plot: the instruments on most venues, then those with the worst anomaly.

    Where anomalies name too few, the next on most venues fill up.
    Of an instrument's intervals the one on most venues counts, the finest first; of a venue's
    origins the one with most bars.
    """
    if not columns_of(connection, "gold.bars"):
        return []
    bars: dict[str, dict[str, dict[str, tuple[int, str]]]] = defaultdict(lambda: defaultdict(dict))
    weight: dict[str, int] = defaultdict(int)
    for instrument, interval, venue, origin, count in connection.execute(
        "SELECT instrument, interval, venue, origin, count(*) FROM gold.bars GROUP BY ALL"
    ).fetchall():
        venues = bars[instrument][interval]
        venues[venue] = max(venues.get(venue, (0, "")), (count, origin))
        weight[instrument] += count
    sources = {}
    for instrument, intervals in bars.items():
        interval = min(intervals, key=lambda i: (-len(intervals[i]), INTERVAL_US.get(i, 0)))
        origin_of = {venue: origin for venue, (_, origin) in sorted(intervals[interval].items())}
        sources[instrument] = PriceSource(instrument, interval, origin_of)
    ranked = sorted(sources, key=lambda i: (-len(sources[i].origin_of), -weight[i], i))
    chosen = ranked[:by_venues]
    worst = [i for i in _by_worst_anomaly(connection) if i in sources]
    others = [i for i in dict.fromkeys([*worst, *ranked]) if i not in chosen]
    chosen += others[:by_anomaly]
    return [sources[instrument] for instrument in chosen]


def _by_worst_anomaly(connection: duckdb.DuckDBPyConnection) -> list[str]:
    if not columns_of(connection, "gold.anomalies"):
        return []
    rows = connection.execute(
        "SELECT instrument FROM gold.anomalies WHERE isfinite(score) "
        "GROUP BY instrument ORDER BY max(abs(score)) DESC, instrument"
    ).fetchall()
    return [row[0] for row in rows]


_BARS_OF_SOURCE: Final = """
    FROM gold.bars WHERE instrument = $instrument AND interval = $interval
    AND list_contains($series, venue || ' ' || origin)"""


def _parameters(source: PriceSource) -> dict[str, Any]:
    return {
        "instrument": source.instrument,
        "interval": source.interval,
        "series": [f"{venue} {origin}" for venue, origin in source.origin_of.items()],
    }


def price_lines(
    connection: duckdb.DuckDBPyConnection, source: PriceSource
) -> dict[str, list[Line]]:
    """Lines of ``close``, ``low`` and ``high``, one a venue, named by the venue."""
    break_after_ms = 3 * INTERVAL_US.get(source.interval, 0) // 1_000
    return {
        column: read_lines(
            connection,
            f"SELECT venue AS series, open_time AS x, {column} AS y {_BARS_OF_SOURCE}",
            _parameters(source),
            break_after_ms=break_after_ms,
        )
        for column in ("close", "low", "high")
    }


def anomaly_marks(
    connection: duckdb.DuckDBPyConnection, source: PriceSource
) -> list[dict[str, Any]]:
    """Find the strongest anomalies of an instrument and the price of each venue's bar there.

    An excursion stands at the bar's low or high, everything else at its close.

    Returns
    -------
    list of dict
        ``x_ms``, ``y``, ``venue``, ``metric``, ``detector``, ``severity``, ``score``, ``value``
        and ``expected``, in order of time.
    """
    if not columns_of(connection, "gold.anomalies"):
        return []
    sql = f"""
        WITH marks AS (
            SELECT * FROM gold.anomalies
            WHERE instrument = $instrument AND isfinite(score)
            ORDER BY abs(score) DESC LIMIT {MARKS_MAX}),
        bars AS (SELECT venue, open_time, low, high, close {_BARS_OF_SOURCE})
        SELECT epoch_ms(marks.event_time) AS x_ms,
               CASE WHEN metric = 'excursion' AND kind = 'spike_down' THEN bars.low
                    WHEN metric = 'excursion' AND kind = 'spike_up' THEN bars.high
                    ELSE bars.close END AS y,
               marks.venue, metric, detector, severity, score, value, expected
        FROM marks ASOF JOIN bars
          ON marks.venue = bars.venue AND marks.event_time >= bars.open_time
        ORDER BY x_ms, marks.venue, metric, detector"""  # noqa: S608 - constants of this module
    return records(connection, sql, _parameters(source))


def top_anomalies(connection: duckdb.DuckDBPyConnection, limit: int = 25) -> list[dict[str, Any]]:
    """List the rows of ``gold.anomalies`` with the largest score, either sign."""
    if not columns_of(connection, "gold.anomalies"):
        return []
    return records(
        connection,
        "SELECT venue, instrument, metric, detector, event_time, end_time, interval, value, "
        "expected, scale, score, severity, kind, evidence FROM gold.anomalies "
        "WHERE isfinite(score) ORDER BY abs(score) DESC, event_time, venue, instrument LIMIT ?",
        [limit],
    )


def indicator_window(
    connection: duckdb.DuckDBPyConnection, instrument: str, *, bars: int = 480
) -> SeriesWindow | None:
    """Choose one indicator series of an instrument, and the stretch worth a look.

    The coarsest interval that still has 300 bars, else the one with most; the venue of the
    instrument's strongest anomaly, else the one with most bars. The stretch lies around that
    anomaly, else at the end.
    """
    columns = columns_of(connection, "gold.indicators")
    if not columns:
        return None
    series = connection.execute(
        "SELECT venue, interval, origin, count(*) FROM gold.indicators WHERE instrument = ? "
        "GROUP BY ALL",
        [instrument],
    ).fetchall()
    if not series:
        return None
    worst_venue, peak = _worst_anomaly(connection, instrument)
    venue, interval, origin, total = max(series, key=lambda row: _worth(row, worst_venue))
    peak = peak if venue == worst_venue else None
    values = ", ".join(f'"{c}"' for c in sorted(columns - {"open_time", "date"}))
    sql = f"""
        WITH numbered AS (
            SELECT epoch_ms(open_time) AS open_time_ms, {values},
                   row_number() OVER (ORDER BY open_time) AS n,
                   CASE WHEN $peak IS NULL THEN $total
                        ELSE count(*) FILTER (open_time < $peak) OVER () END AS before
            FROM gold.indicators WHERE venue = $venue AND instrument = $instrument
            AND interval = $interval AND origin = $origin)
        SELECT * EXCLUDE (n, before) FROM numbered
        WHERE n > greatest(0, least(before - $bars // 2, $total - $bars))
        ORDER BY n LIMIT $bars"""  # noqa: S608 - names of columns
    cursor = connection.execute(
        sql,
        {
            "venue": venue,
            "instrument": instrument,
            "interval": interval,
            "origin": origin,
            "bars": bars,
            "total": total,
            "peak": peak,
        },
    )
    names = [column[0] for column in cursor.description or ()]
    found = [list(column) for column in zip(*cursor.fetchall(), strict=True)]
    data = dict(zip(names, found, strict=True))
    return SeriesWindow(venue, instrument, interval, origin, data, total, peak is not None)


def _worth(
    series: tuple[Any, ...], worst_venue: str | None
) -> tuple[int, int, bool, int, str, str]:
    venue, interval, origin, bars = series
    enough = min(bars, _INDICATOR_BARS_WANTED)
    return enough, INTERVAL_US.get(interval, 0), venue == worst_venue, bars, venue, origin


def _worst_anomaly(
    connection: duckdb.DuckDBPyConnection, instrument: str
) -> tuple[str | None, datetime | None]:
    if not columns_of(connection, "gold.anomalies"):
        return None, None
    row = connection.execute(
        "SELECT venue, event_time FROM gold.anomalies WHERE instrument = ? AND isfinite(score) "
        "ORDER BY abs(score) DESC, event_time, venue LIMIT 1",
        [instrument],
    ).fetchone()
    return (None, None) if row is None else (row[0], row[1])
