"""The known facts of the recorded data, through broker, stream and lake."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from marketlake.feeds.recorded.catalog import open_recording
from marketlake.feeds.replay import ReplaySummary
from marketlake.lake.query import open_lake
from marketlake.local.broker import EmbeddedBroker
from marketlake.settings.model import load_settings

from .lakes import fill, publish_recording

pytestmark = [pytest.mark.spark, pytest.mark.broker, pytest.mark.recorded, pytest.mark.slow]


def replayed(
    broker: EmbeddedBroker, spark: SparkSession, folder: Path, lake: Path, **settings: object
) -> tuple[duckdb.DuckDBPyConnection, ReplaySummary]:
    source, summary = publish_recording(broker, open_recording(folder))
    fill(spark, source, lake, load_settings(**settings))
    return open_lake(str(lake)), summary


DEPEG = "depeg-2023-03"
DEPEG_EVENTS = 196_819


@pytest.fixture(scope="module")
def depeg_lake(broker, spark, recorded_data, tmp_path_factory) -> Path:
    lake = tmp_path_factory.mktemp("depeg") / "lake"
    _, summary = replayed(broker, spark, recorded_data / DEPEG, lake)
    assert summary.published == DEPEG_EVENTS
    return lake


@pytest.fixture
def depeg(depeg_lake: Path):
    return open_lake(str(depeg_lake))


def test_kraken_low_of_the_depeg_is_in_gold_and_flagged(depeg):
    low = depeg.sql(
        "SELECT open_time, low FROM gold.bars WHERE venue = 'kraken' AND instrument = 'USDC-USD' "
        "ORDER BY low LIMIT 1"
    ).fetchall()
    assert [(f"{time:%Y-%m-%d %H:%M}", value) for time, value in low] == [
        ("2023-03-11 07:15", 0.874)
    ]
    flagged = depeg.sql(
        "SELECT value, severity FROM gold.anomalies WHERE venue = 'kraken' "
        "AND instrument = 'USDC-USD' AND event_time <= '2023-03-11 07:15:00+00' "
        "AND end_time > '2023-03-11 07:15:00+00'"
    ).fetchall()
    assert (0.874, "high") in flagged


def test_binance_us_low_of_the_depeg(depeg):
    row = depeg.sql(
        "SELECT low, trade_count FROM gold.bars WHERE venue = 'binanceus' "
        "AND instrument = 'USDC-USDT' AND open_time = '2023-03-11 04:30:00+00'"
    ).fetchall()
    assert row == [(0.822, 111)]


def test_every_row_of_every_file_is_a_bar(depeg, recorded_data):
    counts = {
        (venue, instrument.replace("-", "").lower()): rows
        for venue, instrument, rows in depeg.sql(
            "SELECT venue, instrument, count(*) FROM silver.bars GROUP BY ALL"
        ).fetchall()
    }
    files = {
        tuple(path.stem.split("_")): len(pd.read_parquet(path))
        for path in (recorded_data / "depeg-2023-03").glob("*.parquet")
    }
    assert counts == files
    assert depeg.sql("SELECT count(*) FROM silver.quarantine").fetchall() == [(0,)]


def test_venues_part_in_the_depeg_and_quote_currencies_are_converted(depeg):
    closes = dict(
        depeg.sql(
            "SELECT venue, round(close)::INT FROM gold.bars WHERE instrument = 'BTC-USDC' "
            "AND open_time = '2023-03-11 06:49:00+00'"
        ).fetchall()
    )
    assert closes == {"bybit": 23288, "kraken": 22600, "binanceus": 20656}
    # Kraken against Coinbase in one currency: at most 57 bps over these days.
    same_currency = depeg.sql(
        "SELECT max(gross_bps) FROM gold.spreads WHERE base = 'BTC' "
        "AND buy_instrument = 'BTC-USD' AND sell_instrument = 'BTC-USD'"
    ).fetchall()
    assert same_currency[0][0] <= 58
    for table in ("spreads", "triangles"):
        assert depeg.sql(
            f"SELECT count(*) FROM gold.{table} WHERE price_basis <> 'indicative'"
        ).fetchall() == [(0,)]


def test_the_bad_print_of_binance_us_is_no_triangle(depeg):
    shown = depeg.sql(
        "SELECT max(gross_bps), count(*) FROM gold.triangles WHERE venue = 'binanceus' "
        "AND event_time BETWEEN '2023-03-03 00:00:00+00' AND '2023-03-04 00:00:00+00'"
    ).fetchall()
    [(largest, rows)] = shown
    assert rows > 20
    assert largest < 60


def test_no_spread_of_the_link_books_survives_ten_bps_a_leg(broker, spark, recorded_data, tmp_path):
    lake, _ = replayed(
        broker,
        spark,
        recorded_data / "link-books-2021-08-20",
        tmp_path / "lake",
        spreads={"uniform_taker_fee_bps": 10.0},
    )
    assert lake.sql(
        "SELECT venue, count(*) FROM silver.books GROUP BY 1 ORDER BY 1"
    ).fetchall() == [
        ("binance", 7200),
        ("huobi", 7200),
    ]
    opportunities = lake.sql("SELECT * FROM gold.spreads WHERE price_basis = 'executable'")
    assert opportunities.fetchall() == []


def test_link_opportunities_at_two_bps_are_those_of_brute_force(
    broker, spark, recorded_data, tmp_path
):
    folder = recorded_data / "link-books-2021-08-20"
    # By the best prices; through depth: tests/marketlake/analytics/spreads/test_known_facts.py.
    lake, _ = replayed(
        broker, spark, folder, tmp_path / "lake",
        spreads={"uniform_taker_fee_bps": 2.0, "depth_levels": 1},
    )  # fmt: skip
    found = {
        time.timestamp(): round(gross, 6)
        for time, gross in lake.sql(
            "SELECT event_time, gross_bps FROM gold.spreads "
            "WHERE price_basis = 'executable' AND status = 'open'"
        ).fetchall()
    }
    books = [
        pd.read_csv(folder / f"orderbook_{name}.csv.gz").drop_duplicates("timestamp", keep="last")
        for name in ("bnc", "hb")
    ]
    one, two = (book.set_index("timestamp") for book in books)
    expected: dict[float, float] = {}
    for buy, sell in ((one, two), (two, one)):
        gross = (sell["b1"] / buy["a1"] - 1) * 1e4
        notional = pd.concat([buy["av1"], sell["bv1"]], axis=1).min(axis=1) * buy["a1"]
        pays = (gross - 4.0 > 0) & (notional >= 10.0)
        begins = pays & ~pays.shift(fill_value=False)
        times = pd.to_datetime(gross.index[begins], utc=True)
        expected |= dict(zip((t.timestamp() for t in times), gross[begins].round(6), strict=True))
    assert found == expected
    assert expected


def test_binance_ticks_are_all_there(broker, spark, recorded_data, tmp_path):
    folder = recorded_data / "binance-ticks-2024-08-08"
    lake, summary = replayed(broker, spark, folder, tmp_path / "lake")
    silver = {
        kind: lake.sql(f"SELECT count(*) FROM silver.{kind}s").fetchall()[0][0]
        for kind in ("trade", "quote", "book")
    }
    assert silver == dict(summary.stats.events)
    # Six minutes, of which the first has no end before which both were quoted.
    basis = lake.sql(
        "SELECT base, count(*), max(abs(basis_bps)), bool_and(annualised_carry IS NOT NULL), "
        "min(perp_quantity) FROM gold.basis GROUP BY 1 ORDER BY 1"
    ).fetchall()
    assert [(base, rows) for base, rows, *_ in basis] == [("BTC", 6), ("ETH", 6)]
    assert all(largest < 20 and carry and size > 0 for _, _, largest, carry, size in basis)
    assert lake.sql("SELECT count(*) FROM gold.triangles").fetchall() == [(0,)]
    skipped = sum(summary.stats.skipped.values())
    assert sum(silver.values()) + skipped == summary.stats.rows_read == 243_476
