"""The daily job over what the stream wrote: a day again from bronze, and its summary."""

from __future__ import annotations

import shutil
from datetime import date
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from marketlake.contracts.tables import GOLD_BASIS, STREAM_TABLES
from marketlake.feeds.simulator.config import SimulationConfig
from marketlake.feeds.simulator.market import simulate
from marketlake.lake.delta import DeltaTables
from marketlake.lake.query import open_lake
from marketlake.lake.storage import Storage
from marketlake.local.broker import EmbeddedBroker
from marketlake.settings.model import IndicatorSettings, load_settings
from spark_jobs.batch_process import DailyJob
from spark_jobs.export import FOLDER
from spark_jobs.file_day import GOLD_OF_DAY
from streaming.recompute import BatchHistory
from streaming.stages.indicators import table_of
from tests.spark_jobs.by_hand import (
    links_by_hand,
    quality_by_hand,
    rows_of,
    spreads_by_hand,
    summary_by_hand,
)
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
    return DeltaTables(Storage(str(lake)), (*STREAM_TABLES, table_of(IndicatorSettings())))


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
        # The simulated market has no perpetuals.
        assert files or path == GOLD_BASIS.path, path
        assert not files & before[path], path
        layer, name = path.split("/")
        rows = open_lake(str(lake)).sql(f"SELECT * FROM {layer}.{name} WHERE date = '{day}'")
        assert result.written.get(path, 0) == len(rows.fetchall())


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


def test_the_summary_is_what_plain_python_makes_of_gold(lake: Path):
    result = DailyJob(str(lake), AFTER, load_settings()).run(rewrite=False)
    expected = summary_by_hand(lake, AFTER)
    links = links_by_hand(lake, AFTER)
    assert result.written == {
        "gold/market_summary": len(expected), "gold/market_links": len(links),
    }  # fmt: skip
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


def test_effective_spreads_are_those_of_each_trade_and_the_top_before_it(lake: Path):
    DailyJob(str(lake), AFTER, load_settings()).run(rewrite=False)
    expected = spreads_by_hand(lake, AFTER)
    assert len(expected) > 10
    summary = open_lake(str(lake)).sql(
        "SELECT venue, instrument, effective_spread_bps FROM gold.market_summary"
    )
    found = {(venue, name): value for venue, name, value in summary.fetchall()}
    assert {key for key, value in found.items() if value is not None} == expected.keys()
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=1e-9, abs=1e-12), key


def test_the_links_are_what_pandas_makes_of_the_minutes(lake: Path):
    DailyJob(str(lake), AFTER, load_settings()).run(rewrite=False)
    expected = links_by_hand(lake, AFTER)
    rows = rows_of(lake, "gold.market_links", AFTER)
    assert len(rows) == len(expected) > 0
    for row in rows.to_dict("records"):
        by_lead = expected[row["venue"], row["other_venue"], row["instrument"]]
        assert row["correlation"] == pytest.approx(by_lead[0], rel=1e-9, nan_ok=True)
        if by_lead.notna().any():
            best = by_lead.abs().max()
            assert abs(row["lead_correlation"]) == pytest.approx(best, rel=1e-9)
            assert abs(by_lead[row["lead_minutes"]]) == pytest.approx(best, rel=1e-9)
        else:
            assert pd.isna(row["lead_minutes"])


def test_data_quality_and_gaps_are_those_of_the_rows(lake: Path):
    DailyJob(str(lake), AFTER, load_settings()).run(rewrite=False)
    rows = rows_of(lake, "gold.market_summary", AFTER).to_dict("records")
    bars = rows_of(lake, "gold.bars", AFTER)
    for row in rows:
        key = row["venue"], row["instrument"]
        for name, value in quality_by_hand(lake, AFTER, key).items():
            if value is None:
                assert pd.isna(row[name])
            else:
                assert row[name] == pytest.approx(value, rel=1e-9), (key, name)
        own = bars[(bars["venue"] == key[0]) & (bars["instrument"] == key[1])]
        own = own[(own["interval"] == "1m") & (own["volume"] > 0)]
        own = own[own["origin"] == own["origin"].min()]
        minutes = sorted({int(t.timestamp()) // 60 for t in own["open_time"]})
        absent = [b - a - 1 for a, b in pairwise(minutes)]
        assert row["absent_minutes"] == sum(absent)
        assert row["longest_gap_minutes"] == max(absent, default=0)
        by_hour = own.groupby(own["open_time"].dt.hour)["volume"].sum()
        assert row["busiest_hour"] == by_hour.idxmax()
        assert row["busiest_hour_share"] == pytest.approx(by_hour.max() / by_hour.sum())
        assert row["low"] * (1 - 1e-3) <= row["value_area_low"] <= row["poc_price"]
        assert row["poc_price"] <= row["value_area_high"] <= row["high"] * (1 + 1e-3)
    assert sum(row["duplicates"] for row in rows) > 0


def test_the_summary_again_replaces_itself(lake: Path):
    job = DailyJob(str(lake), AFTER, load_settings())
    job.run(rewrite=False)
    once = rows_of(lake, "gold.market_summary", AFTER)
    job.run(rewrite=False)
    pd.testing.assert_frame_equal(once, rows_of(lake, "gold.market_summary", AFTER))


def test_the_export_is_gold_for_readers_without_delta(lake: Path, tmp_path: Path):
    export = tmp_path / "export"
    for day in (BEFORE, AFTER):
        result = DailyJob(str(lake), day, load_settings()).run(
            rewrite=False, export=Storage(str(export))
        )
    first = pd.read_parquet(export / FOLDER)
    # The second run of a day replaces that day and nothing else.
    DailyJob(str(lake), AFTER, load_settings()).run(rewrite=False, export=Storage(str(export)))
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
    indicators = [c.name for c in table_of(IndicatorSettings()).columns[6:-2]]
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
