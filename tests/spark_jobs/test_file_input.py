"""The daily job from plain Parquet and CSV: the same numbers as the stream, day by day."""

from __future__ import annotations

import json
import math
from pathlib import Path

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
from marketlake.settings.model import IndicatorSettings
from spark_jobs.financial_data_processor import process_day
from spark_jobs.reconcile_command import reconcile_command
from streaming.stages.indicators import table_of
from tests.spark_jobs.file_days import (
    AFTER,
    BAR,
    BARS,
    BEFORE,
    MIDNIGHT_US,
    NOON_US,
    day_of,
    process,
    processed,
    rows,
)
from tests.streaming.lakes import fill, publish

GOLD = ("gold.bars", "gold.indicators", "gold.microstructure", "gold.anomalies", "gold.spreads")
SILVER = ("silver.trades", "silver.bars")
SUMMARY = "gold.market_summary"


@pytest.fixture(scope="module")
def market() -> list[tuple[str, bytes, bytes]]:
    """Trades and bars from 23:56 to 00:04, repeated here and there, none late."""
    config = SimulationConfig(
        seed=31,
        start_time_us=MIDNIGHT_US - 240_000_000,
        duration_s=480,
        trades_per_second=20,
        quotes_per_second=1,
        books_per_second=1,
        late_rate=0,
        duplicate_rate=0.02,
        reorder_rate=0,
    )
    return [m for m in simulate(config).messages() if m[0] in ("trade", "bar")]


def frame_of(market: list[tuple[str, bytes, bytes]], kind: str) -> pd.DataFrame:
    records = [json.loads(value) for event_type, _, value in market if event_type == kind]
    return pd.DataFrame(records).drop(columns="type")


@pytest.fixture(scope="module")
def streamed(spark: SparkSession, broker: EmbeddedBroker, market, tmp_path_factory) -> Path:
    lake = tmp_path_factory.mktemp("streamed") / "lake"
    fill(spark, publish(broker, market), lake)
    return lake


@pytest.fixture(scope="module")
def parquet(market, tmp_path_factory) -> Path:
    """As pandas writes them: times in nanoseconds, one file of trades and one of bars."""
    folder = tmp_path_factory.mktemp("parquet")
    for kind, time in (("trade", "event_time"), ("bar", "open_time")):
        frame = frame_of(market, kind)
        frame[time] = pd.to_datetime(frame.pop("event_time_us"), unit="us", utc=True)
        frame[time] = frame[time].astype("datetime64[ns, UTC]")
        frame.to_parquet(folder / f"{kind}.parquet")
    (folder / "README").write_text("not data")
    return folder


@pytest.fixture(scope="module")
def text(market, tmp_path_factory) -> Path:
    """As CSV: trades in two files with other columns first, the second compressed."""
    folder = tmp_path_factory.mktemp("csv [text]")
    trades = frame_of(market, "trade").sample(frac=1, random_state=5)
    half = len(trades) // 2
    trades[:half].to_csv(folder / "a.csv")
    (folder / "more").mkdir()
    trades[half:][trades.columns[::-1]].to_csv(folder / "more" / "b.csv.gz", index=False)
    frame_of(market, "bar").to_csv(folder / "bars.csv", index=False)
    return folder


@pytest.mark.spark
@pytest.mark.broker
@pytest.mark.parametrize("form", ["parquet", "text"])
def test_files_give_what_the_stream_gives(streamed: Path, tmp_path: Path, market, form, request):
    lake = tmp_path / "lake"
    result = processed(lake, BEFORE, request.getfixturevalue(form))
    expected = day_of(streamed, BEFORE, *GOLD, *SILVER)
    assert all(expected.values())
    for table, wanted in expected.items():
        assert rows(lake, table, BEFORE) == wanted, table
        assert not rows(lake, table, AFTER)
    # Law 4, from the messages themselves.
    times = [json.loads(value)["event_time_us"] for _, _, value in market]
    counts = result["input"]
    assert counts["rows"] == len(times)
    assert counts["of_day"] == sum(time < MIDNIGHT_US for time in times)
    assert counts["other_days"] == counts["rows"] - counts["of_day"] > 0
    assert counts["of_day"] == counts["silver"] + counts["quarantined"]
    assert set(counts["reasons"]) == {"duplicate"}
    quarantine = rows(lake, "silver.quarantine", BEFORE)
    assert len(quarantine) == counts["quarantined"] > 0
    assert counts["files"] == {"parquet": 2, "text": 3}[form]
    assert counts["ignored_files"] == {"parquet": 1, "text": 0}[form]


