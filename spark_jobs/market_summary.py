"""The market summary of a day: from gold bars, anomalies and spreads to one row an instrument."""

from __future__ import annotations

from datetime import date
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from marketlake.contracts.tables import GOLD_MARKET_SUMMARY
from marketlake.lake.query import open_lake

# One origin an instrument: bars built here where there are any, as they hold the quote volume.
# Sums are taken in order of time: whatever the threads do, the day again gives the same bits.
_SUMMARY: Final = """
WITH ranked AS (
  SELECT *, dense_rank() OVER (PARTITION BY venue, instrument ORDER BY origin) AS choice
  FROM gold.bars WHERE "interval" = '1m' AND date = $day
), chosen AS (
  SELECT *, ln(close / lag(close) OVER (PARTITION BY venue, instrument ORDER BY open_time)) AS step
  FROM ranked WHERE choice = 1
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
  coalesce(anomaly_count, 0) AS anomaly_count, best_net_bps, market
FROM days LEFT JOIN alarms USING (venue, instrument) LEFT JOIN best USING (venue, instrument)
ORDER BY venue, instrument
"""


def market_summary(lake: str, day: date) -> dict[str, pa.Table]:
    """Compute ``gold/market_summary`` of a day.

    Returns
    -------
    dict of str to pyarrow.Table
        Rows by market, in the columns of the table's data files.
    """
    with open_lake(lake) as connection:
        rows = connection.sql(_SUMMARY, params={"day": day}).to_arrow_table()
    columns = GOLD_MARKET_SUMMARY.file_schema.names
    return {
        market: rows.filter(pc.equal(rows["market"], market)).select(columns)
        for market in sorted(set(rows["market"].to_pylist()))
    }
