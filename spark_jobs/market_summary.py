"""The market summary of a day: one row a venue and instrument, and one a pair of venues.

From gold bars, anomalies and spreads, and of what silver and quarantine tell of data quality.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import date
from itertools import combinations, groupby, pairwise
from typing import Any, Final

import numpy as np
import pyarrow as pa

from marketlake.analytics.arrays import Float64Array, Int64Array
from marketlake.analytics.market_day import link, minute_returns, volume_profile
from marketlake.contracts.tables import GOLD_MARKET_LINKS, GOLD_MARKET_SUMMARY
from marketlake.lake.query import open_lake
from marketlake.lake.storage import Storage
from spark_jobs.effective_spread import effective_spreads

# One origin an instrument: bars built here where there are any, as they hold the quote volume.
# Sums are taken in order of time: whatever the threads do, the day again gives the same bits.
_MINUTES: Final = """
CREATE TEMP TABLE minutes AS
SELECT * EXCLUDE choice FROM (
  SELECT *, dense_rank() OVER (PARTITION BY venue, instrument ORDER BY origin) AS choice
  FROM gold.bars WHERE "interval" = '1m' AND date = $day
) WHERE choice = 1
"""

# A message in quarantine stands by the date of its source, not by that of its event, which only
# its text tells; no source is a day behind the event.
_SUMMARY: Final = """
WITH chosen AS (
  SELECT *, ln(close / lag(close) OVER (PARTITION BY venue, instrument ORDER BY open_time)) AS step
  FROM minutes
), days AS (
  SELECT venue, instrument, market,
    arg_min(open, open_time) AS open, max(high) AS high, min(low) AS low,
    arg_max(close, open_time) AS close, sum(volume ORDER BY open_time) AS volume,
    sum(quote_volume ORDER BY open_time) AS quote_volume,
    count(quote_volume) = count(*) AS has_quote_volume,
    sqrt(sum(step * step ORDER BY open_time)) AS realised_volatility,
    sum(trade_count)::BIGINT AS trade_count
  FROM chosen GROUP BY venue, instrument, market
), alarms AS (
  SELECT venue, instrument, count(*) AS anomaly_count FROM gold.anomalies
  WHERE date = $day GROUP BY venue, instrument
), silences AS (
  SELECT venue, instrument, sum(epoch_us(end_time) - epoch_us(event_time)) / 1e6 AS stale_s
  FROM gold.anomalies WHERE date = $day AND kind = 'stale_feed' GROUP BY venue, instrument
), texts AS (
  SELECT venue, instrument, reasons, try(decode(value)) AS text
  FROM silver.quarantine WHERE date >= $day AND venue IS NOT NULL AND instrument IS NOT NULL
), refusals AS (
  SELECT venue, instrument, count(*) AS refused,
    count(*) FILTER (list_contains(reasons, 'duplicate')) AS duplicates,
    count(*) FILTER (list_contains(reasons, 'too_late')) AS too_late
  FROM texts
  WHERE json_valid(text) AND make_timestamp(
    try_cast(json_extract_string(text, '$.event_time_us') AS BIGINT))::DATE = $day
  GROUP BY venue, instrument
), delays AS (
  SELECT venue, instrument,
    quantile_disc(epoch_us(received_time) - epoch_us(event_time), 0.99) / 1e3 AS lateness_p99_ms
  FROM silver.trades WHERE date = $day AND received_time IS NOT NULL GROUP BY venue, instrument
), legs AS (
  SELECT buy_venue AS venue, buy_instrument AS instrument, net_bps
  FROM gold.spreads WHERE date = $day
  UNION ALL SELECT sell_venue, sell_instrument, net_bps
  FROM gold.spreads WHERE date = $day
), best AS (
  SELECT venue, instrument, max(net_bps) AS best_net_bps FROM legs GROUP BY venue, instrument
)
SELECT venue, instrument, open, high, low, close, volume,
  CASE WHEN has_quote_volume AND volume > 0 THEN quote_volume / volume END AS vwap,
  ln(close / open) AS log_return, realised_volatility, trade_count,
  coalesce(anomaly_count, 0) AS anomaly_count, best_net_bps, lateness_p99_ms,
  coalesce(duplicates, 0) AS duplicates, coalesce(too_late, 0) AS too_late,
  coalesce(refused, 0) AS refused, coalesce(stale_s, 0.0) AS stale_s, market
FROM days LEFT JOIN alarms USING (venue, instrument) LEFT JOIN best USING (venue, instrument)
  LEFT JOIN silences USING (venue, instrument) LEFT JOIN refusals USING (venue, instrument)
  LEFT JOIN delays USING (venue, instrument)
