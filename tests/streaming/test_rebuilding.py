"""A release that cannot go on where the one before stopped: a lake anew beside the old one."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import typer
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from marketlake.contracts.tables import GOLD_BARS, STREAM_TABLES
from marketlake.lake.datafiles import DataFile
from marketlake.lake.delta import DeltaTables
from marketlake.lake.errors import LakeError
from marketlake.lake.lease import lease
from marketlake.lake.runs import running
from marketlake.lake.storage import Storage
from marketlake.local.broker import EmbeddedBroker
from spark_jobs.rebuild_command import rebuild_command
from spark_jobs.reconcile_command import reconcile
from tests.processes import MARKETLAKE, Process

from . import kinesis
from .chaos.plants import apply_twice, changed
from .kinesis import kinesis_settings, new_streams
from .lakes import (
    Message,
    assert_same,
    assert_same_state,
    fill,
    manifests_of,
    market_messages,
    publish,
    punctual_market,
    send,
    settings_with,
)

pytestmark = [pytest.mark.spark, pytest.mark.slow]

OFFSETS = 400
"""Messages a batch of the old lake; a rebuild takes three such at once."""


def rebuild(*arguments: object) -> Any:
    app = typer.Typer()
    app.command("rebuild")(rebuild_command)
    return CliRunner().invoke(app, [str(a) for a in (*arguments, "--max-messages", 3 * OFFSETS)])


def change_a_close(lake: Path) -> None:
    """Put a file in the place of one of gold/bars whose first close is another."""
    storage, tables = Storage(str(lake)), DeltaTables(Storage(str(lake)), STREAM_TABLES)
    old = tables.files(GOLD_BARS.path)[0]
    data, path = changed(storage.read(f"{old.table}/{old.path}")), f"{old.path}-changed.parquet"
    storage.write(f"{old.table}/{path}", data)
    statistics = json.dumps({"numRecords": old.rows})
    new = DataFile(old.table, path, len(data), old.rows, "", old.partition, statistics)
    assert tables.commit(GOLD_BARS.path, "planted close", 1, [new], replaced=[old])


@pytest.fixture(scope="module")
def parts() -> list[list[Message]]:
    """A market in three parts."""
    messages = punctual_market(seed=17, seconds=180)
    third = len(messages) // 3
    return [messages[:third], messages[third : 2 * third], messages[2 * third :]]


@pytest.fixture
def old(
    request: pytest.FixtureRequest, spark: SparkSession, broker: EmbeddedBroker, parts, tmp_path
) -> str:
    """A lake that took two parts, with an end and a resumption between; gives its source.

    By turn, instruments come from two partitions, and lanes are joined.
    """
    around = None if request.param == "by key" else 2
    source = publish(broker, parts[0], partitions=2, by_key=around is None)
    settings = settings_with(max_offsets_per_batch=OFFSETS)
    fill(spark, source, tmp_path / "old", settings)
    send(broker, source.rpartition("/")[2], parts[1], around)
    fill(spark, source, tmp_path / "old", settings)
    kinds = {manifest.kind for manifest in manifests_of(tmp_path / "old")}
    assert kinds == {"messages", "control", *(["lanes"] if around else [])}
    return source


@pytest.mark.parametrize("old", ["by turn"], indirect=True)
def test_killed_and_run_again_it_gives_the_lake_that_the_stream_made_and_goes_on_there(
    spark: SparkSession, broker: EmbeddedBroker, old: str, parts, tmp_path: Path
):
    before, after = tmp_path / "old", tmp_path / "new"
    lakes = ("--from", before, "--lake", after)
    process = Process(MARKETLAKE, "rebuild", *lakes, "--max-messages", 2 * OFFSETS)
    try:
        while not (after / "_marketlake/stream/manifests").is_dir() or not manifests_of(after):
            assert process.returncode is None, process.err
            time.sleep(0.01)
        process.kill()
        assert process.wait(300) == -signal.SIGKILL
    finally:
        process.bury()
    assert len(manifests_of(after)) < len(manifests_of(before))
    # Nothing may go on in a lake that is not whole.
    with pytest.raises(LakeError, match="is being made from another"):
        fill(spark, old, after)
    with lease(Storage(str(before)), "stream"):
        # The old stream goes on meanwhile.
        assert rebuild(*lakes).exit_code == 0
        refused = rebuild(*lakes, "--switch")
        assert refused.exit_code == 1
        assert "writes lake" in refused.stderr
    stream = Process(
        *(MARKETLAKE, "stream", "--source", old, "--lake", before),
        environment={"MARKETLAKE_STREAM__STOP_POLL_MS": "200"},
    )
    try:
        while running(Storage(str(before))) is None:
            assert stream.returncode is None, stream.err
            time.sleep(0.1)
        done = rebuild(*lakes, "--switch", "--json")
        assert stream.wait(300) == 0, stream.err
    finally:
        stream.bury()
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["switched"]
    assert [t["table"] for t in said["compared"] if t["differences"]] == []
    assert {t["table"]: t["old_rows"] for t in said["compared"]}["bronze.events"] > 2_000
    assert_same(before, after)
    assert_same_state(before, after)
    # Each goes on by itself from the message behind.
    send(broker, old.rpartition("/")[2], parts[2], around=2)
    settings = settings_with(max_offsets_per_batch=OFFSETS)
    assert fill(spark, old, before, settings) == fill(spark, old, after, settings)
    assert_same(before, after)
    assert_same_state(before, after)
    assert reconcile(str(after), settings) == []
    # It is a lake like any other now.
    again = rebuild(*lakes)
    assert again.exit_code == 1
    assert "is not being rebuilt" in again.stderr


@pytest.mark.parametrize("old", ["by key"], indirect=True)
def test_a_difference_is_told_and_refused_and_what_is_meant_is_accepted(
    spark: SparkSession, old: str, tmp_path: Path
):
    before, after = tmp_path / "old", tmp_path / "new"
    lakes = ("--from", before, "--lake", after)
    assert rebuild(*lakes).exit_code == 0
    assert len(manifests_of(after)) < len(manifests_of(before))
    assert_same(before, after)
    assert_same_state(before, after)
    change_a_close(after)
    refused = rebuild(*lakes, "--switch", "--json")
    assert refused.exit_code == 1
    said = json.loads(refused.stdout)
    assert (said["refused"], said["switched"]) == (["gold.bars"], False)
    [found] = [d for t in said["compared"] for d in t["differences"]]
    # A close by a part in a billion: no sum shows it, and no row is missing.
    assert found["what"] == "content"
    assert found["old_rows"] == found["new_rows"] > 0
    apply_twice(str(after))
    said = rebuild(*lakes, "--switch").stdout
    assert "not switched: gold.bars differ" in said
    assert "volume" in said
    assert not (after / "_marketlake/stream/checkpoint").exists()
    with pytest.raises(LakeError, match="is being made from another"):
        fill(spark, old, after)
    # The old lake goes on as if nothing had been.
    fill(spark, old, before, settings_with(max_offsets_per_batch=OFFSETS))
    # A release that finds other anomalies, and nothing else.
    config = tmp_path / "settings.toml"
    config.write_text("[anomalies]\nenter_score = 2.0\nexit_score = 1.5\n")
    meant = ("--from", before, "--lake", tmp_path / "meant", "--config", config, "--switch")
    refused = rebuild(*meant)
    assert refused.exit_code == 1
    assert "not switched: gold.anomalies differ" in refused.stdout
    assert "score" in refused.stdout
    assert rebuild(*meant, "--accept", "gold.anomalies").exit_code == 0
    assert "gold.nothing" in rebuild(*meant, "--accept", "gold.nothing").stderr


def test_the_plans_of_a_stream_from_kinesis_go_with_it(
    spark: SparkSession, moto: str, tmp_path: Path
):
    prefix = new_streams(moto, shards=2)
    messages = [m for m in market_messages(seed=23, seconds=20) if m[1] is not None]
    half = len(messages) // 2
    settings = kinesis_settings({"max_offsets_per_batch": OFFSETS})
    before, after = tmp_path / "old", tmp_path / "new"
    kinesis.send(moto, prefix, messages[:half])
    kinesis.fill(spark, moto, prefix, before, settings)
    done = rebuild("--from", before, "--lake", after, "--switch")
    assert done.exit_code == 0, done.output
    kinesis.send(moto, prefix, messages[half:])
    taken = kinesis.fill(spark, moto, prefix, after, settings)
    assert taken.read == len(messages) - half
    kinesis.fill(spark, moto, prefix, before, settings)
    assert_same(before, after)
    assert_same_state(before, after)
