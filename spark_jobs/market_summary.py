"""The market summary of a day: from gold bars, anomalies and spreads to one row an instrument."""

from __future__ import annotations

from datetime import date
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession

from marketlake.contracts.tables import GOLD_ANOMALIES, GOLD_BARS, GOLD_MARKET_SUMMARY, GOLD_SPREADS
from marketlake.lake.storage import Storage

_INTERVAL: Final = "1m"

# One origin an instrument: bars built here where there are any, as they hold the quote volume.
_SUMMARY: Final = """
WITH ranked AS (
  SELECT *, dense_rank() OVER (PARTITION BY venue, instrument ORDER BY origin) AS choice
  FROM bars
), chosen AS (
  SELECT *, ln(close / lag(close) OVER (PARTITION BY venue, instrument ORDER BY open_time)) AS step
  FROM ranked WHERE choice = 1
), days AS (
  SELECT venue, instrument, market,
    min_by(open, open_time) AS open, max(high) AS high, min(low) AS low,
    max_by(close, open_time) AS close, sum(volume) AS volume,
    sum(quote_volume) AS quote_volume, count(quote_volume) = count(*) AS has_quote_volume,
    sqrt(sum(step * step)) AS realised_volatility,
    sum(trade_count) AS trade_count
  FROM chosen GROUP BY venue, instrument, market
), alarms AS (
  SELECT venue, instrument, count(*) AS anomaly_count FROM anomalies GROUP BY venue, instrument
), legs AS (
  SELECT buy_venue AS venue, buy_instrument AS instrument, net_bps FROM spreads
  UNION ALL SELECT sell_venue, sell_instrument, net_bps FROM spreads
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


def _day_of(spark: SparkSession, storage: Storage, path: str, day: date) -> DataFrame:
    frame = spark.read.format("delta").load(storage.path(path))
    return frame.where(f"date = DATE '{day.isoformat()}'")


def market_summary(spark: SparkSession, storage: Storage, day: date) -> dict[str, pa.Table]:
    """Compute ``gold/market_summary`` of a day.

    Returns
    -------
    dict of str to pyarrow.Table
        Rows by market, in the columns of the table's data files.
    """
    bars = _day_of(spark, storage, GOLD_BARS.path, day)
    bars.where(f"interval = '{_INTERVAL}'").createOrReplaceTempView("bars")
    _day_of(spark, storage, GOLD_ANOMALIES.path, day).createOrReplaceTempView("anomalies")
    _day_of(spark, storage, GOLD_SPREADS.path, day).createOrReplaceTempView("spreads")
    rows = spark.sql(_SUMMARY).toArrow()
    columns = GOLD_MARKET_SUMMARY.file_schema.names
    return {
        market: rows.filter(pc.equal(rows["market"], market)).select(columns)
        for market in sorted(set(rows["market"].to_pylist()))
    }