ORDER BY venue, instrument
"""


_SERIES: Final = """
SELECT venue, instrument, market, (epoch_us(open_time) // 60000000) % 1440 AS minute, close,
  volume, coalesce(vwap, (high + low + close) / 3) AS price
FROM minutes WHERE volume > 0 ORDER BY instrument, venue, open_time
"""
_DAY_MINUTES: Final = 1_440


@dataclass(frozen=True)
class _Series:
    """The minutes with volume of one instrument on one venue."""

    venue: str
    instrument: str
    market: str
    minute: Int64Array
    close: Float64Array
    volume: Float64Array
    price: Float64Array


def market_summary(lake: str | Storage, day: date) -> dict[str, pa.Table]:
    """Compute ``gold/market_summary`` and ``gold/market_links`` of a day.

    Returns
    -------
    dict of str to pyarrow.Table
        Rows by path of the table, with the column ``market``, by which files are parted.
    """
    with open_lake(lake) as connection:
        connection.execute(_MINUTES, {"day": day})
        rows = connection.sql(_SUMMARY, params={"day": day}).to_arrow_table()
        series = _series(connection.sql(_SERIES).to_arrow_table())
        spreads = effective_spreads(connection, day)
    names = zip(rows["venue"].to_pylist(), rows["instrument"].to_pylist(), strict=True)
    paid = pa.array([spreads.get(name) for name in names], pa.float64())
    rows = rows.append_column("effective_spread_bps", paid)
    return {
        GOLD_MARKET_SUMMARY.path: _with_shape(rows, series),
        GOLD_MARKET_LINKS.path: _links(series),
    }


def _series(rows: pa.Table) -> list[_Series]:
    names = list(zip(rows["instrument"].to_pylist(), rows["venue"].to_pylist(), strict=True))
    begins = [i for i, name in enumerate(names) if i == 0 or name != names[i - 1]]
    columns = {n: rows[n].to_numpy() for n in ("minute", "close", "volume", "price")}
    markets = rows["market"].to_pylist()
    return [
        _Series(
            venue=names[begin][1],
            instrument=names[begin][0],
            market=markets[begin],
            **{name: column[begin:end] for name, column in columns.items()},
        )
        for begin, end in pairwise([*begins, len(names)])
    ]


def _with_shape(rows: pa.Table, series: list[_Series]) -> pa.Table:
    """Add what needs more than SQL: where and when it traded, and the gaps."""
    by_name = {(one.venue, one.instrument): _shape(one) for one in series}
    # Without a minute that has volume there is nothing to say, and no gap.
    nothing: dict[str, Any] = {"absent_minutes": 0, "longest_gap_minutes": 0}
    names = zip(rows["venue"].to_pylist(), rows["instrument"].to_pylist(), strict=True)
    shapes = [by_name.get(name, nothing) for name in names]
    for field in GOLD_MARKET_SUMMARY.file_schema:
        if field.name not in rows.schema.names:
            values = pa.array([shape.get(field.name) for shape in shapes], field.type)
            rows = rows.append_column(field.name, values)
    return rows


def _shape(series: _Series) -> dict[str, Any]:
    gaps = np.diff(series.minute) - 1
    by_hour = np.bincount(series.minute // 60, weights=series.volume, minlength=24)
    profile = volume_profile(series.price, series.volume)
    return {
        **(asdict(profile) if profile is not None else {}),
        "busiest_hour": int(by_hour.argmax()),
        "busiest_hour_share": float(by_hour.max() / by_hour.sum()),
        "absent_minutes": int(gaps.sum()),
        "longest_gap_minutes": int(gaps.max(initial=0)),
    }


def _links(series: list[_Series]) -> pa.Table:
    """Compare each two venues of an instrument, in the order of their names."""
    rows: list[dict[str, Any]] = []
    for instrument, members in groupby(series, key=lambda one: one.instrument):
        returns = [(one, minute_returns(one.minute, one.close, _DAY_MINUTES)) for one in members]
        for (one, own), (other, others) in combinations(returns, 2):
            found = asdict(link(own, others))
            if math.isnan(found["lead_correlation"]):
                found |= {"lead_minutes": None, "lead_correlation": None}
            if math.isnan(found["correlation"]):
                found["correlation"] = None
            names = {"venue": one.venue, "other_venue": other.venue, "instrument": instrument}
            rows.append({**names, **found, "market": one.market})
    schema = GOLD_MARKET_LINKS.file_schema.append(pa.field("market", pa.string()))
    return pa.Table.from_pylist(rows, schema)
