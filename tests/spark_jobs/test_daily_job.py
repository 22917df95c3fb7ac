"""The daily job over what the stream wrote: a day again from bronze, and its summary."""

from __future__ import annotations

import math
import shutil
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from marketlake.contracts.tables import STREAM_TABLES
from marketlake.feeds.simulator.config import SimulationConfig
from marketlake.feeds.simulator.market import simulate
from marketlake.lake.delta import DeltaTables
from marketlake.lake.query import open_lake
from marketlake.lake.storage import Storage
from marketlake.local.broker import EmbeddedBroker
from marketlake.settings.model import load_settings
from spark_jobs.batch_process import DailyJob
from spark_jobs.export import FOLDER
from spark_jobs.file_day import GOLD_OF_DAY
from streaming.recompute import BatchHistory
from streaming.stages.gold import GOLD_INDICATORS
from tests.streaming.lakes import Message, assert_same, fill, publish, settings_with

pytestmark = [pytest.mark.spark, pytest.mark.broker]

BEFORE, AFTER = date(2025, 1, 15), date(2025, 1, 16)
MIDNIGHT_US = 1_736_985_600_000_000
"""2025-01-16 00:00 UTC."""


@pytest.fixture(scope="module")
def midnight() -> list[Message]:
    """A market from 23:57 to 00:03, with late, repeated and reordered messages."""
    config = SimulationConfig(
        seed=23,
        start_time_us=MIDNIGHT_US - 180_000_000,
        duration_s=360,
        trades_per_second=25,
        quotes_per_second=10,
        books_per_second=2,
        late_rate=0.02,
        duplicate_rate=0.02,
        reorder_rate=0.02,
    )
    return list(simulate(config).messages())


@pytest.fixture(scope="module")
def streamed(spark: SparkSession, broker: EmbeddedBroker, midnight, tmp_path_factory) -> Path:
    lake = tmp_path_factory.mktemp("streamed") / "lake"
    fill(spark, publish(broker, midnight), lake, settings_with(max_offsets_per_batch=4_000))
    return lake


