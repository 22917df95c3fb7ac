"""Old messages leave bronze; what is left is still proven, and what is not is said."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from confluent_kafka import Producer
from pyspark.sql import SparkSession

from marketlake.contracts.events import Trade, encode, topic_of
from marketlake.lake.errors import LakeError
from marketlake.lake.query import open_lake
from marketlake.lake.storage import Storage
from marketlake.local.broker import EmbeddedBroker
from marketlake.settings.model import MaintainSettings
from spark_jobs.batch_process import DailyJob
from spark_jobs.maintain_command import maintain
from spark_jobs.reconcile_command import Beginning, reconcile

from .chaos.plants import changed
from .lakes import fill, settings_with

pytestmark = [pytest.mark.spark, pytest.mark.broker, pytest.mark.slow]

DAYS_BACK = (4, 3, 2, 1)
MINUTES = 12
KEPT_DAYS = 3


def day_of(back: int) -> date:
    return datetime.now(UTC).date() - timedelta(days=back)


def publish_days(broker: EmbeddedBroker) -> str:
    """Trades of some minutes at noon of each day, sent when they happened."""
    prefix = f"t{uuid.uuid4().hex[:12]}"
    for event_type in ("trade", "quote", "book", "bar"):
        broker.create_topic(topic_of(event_type, prefix), 1)
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 20})
    for back in DAYS_BACK:
        noon = datetime.combine(day_of(back), datetime.min.time(), UTC) + timedelta(hours=12)
        for i in range(4 * MINUTES):
            time_us = int((noon + timedelta(seconds=15 * i)).timestamp()) * 1_000_000
            for venue in ("binance", "okx"):
                trade = Trade(venue, "BTC-USDT", time_us, 100.0 + i % 7, 1.0)
                value = encode(trade) if i % 5 else b"junk"
                topic = topic_of("trade", prefix)
                producer.produce(topic, value, b"BTC-USDT", timestamp=time_us // 1_000)
    assert producer.flush(60) == 0
    return f"kafka:{broker.bootstrap}/{prefix}"


def test_what_is_left_is_proven_and_what_is_gone_is_said(
    spark: SparkSession, broker: EmbeddedBroker, tmp_path: Path
):
    settings = settings_with(max_offsets_per_batch=70)
    storage = Storage(str(tmp_path))
    fill(spark, publish_days(broker), tmp_path, settings)
    messages = 8 * MINUTES * len(DAYS_BACK)
    count = "SELECT count(*) FROM bronze.events WHERE source = 'kafka'"
    assert open_lake(str(tmp_path)).execute(count).fetchall() == [(messages,)]
    trimming = MaintainSettings(bronze_days=KEPT_DAYS)
    told = maintain(storage, trimming, dry_run=True)
    assert open_lake(str(tmp_path)).execute(count).fetchall() == [(messages,)]
    done = maintain(storage, trimming, dry_run=False)
    assert done.bronze_rows == told.bronze_rows == 8 * MINUTES
    assert open_lake(str(tmp_path)).execute(count).fetchall() == [(messages - 8 * MINUTES,)]
    # Again it finds nothing to do, and forgets nothing.
    assert maintain(storage, trimming, dry_run=False).bronze_files == 0
    # A batch had messages of the first day and of the second: that cannot be computed, either.
    first = day_of(DAYS_BACK[2])
    assert Beginning.of(storage).day == first
    assert Beginning.of(storage).lines() == [
        f"before {first}: messages were removed from bronze: not compared"
    ]
    assert reconcile(str(tmp_path), settings) == []
    with pytest.raises(LakeError, match="no longer has all messages that this needs"):
        DailyJob(str(tmp_path), day_of(DAYS_BACK[0]), settings).run(rewrite=True)
    assert DailyJob(str(tmp_path), first, settings).run(rewrite=True).written["gold/bars"] > 0
    file = next((tmp_path / "gold" / "bars").rglob(f"*date={first}/day-*.parquet"))
    file.write_bytes(changed(file.read_bytes()))
    assert {d.table for d in reconcile(str(tmp_path), settings)} == {"gold.bars"}