@pytest.mark.spark
def test_a_day_again_is_the_same_and_leaves_the_other(
    spark: SparkSession, parquet: Path, tmp_path: Path
):
    lake = tmp_path / "lake"
    tables = (*GOLD, *SILVER, SUMMARY, "silver.quarantine")
    for day in (BEFORE, AFTER):
        processed(lake, day, parquet)
    once = [day_of(lake, day, *tables) for day in (BEFORE, AFTER)]
    delta = DeltaTables(Storage(str(lake)), (*STREAM_TABLES, table_of(IndicatorSettings())))
    other = [delta.files_of_day(table.replace(".", "/"), str(BEFORE)) for table in GOLD + SILVER]
    arguments = (AFTER, "--lake", lake, "--input", parquet, "--export", tmp_path / "out")
    result = process(*arguments, job=process_day)
    assert result.exit_code == 0, result.output
    assert "of other days" in result.stdout
    assert [day_of(lake, day, *tables) for day in (BEFORE, AFTER)] == once
    again = [delta.files_of_day(table.replace(".", "/"), str(BEFORE)) for table in GOLD + SILVER]
    assert again == other
    exported = pd.read_parquet(tmp_path / "out/processed-data/financial_indicators")
    assert f"financial_indicators: {len(exported):,} rows exported" in result.stdout


@pytest.mark.spark
@pytest.mark.broker
def test_what_the_stream_wrote_is_replaced_only_when_asked(
    spark: SparkSession, broker: EmbeddedBroker, market, parquet: Path, tmp_path: Path
):
    lake = tmp_path / "lake"
    fill(spark, publish(broker, market[:2_000]), lake)
    before = day_of(lake, BEFORE, *GOLD)
    refused = process("--lake", lake, "--date", BEFORE, "--input", parquet)
    assert refused.exit_code == 1
    assert "--rewrite puts those of the files in their place" in refused.stderr
    assert day_of(lake, BEFORE, *GOLD) == before
    processed(lake, BEFORE, parquet, "--rewrite")
    assert len(rows(lake, "gold.bars", BEFORE)) > len(before["gold.bars"])


@pytest.mark.spark
def test_the_summary_of_three_bars(spark: SparkSession, tmp_path: Path):
    (tmp_path / "bars.csv").write_text(BARS)
    lake = tmp_path / "lake"
    result = processed(lake, AFTER, tmp_path / "bars.csv")
    assert result[SUMMARY.replace(".", "/")] == 1
    (row,) = (
        open_lake(str(lake))
        .sql(
            "SELECT venue, instrument, open, high, low, close, volume, vwap, log_return, "
            f"realised_volatility, trade_count, anomaly_count, best_net_bps FROM {SUMMARY}"
        )
        .fetchall()
    )
    assert row[:8] == ("kraken", "BTC-USD", 100.0, 120.0, 98.0, 99.0, 4.0, None)
    volatility = math.sqrt(math.log(1.1) ** 2 + math.log(0.9) ** 2)
    assert row[8:10] == pytest.approx((math.log(0.99), volatility), rel=1e-9)
    assert row[10:] == (9, 0, None)