@pytest.fixture
def lake(streamed: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    shutil.copytree(streamed, tmp_path / "lake")
    return tmp_path / "lake"


def tables_of(lake: Path) -> DeltaTables:
    return DeltaTables(Storage(str(lake)), (*STREAM_TABLES, GOLD_INDICATORS))


def paths(lake: Path, day: date) -> dict[str, set[str]]:
    tables = tables_of(lake)
    return {
        path: {file.path for file in tables.files_of_day(path, str(day))} for path in GOLD_OF_DAY
    }


@pytest.mark.parametrize(("day", "other"), [(BEFORE, AFTER), (AFTER, BEFORE)])
def test_a_day_again_from_bronze_is_the_same_and_leaves_the_other(
    lake: Path, streamed: Path, day: date, other: date
):
    before, others_before = paths(lake, day), paths(lake, other)
    result = DailyJob(str(lake), day, load_settings()).run(rewrite=True)
    assert_same(streamed, lake)
    assert paths(lake, other) == others_before
    for path, files in paths(lake, day).items():
        assert files, path
        assert not files & before[path], path
        layer, name = path.split("/")
        rows = open_lake(str(lake)).sql(f"SELECT * FROM {layer}.{name} WHERE date = '{day}'")
        assert result.written[path] == len(rows.fetchall())


def test_the_second_day_begins_from_a_state_between_its_first_row_and_the_last_before(lake: Path):
    history = BatchHistory(Storage(str(lake)))
    state = history.before_day(AFTER)
    assert state is not None
    assert 0 < state.sequence < history.sequences[-1]
    assert all(i.latest_us < MIDNIGHT_US for i in state.inputs.values())
    assert any(i.next_offset > 0 for i in state.inputs.values())
    assert history.before_day(BEFORE) is None


def test_a_day_that_was_damaged_is_whole_again(lake: Path, streamed: Path):
    tables = tables_of(lake)
    for path in GOLD_OF_DAY:
        tables.commit(path, "damage", 0, [], replaced=tables.files_of_day(path, str(AFTER)))
    with pytest.raises(AssertionError):
        assert_same(streamed, lake)
    DailyJob(str(lake), AFTER, load_settings()).run(rewrite=True)
    assert_same(streamed, lake)


def rows_of(lake: Path, table: str, day: date) -> pd.DataFrame:
    return open_lake(str(lake)).sql(f"SELECT * FROM {table} WHERE date = '{day}'").df()


def summary_by_hand(lake: Path, day: date) -> dict[tuple[str, str], dict[str, Any]]:
    """The summary in plain Python over the rows of gold."""
    bars, spreads = rows_of(lake, "gold.bars", day), rows_of(lake, "gold.spreads", day)
    anomalies = rows_of(lake, "gold.anomalies", day)
    out = {}
    minutes = bars[bars["interval"] == "1m"]
    for key, all_bars in minutes.groupby(["venue", "instrument"]):
        origin = "trades" if "trades" in set(all_bars["origin"]) else "venue"
        own = all_bars[all_bars["origin"] == origin].sort_values("open_time")
        closes = own["close"].tolist()
        steps = [math.log(b / a) for a, b in pairwise(closes)]
        legs = [
            float(row["net_bps"])
            for _, row in spreads.iterrows()
            if key
            in (
                (row["buy_venue"], row["buy_instrument"]),
                (row["sell_venue"], row["sell_instrument"]),
            )
        ]
        out[key] = {
            "open": own["open"].iloc[0],
            "high": own["high"].max(),
            "low": own["low"].min(),
            "close": closes[-1],
            "volume": math.fsum(own["volume"]),
            "vwap": math.fsum(own["quote_volume"]) / math.fsum(own["volume"])
            if origin == "trades"
            else None,
            "log_return": math.log(closes[-1] / own["open"].iloc[0]),
            "realised_volatility": math.sqrt(math.fsum(s * s for s in steps)) if steps else None,
            "trade_count": int(own["trade_count"].sum()),
            "anomaly_count": int(
                ((anomalies["venue"] == key[0]) & (anomalies["instrument"] == key[1])).sum()
            ),
            "best_net_bps": max(legs, default=None),
        }
    return out


def test_the_summary_is_what_plain_python_makes_of_gold(lake: Path):
    result = DailyJob(str(lake), AFTER, load_settings()).run(rewrite=False)
    expected = summary_by_hand(lake, AFTER)
    assert result.written == {"gold/market_summary": len(expected)}
    summary = open_lake(str(lake)).sql("SELECT * FROM gold.market_summary")
    rows = [dict(zip(summary.columns, row, strict=True)) for row in summary.fetchall()]
    assert {row["date"] for row in rows} == {AFTER}
    assert {(row["venue"], row["instrument"]) for row in rows} == expected.keys()
    assert sum(row["anomaly_count"] for row in rows) > 0
    for row in rows:
        for name, value in expected[row["venue"], row["instrument"]].items():
            assert row[name] == (value if value is None else pytest.approx(value, rel=1e-9)), (
                row["venue"],
                row["instrument"],
                name,
            )


def test_the_summary_again_replaces_itself(lake: Path):
    job = DailyJob(str(lake), AFTER, load_settings())
    job.run(rewrite=False)
    once = rows_of(lake, "gold.market_summary", AFTER)
    job.run(rewrite=False)
    pd.testing.assert_frame_equal(once, rows_of(lake, "gold.market_summary", AFTER))


def test_the_export_is_gold_for_readers_without_delta(lake: Path, tmp_path: Path):
    export = tmp_path / "export"
    for day in (BEFORE, AFTER):
        result = DailyJob(str(lake), day, load_settings()).run(rewrite=False, export=export)
    first = pd.read_parquet(export / FOLDER)
    # The second run of a day replaces that day and nothing else.
    DailyJob(str(lake), AFTER, load_settings()).run(rewrite=False, export=export)
    exported = pd.read_parquet(export / FOLDER)
    pd.testing.assert_frame_equal(first, exported)
    assert set(exported["date"]) == {str(BEFORE), str(AFTER)}
    assert result.exported == (exported["date"] == str(AFTER)).sum()

    gold = (
        open_lake(str(lake))
        .sql(
            "SELECT * FROM gold.bars JOIN gold.indicators USING "
            "(venue, instrument, interval, origin, open_time, close, market, date) "
            "WHERE interval = '1m'"
        )
        .df()
    )
    # One series an instrument: made of trades, or the venue's where there was no trade that day.
    traded = gold[gold["origin"] == "trades"][["venue", "instrument", "date"]].drop_duplicates()
    marked = gold.merge(traded, how="left", indicator=True)
    gold = marked[(marked["origin"] == "trades") | (marked["_merge"] == "left_only")]
    assert len(gold) == len(exported)
    order = ["market", "date", "symbol", "venue", "open_time"]
    gold = gold.rename(columns={"instrument": "symbol"}).assign(
        rsi=gold["rsi_14"], date=gold["date"].dt.strftime("%Y-%m-%d")
    )
    indicators = [c.name for c in GOLD_INDICATORS.columns[6:-2]]
    columns = [*order, "close", "volume", "rsi", *indicators]
    assert set(exported.columns) == set(columns)
    exported = exported.astype({"market": str, "date": str})
    pd.testing.assert_frame_equal(
        exported.sort_values(order)[columns].reset_index(drop=True),
        gold.sort_values(order)[columns].reset_index(drop=True),
        check_dtype=False,
        rtol=0,
        atol=0,
    )
