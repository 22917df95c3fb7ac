"""The pipeline into a lake on S3: killed, and with S3 failing, the lake is that of a quiet run."""

from __future__ import annotations

import json
import os
import urllib.request
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from marketlake.lake.manifests import Manifests
from marketlake.lake.storage import Storage
from marketlake.local.broker import EmbeddedBroker
from streaming.pipeline import PIPELINE
from tests.processes import marketlake
from tests.s3_servers import S3Server, faulty

from .crashes import crash
from .lakes import assert_same, assert_same_state, fill, market_messages, publish, settings_with

pytestmark = [pytest.mark.spark, pytest.mark.broker, pytest.mark.slow]

OFFSETS = 2_500
FAULTS_SEED = int(os.environ.get("CHAOS_SEED", "1"))


@pytest.fixture(scope="module")
def source(broker: EmbeddedBroker) -> str:
    return publish(broker, market_messages(seed=5, seconds=30, fuzz=40))


@pytest.fixture(scope="module")
def undisturbed(spark: SparkSession, source: str, tmp_path_factory) -> Path:
    lake = tmp_path_factory.mktemp("undisturbed") / "lake"
    fill(spark, source, lake, settings_with(max_offsets_per_batch=OFFSETS))
    return lake


@pytest.mark.timeout(900)
def test_killed_and_with_s3_failing_the_lake_is_that_of_a_quiet_run(
    source: str,
    undisturbed: Path,
    s3_server: S3Server,
    s3_bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
):
    lake = f"s3a://{s3_bucket}/lakes/main"
    with faulty(s3_server, seed=FAULTS_SEED, rate=0.05, slow_s=0.5) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        crash(source, lake, OFFSETS, "silver/quotes", 2)
        marketlake(
            *("stream", "--source", source, "--lake", lake, "--until-idle"),
            *("--max-offsets", str(OFFSETS)),
        )
        with urllib.request.urlopen(f"{proxy.url}/-/faults", timeout=10) as answer:
            faults = json.load(answer)
    print(f"seed {FAULTS_SEED}: {faults}")
    assert all(faults[kind] for kind in ("refused 500", "refused 503", "done but 500", "slow"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.url)
    assert_same(undisturbed, lake)
    assert_same_state(undisturbed, lake)
    assert len(Manifests(Storage(lake), PIPELINE).sequences()) > 2
    assert "identical" in marketlake("reconcile", "--lake", lake)
    rows = {
        t["table"]: t["rows"] for t in json.loads(marketlake("tables", "--lake", lake, "--json"))
    }
    counted = marketlake("sql", "--lake", lake, "select count(*) n from gold.bars", "--json")
    assert json.loads(counted) == [{"n": rows["gold.bars"]}]
    # Made anew on S3 from its bronze, and switched to, it is the same lake once more.
    anew = f"s3a://{s3_bucket}/lakes/anew"
    said = json.loads(marketlake("rebuild", "--from", lake, "--lake", anew, "--switch", "--json"))
    assert said["switched"]
    assert_same(undisturbed, anew)
    assert_same_state(undisturbed, anew)