@pytest.mark.spark
def test_a_bad_row_is_in_quarantine_with_its_text(spark: SparkSession, tmp_path: Path):
    noon = NOON_US
    lines = {
        f"kraken,BTC-USD,{noon},100.5,1,a": None,
        f"kraken,BTC-USD,{noon},100.5,1,a ": "duplicate",
        f"kraken,BTC-USD,{noon},101,1,a": "conflict",
        f"kraken,BTC-USD,{noon},-1,1,b": "non_positive_price",
        f"kraken,BTC-USD,{noon},1,-1,c": "negative_quantity",
        f"kraken,BTC-USD,{noon},dear,1,d": "invalid_field",
        f"kraken,BTC-USD,{noon},1_0,1,e": "invalid_field",
        f"kraken,BTC-USD,{noon},NaN,1,f": "invalid_field",
        f"kraken,BTC-USD,{noon},,1,g": "missing_field",
        f",BTC-USD,{noon},1,1,h": "missing_field",
        f"kraken,,{noon},1,1,i": "missing_field",
        f"nowhere,BTC-USD,{noon},1,1,j": "unknown_instrument",
        f"kraken,BTC-USD,{noon // 1_000},1,1,k": "time_wrong_unit",
        "kraken,BTC-USD,12:30:00,1,1,l": "invalid_field",
        "kraken,BTC-USD,2025-02-30,1,1,m": "invalid_field",
        "kraken": "missing_field",
    }
    source = tmp_path / "trades.csv"
    header = "venue,instrument,event_time,price,quantity,trade_id"
    source.write_text("\n".join([header, *lines]))
    lake = tmp_path / "lake"
    counts = processed(lake, AFTER, source)["input"]
    assert counts["of_day"] == counts["rows"] == len(lines)
    assert (counts["silver"], counts["quarantined"]) == (1, len(lines) - 1)
    expected: dict[str, int] = {}
    for reason in lines.values():
        if reason is not None:
            expected[reason] = expected.get(reason, 0) + 1
    assert counts["reasons"] == expected
    refused = (
        open_lake(str(lake))
        .sql(
            'SELECT value, source, topic, "offset", "partition", date FROM silver.quarantine '
            "WHERE list_contains(reasons, 'invalid_field')"
        )
        .fetchall()
    )
    values = [json.loads(row[0]) for row in refused]
    assert {value["price"] for value in values} == {"dear", "1_0", "NaN", 1.0}
    assert {value.get("event_time_us") for value in values} == {noon, "12:30:00", "2025-02-30"}
    assert {row[1:3] + row[5:] for row in refused} == {("file", "file.trades", AFTER)}
    assert len({row[3:5] for row in refused}) == len(refused)


def reconciled(lake: Path, *options: str, code: int = 0) -> str:
    result = process("--lake", lake, *options, job=reconcile_command)
    assert result.exit_code == code, result.output
    return result.stdout


SAME = "identical: every table equals what bronze gives\n"
APART = "came from plain files, which are not in bronze: not compared\n"


@pytest.mark.spark
@pytest.mark.broker
@pytest.mark.slow
def test_reconcile_names_the_days_that_files_gave_and_compares_the_rest(
    spark: SparkSession, broker: EmbeddedBroker, market, tmp_path: Path
):
    lake = tmp_path / "lake"
    fill(spark, publish(broker, market), lake)
    assert reconciled(lake) == SAME

    # Bars that the stream never saw, one of them bad: silver, gold and quarantine differ.
    source = tmp_path / "bars.csv"
    source.write_text(f"{BARS}\n{BAR.format(NOON_US, -1, 1, 1, 1, 1, 1)}")
    assert processed(lake, AFTER, source, "--rewrite")["input"]["quarantined"] == 1
    assert reconciled(lake) == f"{AFTER}: silver and gold {APART}{SAME}"

    # Gold is bronze's again, and compared again.
    result = process("--lake", lake, "--date", AFTER, "--rewrite")
    assert result.exit_code == 0, result.output
    assert reconciled(lake) == f"{AFTER}: silver {APART}{SAME}"

    delta = DeltaTables(Storage(str(lake)), (*STREAM_TABLES, table_of(IndicatorSettings())))
    lost = delta.files_of_day("gold/bars", str(AFTER))
    delta.commit("gold/bars", "fault", 0, [], replaced=lost)
    told = json.loads(reconciled(lake, "--json", code=1))
    assert [found["table"] for found in told["differences"]] == ["gold.bars"]
    assert told["days_from_files"] == {"silver": [str(AFTER)], "gold": []}

    delta.commit("gold/bars", "mended", 0, lost)
    other = delta.files_of_day("silver/trades", str(BEFORE))
    delta.commit("silver/trades", "fault", 0, [], replaced=other)
    text = reconciled(lake, code=1)
    assert text.startswith(
        f"{AFTER}: silver {APART}silver.trades: recomputed but not in the lake: venue="
    )
    assert text.count("\n") == 2


@pytest.mark.spark
def test_reconcile_of_a_lake_without_a_stream(spark: SparkSession, tmp_path: Path):
    (tmp_path / "bars.csv").write_text(BARS)
    lake = tmp_path / "lake"
    processed(lake, AFTER, tmp_path / "bars.csv")
    empty = "nothing to compare: bronze is empty\n"
    assert reconciled(lake) == f"{AFTER}: silver and gold {APART}{empty}"
