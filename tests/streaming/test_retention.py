"""Old manifests and states go; whence a day can be computed again stays."""

from __future__ import annotations

import os
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from marketlake.lake.datafiles import DataFile
from marketlake.lake.manifests import Manifest, ManifestInput, Manifests
from marketlake.lake.retention import in_flight, retain
from marketlake.lake.storage import Storage
from marketlake.settings.model import MaintainSettings
from streaming.pipeline import PIPELINE
from streaming.recompute import BatchHistory, day_start_us

FIRST = date(2025, 1, 1)
DAY_US = 86_400_000_000
SETTINGS = MaintainSettings(manifest_days=30, boundary_days=365, undecided_hours=24)


def state_file(sequence: int) -> DataFile:
    return DataFile(
        "state/folds", f"input=a/{sequence:08d}-a.parquet", 1, 1, "", {"input": "a"}, ""
    )


def lake_of(folder: str, days: list[int], age_days: float) -> Storage:
    """A lake whose batches each saw up to some day, the last of them so old.

    Its states are chains of up to three files, as the stream leaves them.
    """
    storage = Storage(folder)
    manifests = Manifests(storage, PIPELINE)
    last_us = time.time_ns() // 1_000 - int(age_days * DAY_US)
    chain: list[DataFile] = []
    for sequence, day in enumerate(days):
        latest_us = day_start_us(FIRST + timedelta(days=day)) + sequence
        file = state_file(sequence)
        chain = [*(chain if len(chain) < 3 else []), file]
        manifests.write(
            Manifest(
                sequence=sequence,
                kind="messages",
                spark_batch=sequence,
                source="test",
                ingest_time_us=last_us - (len(days) - sequence) * 1_000_000,
                inputs={
                    "a-0": ManifestInput("a", 0, sequence, 0, latest_us, True),
                    "a-1": ManifestInput("a", 1, sequence, 0, -(2**62), True),
                },
                files=[DataFile("gold/bars", f"{sequence}.parquet", 1, 1, "", {}, "")],
                state_files={"a": chain},
                replaced_state_files=[],
                counts={},
            )
        )
        path = f"{file.table}/{file.path}"
        storage.write(path, b"state")
        os.utime(storage.local_root / path, (time.time() - 90_000,) * 2)
    return storage


def starts(storage: Storage, days: list[int]) -> dict[int, int | None]:
    """The batch that each day would be computed again from, with its state."""
    history = BatchHistory(storage)
    found = {}
    for day in range(max(days) + 2):
        before = history.before_day(FIRST + timedelta(days=day))
        found[day] = None if before is None else before.sequence
        if before is not None:
            for file in before.state_files["a"]:
                assert storage.exists(f"{file.table}/{file.path}")
    return found


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=25), st.sampled_from([0.0, 29.9, 31.0]))
def test_each_day_can_still_be_computed_from_where_it_began(steps: list[int], age_days: float):
    days = [sum(steps[: i + 1]) for i in range(len(steps))]
    with tempfile.TemporaryDirectory() as folder:
        storage = lake_of(folder, days, age_days)
        before = starts(storage, days)
        last = Manifests(storage, PIPELINE).last()
        told = retain(storage, SETTINGS, dry_run=True)
        assert starts(storage, days) == before
        done = retain(storage, SETTINGS, dry_run=False)
        assert told == done
        assert starts(storage, days) == before
        assert Manifests(storage, PIPELINE).last() == last
        kept = Manifests(storage, PIPELINE).sequences()
        # By hand: the first, the last, and each after which a later day came.
        needed = {0, len(days) - 1} | {i for i in range(len(days) - 1) if days[i] < days[i + 1]}
        assert set(kept) == (needed if age_days > 30 else set(range(len(days))))
        chains = {
            f.path for i in needed for f in Manifests(storage, PIPELINE).read(i).state_files["a"]
        }
        stored = {file.path.removeprefix("state/folds/") for file in storage.walk("state/folds")}
        assert stored == chains
        assert retain(storage, SETTINGS, dry_run=False).removed_manifests == 0


def test_boundaries_go_when_they_are_older_than_that(tmp_path: Path):
    storage = lake_of(str(tmp_path), [0, 1, 2, 3], age_days=366)
    assert retain(storage, SETTINGS, dry_run=False).boundaries == 0
    assert Manifests(storage, PIPELINE).sequences() == [0, 3]
    # A day is then computed from the first batch on, whose state is there.
    assert starts(storage, [3]) == {0: None, 1: 0, 2: 0, 3: 0, 4: 3}


def test_states_that_are_new_stay_for_a_batch_may_be_about_to_name_them(tmp_path: Path):
    storage = lake_of(str(tmp_path), [0, 0, 0, 0, 0], age_days=0)
    fresh = state_file(99)
    storage.write(f"{fresh.table}/{fresh.path}", b"state")
    assert retain(storage, SETTINGS, dry_run=False).removed_states == 2
    assert storage.exists(f"{fresh.table}/{fresh.path}")


def test_what_the_last_batch_wrote_is_in_flight(tmp_path: Path):
    assert in_flight(Storage(str(tmp_path))) == set()
    storage = lake_of(str(tmp_path), [0, 0], age_days=0)
    assert in_flight(storage) == {"gold/bars/1.parquet"}
