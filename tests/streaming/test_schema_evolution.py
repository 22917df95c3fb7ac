"""A wire field that a release came to know reaches silver in a lake of the release before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from marketlake.contracts.tables import SILVER_TRADES, STREAM_TABLES
from marketlake.lake.delta import DeltaTables
from marketlake.lake.query import open_lake
from marketlake.lake.storage import Storage
from marketlake.local.broker import EmbeddedBroker
from spark_jobs.reconcile_command import reconcile
from streaming import pipeline as stream

from .lakes import fill, market_messages, publish, send, settings_with

pytestmark = [pytest.mark.spark, pytest.mark.broker, pytest.mark.slow]


def older_release() -> tuple:
    """The tables of a release that did not know of an optional field of trades."""
    columns = tuple(c for c in SILVER_TRADES.columns if c.name != "side")
    older = replace(SILVER_TRADES, columns=columns)
    return tuple(older if table is SILVER_TRADES else table for table in STREAM_TABLES)


def test_a_field_that_is_new_reaches_silver_without_a_new_lake(
    spark: SparkSession, broker: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    settings = settings_with()
    messages = market_messages(seed=4, seconds=10)
    source = publish(broker, messages[: len(messages) // 2])
    # Only the tables are older: what the workers write has the column, which readers do not see.
    monkeypatch.setattr(stream, "STREAM_TABLES", older_release())
    fill(spark, source, tmp_path, settings)
    assert "side" not in open_lake(str(tmp_path)).table("silver.trades").columns
    monkeypatch.undo()
    send(broker, source.rpartition("/")[2], messages[len(messages) // 2 :])
    fill(spark, source, tmp_path, settings)
    [[sides]] = open_lake(str(tmp_path)).execute("SELECT count(side) FROM silver.trades").fetchall()
    assert sides > 0
    assert reconcile(str(tmp_path), settings) == []


def test_a_table_that_does_not_fit_ends_the_stream_before_it_writes(
    spark: SparkSession, broker: EmbeddedBroker, tmp_path: Path
):
    columns = tuple(c for c in SILVER_TRADES.columns if c.name != "price")
    older = replace(SILVER_TRADES, columns=columns)
    DeltaTables(Storage(str(tmp_path)), [older]).create_all()
    source = publish(broker, market_messages(seed=4, seconds=2))
    with pytest.raises(Exception, match="silver/trades has no column price, which may not be"):
        fill(spark, source, tmp_path, settings_with())
    assert not list((tmp_path / "bronze").rglob("*.parquet"))
