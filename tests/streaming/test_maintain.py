"""Upkeep beside a stream: the lake is that of a quiet run, and the stream goes on after it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from marketlake.contracts.tables import BRONZE_EVENTS
from marketlake.lake.compare import lake_differences
from marketlake.lake.storage import Storage
from marketlake.local.broker import EmbeddedBroker
from marketlake.settings.model import MaintainSettings
from spark_jobs.maintain_command import Maintained, maintain
from spark_jobs.reconcile_command import reconcile

from .lakes import COMPARED, fill, market_messages, publish, send, settings_with

pytestmark = [pytest.mark.spark, pytest.mark.broker, pytest.mark.slow]

# Whatever may go goes at once: harsher than a lake would ever be kept.
EAGER = MaintainSettings.model_construct(
    **{**MaintainSettings(min_files=2).model_dump(), "removed_hours": 1, "undecided_hours": 1}
)


class Beside(threading.Thread):
    """Keeps a lake again and again."""

    def __init__(self, lake: Path) -> None:
        super().__init__()
        self._storage = Storage(str(lake))
        self._done = threading.Event()
        self.runs: list[Maintained] = []
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            while not self._done.wait(0.5):
                if self._storage.exists("state/folds/_delta_log/00000000000000000001.json"):
                    self.runs.append(maintain(self._storage, EAGER, dry_run=False))
        except Exception as error:  # noqa: BLE001 - told in the test
            self.error = error

    def stop(self) -> None:
        self._done.set()
        self.join()
        if self.error is not None:
            raise self.error


def test_a_stream_goes_on_while_its_lake_is_kept_and_after(
    spark: SparkSession, broker: EmbeddedBroker, tmp_path: Path
):
    messages = market_messages(seed=9, seconds=40, fuzz=20)
    half = len(messages) // 2
    source = publish(broker, messages[:half])
    settings = settings_with(max_offsets_per_batch=700, trigger_ms=0)
    lake, quiet = tmp_path / "lake", tmp_path / "quiet"
    beside = Beside(lake)
    beside.start()
    fill(spark, source, lake, settings)
    beside.stop()
    fill(spark, source, quiet, settings)
    assert beside.runs
    assert sum(t.partitions for run in beside.runs for t in run.tables) > 5
    assert lake_differences(str(lake), str(quiet), [BRONZE_EVENTS, *COMPARED]) == []
    maintain(Storage(str(lake)), EAGER, dry_run=False)
    send(broker, source.rpartition("/")[2], messages[half:])
    for place in (lake, quiet):
        fill(spark, source, place, settings)
    assert lake_differences(str(lake), str(quiet), [BRONZE_EVENTS, *COMPARED]) == []
    done = maintain(Storage(str(lake)), EAGER, dry_run=False)
    assert all(t.files_after <= t.files_before for t in done.tables)
    assert reconcile(str(lake), settings) == []
