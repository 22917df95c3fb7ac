"""Idleness is an event: bars of a quiet market close, messages that come again are judged by it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest
from pyspark.sql import SparkSession

from marketlake.contracts.events import Trade, encode
from marketlake.lake.errors import LakeError
from marketlake.lake.query import open_lake
from marketlake.local.broker import EmbeddedBroker
from spark_jobs.reconcile_command import reconcile
from streaming.runner import StreamRunner
from streaming.sources.kafka import KafkaSource

from .lakes import Message, fill, publish, send, settings_with

pytestmark = [pytest.mark.spark, pytest.mark.broker, pytest.mark.slow]

NOON_US = 1_736_942_400_000_000
S = 1_000_000


def trade(second: float, instrument: str, price: float) -> Message:
    event = Trade("binance", instrument, NOON_US + int(second * S), price, 1.0)
    return "trade", instrument.encode(), encode(event)


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float = 250.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {timeout_s} s"
        time.sleep(0.2)


def rows(lake: Path, query: str) -> list[tuple[object, ...]]:
    try:
        return open_lake(str(lake)).sql(query).fetchall()
    except (LakeError, duckdb.CatalogException):
        # The stream makes its tables one after another: not all of them may stand yet.
        return []


@contextmanager
def in_background(runner: StreamRunner) -> Iterator[None]:
    """Run a stream beside the test, and end it whatever the test comes to."""
    with ThreadPoolExecutor(1) as threads:
        run = threads.submit(runner.run, until_idle=False)
        try:
            yield
        finally:
            runner.stop()
            run.result(200)


def test_a_quiet_market_closes_its_bars_and_comes_back(
    spark: SparkSession, broker: EmbeddedBroker, tmp_path: Path
):
    # seconds      0    1    61 |  idle  | 30 (late)  61.5 (late)  120   121
    # BTC-USDT     100  101  99 |        | 98         97           105   106
    lake = tmp_path / "lake"
    before = [trade(0, "BTC-USDT", 100), trade(1, "BTC-USDT", 101), trade(61, "BTC-USDT", 99)]
    source = publish(broker, before)
    settings = settings_with(idle_ms=1_000, trigger_ms=100)
    runner = StreamRunner(spark, KafkaSource.parse(source), str(lake), settings)
    closed = (
        "SELECT interval, close FROM gold.bars WHERE origin = 'trades' ORDER BY interval, open_time"
    )
    minutes = [("1m", 101.0), ("1m", 99.0)]
    seconds = [("1s", 100.0), ("1s", 101.0), ("1s", 99.0)]
    with in_background(runner):
        wait_for(lambda: rows(lake, closed) == minutes + seconds, "closed bars of a quiet market")
        idle = rows(lake, "SELECT DISTINCT source FROM bronze.events WHERE source <> 'kafka'")
        assert idle == [("marketlake/idle",)]

        prefix = source.rpartition("/")[2]
        after = [trade(30, "BTC-USDT", 98), trade(61.5, "BTC-USDT", 97)]
        after += [trade(120, "BTC-USDT", 105), trade(121, "BTC-USDT", 106)]
        send(broker, prefix, after)
        wait_for(
            lambda: rows(lake, "SELECT count(*) FROM silver.trades") == [(5,)],
            "trades after idleness",
        )

    fill(spark, source, lake, settings)
    assert rows(lake, closed) == [*minutes, ("1m", 106.0), *seconds, ("1s", 105.0), ("1s", 106.0)]
    late = rows(lake, "SELECT reasons FROM silver.quarantine")
    assert late == [(["too_late"],), (["too_late"],)]
    sources = rows(lake, "SELECT DISTINCT source FROM bronze.events ORDER BY 1")
    assert ("marketlake/resume",) in sources
    assert reconcile(str(lake), settings) == []
