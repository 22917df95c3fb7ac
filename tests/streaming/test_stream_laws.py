"""The four laws at the level of the job: a real broker, real Spark, real Delta."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from marketlake.lake.manifests import Manifests
from marketlake.lake.query import open_lake, table_overview
from marketlake.lake.storage import Storage
from marketlake.local.broker import EmbeddedBroker
from streaming import steps
from streaming.pipeline import PIPELINE

from .lakes import (
    COMPARED,
    assert_same,
    assert_same_state,
    fill,
    market_messages,
    publish,
    settings_with,
)

pytestmark = [pytest.mark.spark, pytest.mark.broker]


@pytest.fixture(scope="module")
def messages():
    return market_messages(seed=11, seconds=130, fuzz=400)


@pytest.fixture(scope="module")
def source(broker: EmbeddedBroker, messages) -> str:
    return publish(broker, messages)


@pytest.fixture(scope="module")
def undisturbed(spark: SparkSession, source: str, tmp_path_factory) -> Path:
    lake = tmp_path_factory.mktemp("undisturbed") / "lake"
    fill(spark, source, lake, settings_with(max_offsets_per_batch=10_000_000))
    return lake


def test_every_table_has_rows(undisturbed: Path):
    rows = {table.name: table.rows for table in table_overview(str(undisturbed))}
    # The simulated market has no perpetuals; the daily job writes the others, not the stream.
    empty = {name for name, count in rows.items() if not count}
    assert empty == {"gold.basis", "gold.market_summary", "gold.market_links"}


@pytest.mark.parametrize("offsets", [1_000, 5_000])
def test_law_2_the_size_of_batches_does_not_show(
    spark: SparkSession, source: str, undisturbed: Path, tmp_path: Path, offsets: int
):
    fill(spark, source, tmp_path / "lake", settings_with(max_offsets_per_batch=offsets))
    sequences = Manifests(Storage(str(tmp_path / "lake")), PIPELINE).sequences()
    assert len(sequences) > 20_000 // offsets
    assert_same(undisturbed, tmp_path / "lake")
    assert_same_state(undisturbed, tmp_path / "lake")


def test_law_2_merge_buckets_do_not_show(
    spark: SparkSession, source: str, undisturbed: Path, tmp_path: Path
):
    fill(spark, source, tmp_path / "lake", settings_with(merge_buckets=3))
    assert_same(undisturbed, tmp_path / "lake")


def test_law_2_who_fetches_the_messages_does_not_show(
    spark: SparkSession, source: str, undisturbed: Path, tmp_path: Path
):
    settings = settings_with(kafka_reader="spark", max_offsets_per_batch=20_000)
    fill(spark, source, tmp_path / "lake", settings)
    assert_same(undisturbed, tmp_path / "lake")


def test_law_2_who_folds_does_not_show(
    spark: SparkSession,
    source: str,
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    settings = settings_with(max_offsets_per_batch=2_000, driver_messages=2_000)
    # The driver takes two batches, workers the two after them, and so on: each finds the state in
    # files that the other wrote, and holds folds that are two batches old.
    large = settings.stream.driver_messages + 1
    sizes = itertools.cycle([0, 0, large, large])
    asked = []
    monkeypatch.setattr(steps, "messages_in", lambda _: asked.append(next(sizes)) or asked[-1])
    fill(spark, source, tmp_path / "lake", settings)
    assert asked.count(0) > 3 < asked.count(large)
    assert_same(undisturbed, tmp_path / "lake")
    assert_same_state(undisturbed, tmp_path / "lake")


def test_small_batches_of_workers_are_the_same(
    spark: SparkSession, source: str, undisturbed: Path, tmp_path: Path
):
    settings = settings_with(max_offsets_per_batch=3_000, driver_messages=0)
    fill(spark, source, tmp_path / "lake", settings)
    assert_same(undisturbed, tmp_path / "lake")
    assert_same_state(undisturbed, tmp_path / "lake")


def test_law_4_every_message_is_in_silver_or_in_quarantine(undisturbed: Path, messages):
    rows = open_lake(str(undisturbed))
    silver = sum(
        rows.sql(f"SELECT count(*) FROM silver.{name}").fetchall()[0][0]
        for name in ("trades", "quotes", "books", "bars")
    )
    quarantine = rows.sql("SELECT count(*) FROM silver.quarantine").fetchall()[0][0]
    bronze = rows.sql("SELECT count(*) FROM bronze.events WHERE source = 'kafka'").fetchall()[0][0]
    assert bronze == len(messages)
    assert silver + quarantine == len(messages)
    assert not rows.sql("SELECT * FROM silver.quarantine WHERE len(reasons) = 0").fetchall()


def test_law_4_adds_up_in_every_batch(spark: SparkSession, source: str, tmp_path: Path):
    fill(spark, source, tmp_path / "lake", settings_with(max_offsets_per_batch=7_000))
    manifests = Manifests(Storage(str(tmp_path / "lake")), PIPELINE)
    counts = [manifests.read(sequence).counts for sequence in manifests.sequences()]
    assert len(counts) > 2
    for count in counts:
        silver = sum(count["silver"].values())
        assert count["read"]["messages"] == silver + count["quarantine"]["messages"]


def test_keys_name_rows(undisturbed: Path):
    rows = open_lake(str(undisturbed))
    for table in COMPARED:
        key = ", ".join(f'"{column}"' for column in table.key)
        twice = rows.sql(
            f"SELECT {key} FROM {table.layer}.{table.name} GROUP BY ALL HAVING count(*) > 1 LIMIT 1"
        ).fetchall()
        assert not twice, table.path


def test_a_second_run_finds_nothing_to_do(
    spark: SparkSession, source: str, tmp_path: Path, undisturbed: Path
):
    fill(spark, source, tmp_path / "lake")
    again = fill(spark, source, tmp_path / "lake")
    assert again.read == 0
    assert_same(undisturbed, tmp_path / "lake")


def test_bars_equal_what_duckdb_makes_of_silver(undisturbed: Path):
    # Every admitted trade counts in the bar of its second; sums are compared as floats.
    rows = open_lake(str(undisturbed))
    wrong = rows.sql(
        """
        WITH expected AS (
          SELECT venue, instrument, time_bucket(INTERVAL 1 SECOND, event_time) AS open_time,
            max(price) AS high, min(price) AS low, sum(quantity) AS volume, count(*) AS trades
          FROM silver.trades GROUP BY ALL
        ), built AS (
          SELECT * FROM gold.bars WHERE origin = 'trades' AND interval = '1s'
        )
        SELECT * FROM expected FULL JOIN built USING (venue, instrument, open_time)
        WHERE expected.high IS DISTINCT FROM built.high OR expected.low IS DISTINCT FROM built.low
          OR trades IS DISTINCT FROM trade_count
          OR abs(expected.volume - built.volume) > 1e-9 * expected.volume
        """
    ).fetchall()
    assert not wrong
