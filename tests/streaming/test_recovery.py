"""Law 3: killed at any point, a restart gives the tables of an undisturbed run."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import duckdb
import pytest
from pyspark.sql import SparkSession

from marketlake.lake.errors import LakeError
from marketlake.lake.manifests import Manifests
from marketlake.lake.storage import Storage
from marketlake.local.broker import EmbeddedBroker
from spark_jobs.reconcile_command import reconcile
from streaming.pipeline import PIPELINE

from .chaos.campaign import Campaign, differences
from .chaos.places import KafkaPlace, LakePlace
from .chaos.plants import PLANTS
from .crashes import crash
from .deaths import Hit, LakeAtDeath, files_of
from .lakes import assert_same, assert_same_state, fill, market_messages, publish, settings_with

pytestmark = [pytest.mark.spark, pytest.mark.broker, pytest.mark.slow]

KILLS = int(os.environ.get("CHAOS_KILLS", "4"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))
OFFSETS = 2_000


@pytest.fixture(scope="module")
def source(broker: EmbeddedBroker) -> str:
    return publish(broker, market_messages(seed=5, seconds=70, fuzz=60))


@pytest.fixture(scope="module")
def undisturbed(spark: SparkSession, source: str, tmp_path_factory) -> Path:
    lake = tmp_path_factory.mktemp("undisturbed") / "lake"
    fill(spark, source, lake, settings_with(max_offsets_per_batch=OFFSETS))
    return lake


@pytest.mark.timeout(300 + 120 * KILLS)
def test_killed_while_it_takes_batches(broker: EmbeddedBroker, tmp_path: Path):
    source = KafkaPlace(broker, random.Random(SEED))
    lake = LakePlace(str(tmp_path / "lake"))
    campaign = Campaign(source, lake, tmp_path, SEED, say=print)
    report = campaign.run(KILLS, between=KILLS // 4, disturbances=1)
    assert report.differences == []
    assert report.reconciled == ""
    assert len(report.disturbances) == 1
    assert len(report.kills) >= KILLS
    assert all(kill.waiting for kill in report.kills)
    assert report.hits()[Hit.BETWEEN] >= KILLS // 4
    between = [kill for kill in report.kills if kill.hit is Hit.BETWEEN]
    assert all(0 < kill.committed < kill.tables for kill in between)


def test_a_dead_lake_shows_what_its_writer_was_at(
    spark: SparkSession, source: str, undisturbed: Path, tmp_path: Path
):
    lake = tmp_path / "lake"
    deaths = [
        ("before manifest", 2, Hit.FOLDING),
        ("manifest", 1, Hit.DECIDED),
        ("bronze/events", 1, Hit.BETWEEN),  # while it finishes the batch of the one before
        ("silver/quotes", 2, Hit.BETWEEN),
        ("state/folds", 2, Hit.COMMITTED),
    ]
    for point, count, hit in deaths:
        before = files_of(str(lake))
        crash(source, lake, OFFSETS, point, count)
        found = LakeAtDeath(str(lake), before)
        assert found.hit() is hit, point
        # As if a process had died that had not come to do anything.
        assert LakeAtDeath(str(lake), files_of(str(lake))).hit() is None
        if point == "bronze/events":
            # The tables are committed at the same time: others may have it too, the state has not.
            assert 0 < found.committed < len(found.tables)
    fill(spark, source, lake, settings_with(max_offsets_per_batch=OFFSETS))
    assert_same(undisturbed, lake)
    assert_same_state(undisturbed, lake)


def test_a_decided_batch_is_finished_without_its_messages(
    spark: SparkSession, source: str, undisturbed: Path, tmp_path: Path
):
    lake = tmp_path / "lake"
    crash(source, lake, OFFSETS, "silver/trades", 1)
    manifests = Manifests(Storage(str(lake)), PIPELINE)
    decided = manifests.sequences()
    fill(spark, source, lake, settings_with(max_offsets_per_batch=OFFSETS))
    assert manifests.sequences()[: len(decided)] == decided
    assert_same(undisturbed, lake)


def test_reconcile_proves_the_lake_and_catches_a_planted_fault(
    spark: SparkSession, source: str, tmp_path: Path
):
    lake = tmp_path / "lake"
    settings = settings_with(max_offsets_per_batch=OFFSETS)
    fill(spark, source, lake, settings)
    assert reconcile(str(lake), settings) == []
    state = next((lake / "state" / "folds").rglob("*merge-0*.parquet"))
    last = Manifests(Storage(str(lake)), PIPELINE).last()
    assert last is not None
    held = lake / "state" / "folds" / last.state_files["merge-0"][-1].path
    held.write_bytes(state.read_bytes() + b"x")
    PLANTS["row"](str(lake))
    tables = {difference.table for difference in reconcile(str(lake), settings)}
    assert tables == {"state.folds", "gold.bars"}


@pytest.mark.parametrize("plant", [name for name in PLANTS if name != "nothing"])
def test_a_campaign_that_should_fail_does(
    spark: SparkSession, undisturbed: Path, tmp_path: Path, plant: str
):
    lake = tmp_path / "lake"
    shutil.copytree(undisturbed, lake)
    PLANTS[plant](str(lake))
    folder, table = ("state/folds", "state.folds") if plant == "state" else ("bars", "gold.bars")
    for compare in (differences, lambda _one, other: reconcile(other, settings_with())):
        try:
            found = {difference.table for difference in compare(str(undisturbed), str(lake))}
        except (LakeError, duckdb.Error) as error:
            # A file that is not there, or is not as long as its table says, is told by its name.
            found = {table} if folder in str(error) else set()
        assert found == {table}


def test_a_lake_belongs_to_one_source(
    spark: SparkSession, broker: EmbeddedBroker, source: str, tmp_path: Path
):
    fill(spark, source, tmp_path / "lake")
    other = publish(broker, market_messages(seed=6, seconds=5)[:50])
    with pytest.raises(LakeError, match="was filled from kafka cluster"):
        fill(spark, other, tmp_path / "lake")


def test_a_lost_checkpoint_is_told(spark: SparkSession, source: str, tmp_path: Path):
    lake = tmp_path / "lake"
    fill(spark, source, lake)
    shutil.rmtree(lake / "_marketlake" / PIPELINE / "checkpoint")
    with pytest.raises(LakeError, match="is gone but the lake holds batches"):
        fill(spark, source, lake)
