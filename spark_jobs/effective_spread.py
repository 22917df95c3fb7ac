"""What trades of a day cost against the middle just before them: a fold over silver.

Trades and quotes come in topics of their own, and the stream never waits for one with the other;
a day of silver has both side by side.
"""

from __future__ import annotations

from datetime import date
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa

from marketlake.analytics.arrays import Int64Array
from marketlake.analytics.kernel import initial_states
from marketlake.analytics.microstructure.trades import EffectiveSpread

_ROWS: Final = 1_000_000
"""Trades taken at a time."""

# Where a quote and a book have one time the quote counts, and of several the one of the last
# sequence. Trades go in the order in which the stream takes them.
_TRADES: Final = """
WITH tops AS (
  SELECT venue, instrument, event_time, 1 AS is_quote, sequence, bid_price AS bid, ask_price AS ask
  FROM silver.quotes WHERE date = $day
  UNION ALL
  SELECT venue, instrument, event_time, 0, sequence, bids[1].price, asks[1].price
  FROM silver.books WHERE date = $day
), middles AS (
  SELECT venue, instrument, event_time AS quoted,
    arg_max((bid + ask) / 2, (is_quote, sequence)) AS mid
  FROM tops WHERE bid > 0 AND bid <= ask GROUP BY ALL
), quoted AS (
  SELECT DISTINCT venue, instrument FROM middles
), asked AS (
  SELECT venue, instrument, event_time, sequence, trade_id, price, quantity,
    CASE side WHEN 'buy' THEN 1 WHEN 'sell' THEN -1 ELSE 0 END::DOUBLE AS side
  FROM silver.trades SEMI JOIN quoted USING (venue, instrument) WHERE date = $day
)
SELECT t.venue, t.instrument, t.price, t.quantity, t.side, m.mid
FROM asked AS t ASOF JOIN middles AS m
  ON t.venue = m.venue AND t.instrument = m.instrument AND t.event_time > m.quoted
WHERE t.event_time <= m.quoted + to_milliseconds($fresh_ms)
ORDER BY t.venue, t.instrument, t.event_time, t.sequence, t.trade_id
"""

FRESH_MS: Final = 5_000
"""A middle that is older says nothing of the trade."""


def effective_spreads(
    connection: duckdb.DuckDBPyConnection, day: date
) -> dict[tuple[str, str], float]:
    """Give the mean effective spread of a day by quantity, in bps, a venue and instrument.

    Over the trades with a quote, or a book, at most ``FRESH_MS`` before them; instruments without
    such a trade are absent.
    """
    kernel = EffectiveSpread(1)
    states = initial_states(kernel.initial(), 1)
    keys: dict[tuple[str, str], int] = {}
    paid, traded = np.zeros(1), np.zeros(1)
    found = connection.sql(_TRADES, params={"day": day, "fresh_ms": FRESH_MS})
    for batch in found.to_arrow_reader(_ROWS):
        series = _series(batch, keys)
        fresh = len(keys) - len(states)
        if fresh > 0:
            states = np.concatenate([states, initial_states(kernel.initial(), fresh)])
            paid, traded = (np.append(total, np.zeros(fresh)) for total in (paid, traded))
        columns = [batch.column(name).to_numpy() for name in kernel.inputs]
        spread_bps = kernel.step(states, series, *columns)[0]
        told, quantity = np.isfinite(spread_bps), columns[1]
        np.add.at(paid, series[told], spread_bps[told] * quantity[told])
        np.add.at(traded, series[told], quantity[told])
    return {key: float(paid[k] / traded[k]) for key, k in keys.items() if traded[k] > 0}


def _series(batch: pa.RecordBatch, keys: dict[tuple[str, str], int]) -> Int64Array:
    """Number the venues and instruments of rows that come sorted by both."""
    names = [batch.column(name).dictionary_encode() for name in ("venue", "instrument")]
    venue, instrument = (column.indices.to_numpy() for column in names)
    pairs = venue.astype(np.int64) * len(names[1].dictionary) + instrument
    distinct, place = np.unique(pairs, return_inverse=True)
    venues, instruments = (column.dictionary.to_pylist() for column in names)
    codes = []
    for pair in distinct.tolist():
        at, which = divmod(pair, len(instruments))
        codes.append(keys.setdefault((venues[at], instruments[which]), len(keys)))
    return np.array(codes, np.int64)[place]
