"""Law 2 over recorded data: how the replay is cut into batches does not show in any table."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from marketlake.feeds.recorded.catalog import Recording, open_recording
from marketlake.lake.manifests import Manifests
from marketlake.lake.query import open_lake
from marketlake.lake.storage import Storage
from marketlake.local.broker import EmbeddedBroker
from marketlake.settings.model import Settings, load_settings
from streaming.pipeline import PIPELINE

from .lakes import assert_same, assert_same_state, fill, publish_recording

pytestmark = [pytest.mark.spark, pytest.mark.broker, pytest.mark.recorded, pytest.mark.slow]

PARTS = ("link-books-2021-08-20", "binance-ticks-2024-08-08/spot_ethusdt_20240808.gz")
"""Two venues' books and bars, then quotes, trades and books: every type, in 56,937 messages."""

UNLIMITED = 10_000_000


def cut_at(offsets: int) -> Settings:
    # At this fee the recorded books hold opportunities, which open and close across batches.
    return load_settings(
        stream={"max_offsets_per_batch": offsets}, spreads={"uniform_taker_fee_bps": 2.0}
    )


def batches(lake: Path) -> list[int]:
    """Messages of each batch; a control event is none."""
    manifests = Manifests(Storage(str(lake)), PIPELINE)
    counts = (manifests.read(n).counts["read"]["messages"] for n in manifests.sequences())
    return [count for count in counts if count]


@pytest.fixture(scope="module")
def source(broker: EmbeddedBroker, recorded_data: Path) -> str:
    parts = [open_recording(recorded_data / part) for part in PARTS]
    source, summary = publish_recording(broker, Recording(sum((p.files for p in parts), ())))
    assert summary.published == 56_937
    return source


@pytest.fixture(scope="module")
def whole(spark: SparkSession, source: str, tmp_path_factory) -> Path:
    lake = tmp_path_factory.mktemp("whole") / "lake"
    fill(spark, source, lake, cut_at(UNLIMITED))
    return lake


def test_one_batch_fills_every_table_that_it_has_anything_for(whole: Path):
    assert batches(whole) == [56_937]
    lake = open_lake(str(whole))
    counts = {
        f"{layer}.{table}": lake.sql(f"SELECT count(*) FROM {layer}.{table}").fetchall()[0][0]
        for layer, table in lake.sql(
            "SELECT table_schema, table_name FROM information_schema.tables "
            "WHERE table_name NOT IN ('market_summary', 'market_links')"
        ).fetchall()
        if layer in ("silver", "gold")
    }
    # One instrument a venue, and no perpetual: neither a way round nor a basis.
    nothing = {"silver.quarantine", "gold.triangles", "gold.basis"}
    assert {name for name, count in counts.items() if not count} <= nothing
    assert (
        sum(counts[f"silver.{name}"] for name in ("trades", "quotes", "books", "bars"))
        + counts["silver.quarantine"]
        == 56_937
    )
    assert lake.sql(
        "SELECT count(DISTINCT price_basis), count(DISTINCT status) FROM gold.spreads"
    ).fetchall() == [(2, 3)]


@pytest.mark.parametrize("offsets", [1_000, 50_000])
def test_law_2_batches_of_recorded_data_do_not_show(
    spark: SparkSession, source: str, whole: Path, tmp_path: Path, offsets: int
):
    fill(spark, source, tmp_path / "lake", cut_at(offsets))
    taken = batches(tmp_path / "lake")
    assert sum(taken) == 56_937
    assert len(taken) >= 56_937 / offsets
    assert_same(whole, tmp_path / "lake")
    assert_same_state(whole, tmp_path / "lake")
