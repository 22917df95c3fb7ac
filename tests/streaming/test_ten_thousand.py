"""10,000 instruments through the real stream: each comes out right, and state is bounded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from marketlake.contracts.events import Quote, Trade, encode
from marketlake.contracts.tables import STATE_FOLDS
from marketlake.lake.manifests import Manifests
from marketlake.lake.query import open_lake
from marketlake.lake.storage import Storage
from marketlake.local.broker import EmbeddedBroker
from streaming.pipeline import PIPELINE

from .lakes import Message, fill, publish, send

pytestmark = [pytest.mark.spark, pytest.mark.broker]

VENUES = ("binance", "bybit", "kraken", "okx")
NAMES = 2_500
INSTRUMENTS = NAMES * len(VENUES)
START_US = 1_700_000_040_000_000
MINUTE_US = 60_000_000
TRADES_A_MINUTE, QUOTES_A_MINUTE = 2, 1

SERIES_BYTES = 48 * 1024
"""Words of one instrument with trades and quotes, as docs/analytics.md states."""
SHARED_BYTES = 1024
"""What lanes and merge keep of it besides: closes, the market, what is open."""


@dataclass(frozen=True)
class Market:
    """Trades and quotes of every instrument in each of some minutes, in order of time."""

    trades: pd.DataFrame
    quotes: pd.DataFrame

    def messages(self) -> list[Message]:
        """The events as they go to the broker."""
        trades = [
            ("trade", row[1].encode(), encode(Trade(*row)))
            for row in self.trades.itertuples(index=False)
        ]
        quotes = [
            ("quote", row[1].encode(), encode(Quote(*row)))
            for row in self.quotes.itertuples(index=False)
        ]
        return [*trades, *quotes]


def _events(rng: np.random.Generator, minutes: range, a_minute: int) -> pd.DataFrame:
    """Venue, instrument and time of so many events an instrument and minute."""
    count = len(minutes) * a_minute * INSTRUMENTS
    which = np.tile(np.arange(INSTRUMENTS), len(minutes) * a_minute)
    minute = np.repeat(np.array(minutes), a_minute * INSTRUMENTS)
    # No two of one moment: bars hang on the order, and what has one time has none here.
    offset = rng.permutation(MINUTE_US // 1_000)[: a_minute * INSTRUMENTS] * 1_000
    time_us = START_US + minute * MINUTE_US + np.tile(offset, len(minutes))
    events = pd.DataFrame(
        {
            "venue": np.array(VENUES)[which % len(VENUES)],
            "instrument": np.array([f"T{i:04d}-USDT" for i in range(NAMES)])[which // len(VENUES)],
            "event_time_us": time_us,
            "base": 10.0 + which // len(VENUES),
        }
    )
    assert len(events) == count
    return events.sort_values("event_time_us", ignore_index=True)


def market(seed: int, minutes: range) -> Market:
    """A market in which every instrument trades and is quoted in every minute."""
    rng = np.random.default_rng(seed)
    trades = _events(rng, minutes, TRADES_A_MINUTE)
    n = len(trades)
    trades["price"] = np.round(trades.pop("base") * np.exp(rng.normal(0, 1e-3, n)), 6)
    trades["quantity"] = np.round(rng.exponential(1, n) + 1e-4, 4)
    trades["trade_id"] = [f"{seed}-{i}" for i in range(n)]
    trades["side"] = rng.choice(["buy", "sell"], n)
    quotes = _events(rng, minutes, QUOTES_A_MINUTE)
    n = len(quotes)
    base = quotes.pop("base")
    quotes["bid_price"] = np.round(base * (1 - rng.uniform(1e-4, 1e-3, n)), 6)
    quotes["bid_quantity"] = np.round(rng.exponential(1, n) + 1e-4, 4)
    quotes["ask_price"] = np.round(base * (1 + rng.uniform(1e-4, 1e-3, n)), 6)
    quotes["ask_quantity"] = np.round(rng.exponential(1, n) + 1e-4, 4)
    return Market(trades, quotes)


def state_bytes(lake: Path) -> tuple[dict[tuple[str, str], int], int]:
    """Bytes of state by venue and instrument, and those of lanes and merge together."""
    storage = Storage(str(lake))
    manifest = Manifests(storage, PIPELINE).last()
    assert manifest is not None
    chains = [[file.path for file in chain] for chain in manifest.state_files.values()]
    files = [
        [pq.read_table(storage.path(f"{STATE_FOLDS.path}/{path}"), partitioning=None) for path in c]
        for c in chains
    ]
    sizes = [
        table.select(["venue", "instrument", "kind"])
        .append_column("chain", pa.repeat(chain, table.num_rows))
        .append_column("file", pa.repeat(place, table.num_rows))
        .append_column("size", pc.binary_length(table["payload"]))
        for chain, tables in enumerate(files)
        for place, table in enumerate(tables)
    ]
    # Every file of a chain has a series as wide as the others; of a lane the last one counts.
    newest = pa.concat_tables(sizes).to_pandas().sort_values("file")
    newest = newest.drop_duplicates(["chain", "venue", "instrument", "kind"], keep="last")
    own = newest[newest["venue"] != ""].groupby(["venue", "instrument"])["size"].sum()
    return own.to_dict(), int(newest[newest["venue"] == ""]["size"].sum())


def test_every_one_of_10_000_instruments_is_right_and_state_does_not_grow(
    spark: SparkSession, broker: EmbeddedBroker, tmp_path: Path
):
    lake = tmp_path / "lake"
    early, late = market(1, range(2)), market(2, range(2, 4))
    source = publish(broker, early.messages(), partitions=2)
    first = fill(spark, source, lake)
    assert (first.read, first.quarantined) == (len(early.trades) + len(early.quotes), 0)
    before, shared_before = state_bytes(lake)
    send(broker, source.rpartition("/")[2], late.messages())
    second = fill(spark, source, lake)
    assert (second.read, second.quarantined) == (len(late.trades) + len(late.quotes), 0)
    after, shared_after = state_bytes(lake)

    assert len(after) == INSTRUMENTS
    assert after == before, "state grows with bars"
    assert max(after.values()) <= SERIES_BYTES
    assert max(shared_before, shared_after) <= SHARED_BYTES * INSTRUMENTS
    rows = open_lake(str(lake))
    check_bars(rows, pd.concat([early.trades, late.trades]))
    check_spreads(rows, pd.concat([early.quotes, late.quotes]))
    for table in ("gold.indicators", "gold.bars"):
        kinds = rows.sql(
            f"SELECT count(DISTINCT (venue, instrument)) FROM {table} GROUP BY interval"
        )
        assert kinds.fetchall() == [(INSTRUMENTS,)] * 2


def check_bars(lake: duckdb.DuckDBPyConnection, trades: pd.DataFrame) -> None:
    """Compare every bar with what DuckDB makes of the trades that were sent."""
    lake.register("sent", trades)
    wrong = lake.sql(
        """
        WITH lengths(interval, length_us) AS (VALUES ('1s', 1000000), ('1m', 60000000)),
        expected AS (
          SELECT venue, instrument, interval,
            make_timestamptz(event_time_us // length_us * length_us) AS open_time,
            arg_min(price, event_time_us) AS open, max(price) AS high, min(price) AS low,
            arg_max(price, event_time_us) AS close, sum(quantity) AS volume,
            sum(price * quantity) AS quote_volume, count(*) AS trade_count
          FROM sent CROSS JOIN lengths GROUP BY ALL
        ), built AS (SELECT * FROM gold.bars WHERE origin = 'trades')
        SELECT e.*, b.* FROM expected AS e FULL JOIN built AS b
          ON (e.venue, e.instrument, e.interval, e.open_time)
            = (b.venue, b.instrument, b.interval, b.open_time)
        WHERE e.open IS DISTINCT FROM b.open OR e.high IS DISTINCT FROM b.high
          OR e.low IS DISTINCT FROM b.low OR e.close IS DISTINCT FROM b.close
          OR e.trade_count IS DISTINCT FROM b.trade_count
          OR abs(e.volume - b.volume) > 1e-12 * e.volume
          OR abs(e.quote_volume - b.quote_volume) > 1e-12 * e.quote_volume
        LIMIT 3
        """
    ).fetchall()
    assert wrong == []


def check_spreads(lake: duckdb.DuckDBPyConnection, quotes: pd.DataFrame) -> None:
    """Compare the quoted spread of every minute with that of the quotes that were sent."""
    lake.register("quoted", quotes)
    wrong = lake.sql(
        """
        WITH expected AS (
          SELECT venue, instrument,
            make_timestamptz(event_time_us // 60000000 * 60000000) AS open_time, count(*) AS n,
            avg(2e4 * (ask_price - bid_price) / (ask_price + bid_price)) AS spread_bps
          FROM quoted GROUP BY ALL
        ), built AS (SELECT * FROM gold.microstructure WHERE origin = 'quotes')
        SELECT * FROM expected FULL JOIN built USING (venue, instrument, open_time)
        WHERE n IS DISTINCT FROM rows OR abs(spread_bps - quoted_spread_bps) > 1e-9
          OR quoted_spread_bps IS NULL
        LIMIT 3
        """
    ).fetchall()
    assert wrong == []
