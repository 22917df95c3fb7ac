"""A state of an older release is brought to the present layout, and the fold goes on from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from marketlake.lake.datafiles import write_files
from marketlake.lake.errors import LakeError
from marketlake.lake.storage import Storage
from streaming.stages import lane_task, state_files
from streaming.stages.lane_fold import LaneFold
from streaming.stages.lane_state import STATE_SCHEMA, STATE_VERSION, bytes_as_words, words_as_bytes
from streaming.stages.lane_task import LaneTask
from streaming.stages.messages import BatchPlan, StateFile
from streaming.stages.state_files import read_state, read_versioned, seal_state

from . import wire_streams

TOPIC, LANE = "market.trades", "market.trades-0"
OLD = STATE_VERSION
NEW = OLD + 1
ORDER = [(name, "ascending") for name in ("kind", "venue", "instrument")]


def older(state: pa.Table) -> pa.Table:
    """The layout of the release before, as a test makes it up: words in the opposite order, after
    one more that the new release has no use for. Changes are made of it as of any words.
    """
    return each_series(state, lambda words: np.hstack([words * 0, words[:, ::-1]]))


def upgrade(state: pa.Table) -> pa.Table:
    """What the new release does with it."""
    assert not pc.any(state["delta"]).as_py()

    def newer(words: np.ndarray) -> np.ndarray:
        half = words.shape[1] // 2
        assert not words[:, :half].view(np.int64).any()
        return words[:, half:][:, ::-1]

    return each_series(state, newer)


def each_series(state: pa.Table, change) -> pa.Table:
    parts = []
    for kind in sorted(state["kind"].unique().to_pylist()):
        rows = state.filter(pc.equal(state["kind"], kind))
        if rows["instrument"][0].as_py():
            # As integers: a word may be no number.
            words = bytes_as_words(rows["payload"].combine_chunks()).view(np.int64)
            new = np.ascontiguousarray(change(words)).view(np.float64)
            rows = rows.set_column(4, STATE_SCHEMA.field("payload"), words_as_bytes(new))
        parts.append(rows)
    return pa.concat_tables(parts).cast(STATE_SCHEMA)


@pytest.fixture
def wire():
    return wire_streams.wire("trade", seed=3, fuzz=0)


def part(wire, begin: int, end: int):
    return wire.messages[begin:end], wire.times_us[begin:end]


@pytest.fixture
def old_chain(tmp_path: Path, wire) -> tuple[StateFile, ...]:
    """The chain that the release before left: a whole state, then two of changes."""
    storage, fold = Storage(str(tmp_path)), LaneFold("trade", wire_streams.SETTINGS)
    chain = []
    for number, (begin, end) in enumerate([(0, 200), (200, 230), (230, 300)]):
        fold.step(*part(wire, begin, end))
        state = older(fold.changes() if number else fold.state())
        sealed = seal_state(storage, f"{number:08d}-{LANE}", "instruments", LANE, number, state)
        (file,) = write_files(storage, [sealed])
        chain.append(StateFile(f"{file.table}/{file.path}", file.size_bytes))
    return tuple(chain)


@pytest.fixture
def new_release(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (state_files, lane_task):
        monkeypatch.setattr(module, "STATE_VERSION", NEW)
    monkeypatch.setattr(state_files, "UPGRADES", {OLD: upgrade})


def twin_of(wire, upto: int) -> LaneFold:
    fold = LaneFold("trade", wire_streams.SETTINGS)
    for begin, end in [(0, 200), (200, 230), (230, 300), (300, upto)]:
        fold.step(*part(wire, begin, end))
    return fold


def test_a_chain_of_the_release_before_gives_the_state_bit_for_bit(
    tmp_path: Path, wire, old_chain, new_release
):
    paths = [file.path for file in old_chain]
    state, version = read_versioned(Storage(str(tmp_path)), paths)
    assert version == OLD
    twin = twin_of(wire, 300)
    assert state.sort_by(ORDER) == twin.state().sort_by(ORDER)
    restored = LaneFold("trade", wire_streams.SETTINGS)
    restored.restore(state)
    for fold in (restored, twin):
        fold.step(*part(wire, 300, 420))
    assert restored.state().sort_by(ORDER) == twin.state().sort_by(ORDER)


def test_a_lane_writes_its_state_whole_after_an_upgrade_and_then_changes(
    tmp_path: Path, wire, old_chain, new_release, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lane_task, "_CACHE", {})
    chain, upto = old_chain, 300
    wholes = []
    for number in (3, 4):
        plan = BatchPlan(
            lake=str(tmp_path),
            sequence=number,
            label=f"{number:08d}",
            settings=wire_streams.SETTINGS,
            ingest_time_us=0,
            state_files={LANE: chain},
        )
        task = LaneTask(plan, TOPIC, LANE)
        task.fold.step(*part(wire, upto, upto + 60))
        upto += 60
        answers = {kind: payload for _, kind, payload in task.finish()}
        result = lane_task.msgspec.msgpack.decode(answers["lane"], type=lane_task.LaneResult)
        assert result.state_file is not None
        wholes.append(result.state_is_whole)
        held = StateFile(
            f"{result.state_file.table}/{result.state_file.path}", result.state_file.size_bytes
        )
        chain = (held,) if result.state_is_whole else (*chain, held)
        lane_task._CACHE.clear()
    assert wholes == [True, False]
    state, version = read_versioned(Storage(str(tmp_path)), [file.path for file in chain])
    assert version == NEW
    twin = twin_of(wire, 360)
    twin.step(*part(wire, 360, 420))
    assert state.sort_by(ORDER) == twin.state().sort_by(ORDER)


@pytest.mark.parametrize(
    ("version", "upgrades"),
    [(OLD + 2, {OLD: upgrade}), (OLD + 1, {}), (OLD - 1, {OLD: upgrade})],
    ids=["a step is missing", "no way", "written by a newer release"],
)
def test_a_state_without_a_way_is_refused_with_one_line(
    tmp_path: Path, old_chain, monkeypatch: pytest.MonkeyPatch, version, upgrades
):
    monkeypatch.setattr(state_files, "STATE_VERSION", version)
    monkeypatch.setattr(state_files, "UPGRADES", upgrades)
    with pytest.raises(LakeError, match=f"has version {OLD}, this release reads {version}") as e:
        read_state(Storage(str(tmp_path)), [file.path for file in old_chain])
    assert "\n" not in str(e.value)
