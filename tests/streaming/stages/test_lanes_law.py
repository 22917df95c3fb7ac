"""Law 2 for lanes: how messages came to partitions, and in what order they were read, is unseen."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from marketlake.contracts.control import Control
from marketlake.contracts.reasons import Reason
from marketlake.feeds.simulator import SimulationConfig, simulate
from marketlake.lake.datafiles import write_files
from marketlake.lake.errors import LakeError
from marketlake.lake.storage import Storage
from marketlake.settings.model import StreamSettings
from streaming.stages import state_files
from streaming.stages.lane_fold import LaneFold
from streaming.stages.state_files import read_state, seal_state

from . import wire_streams

EVENT_TYPES = ("trade", "quote", "bar")
SETTINGS = wire_streams.SETTINGS.model_copy(
    update={"stream": StreamSettings(lateness_ms=60_000, quote_lateness_ms=60_000)}
)
"""Lateness that no message of the streams below exceeds, in any partition."""
LAW = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow],
    "phases": [Phase.generate],
    "max_examples": 12,
}


@dataclass(frozen=True)
class Stream:
    """Messages in the order in which they were sent."""

    messages: list[bytes]
    instruments: list[str]
    times_us: np.ndarray

    def part(self, indices):
        rows = list(indices)
        return [self.messages[i] for i in rows], self.times_us[rows]


@cache
def stream_of(event_type):
    """Late, doubled and reordered messages."""
    market = simulate(
        SimulationConfig(
            seed=5,
            duration_s=wire_streams.DURATION_S[event_type] // 2,
            instruments=("BTC-USDT", "ETH-USDT", "USDC-USD", "USDC-USDT", "BTC-USD"),
            trades_per_second=8.0 if event_type in ("trade", "bar") else 0.05,
            quotes_per_second=0.8 if event_type == "quote" else 0.01,
            books_per_second=0.01,
            late_rate=0.1,
            late_max_s=2.0,
            duplicate_rate=0.1,
            reorder_rate=0.1,
            incidents=(),
        )
    )
    values = [value for kind, _, value in market.messages() if kind == event_type]
    events = [json.loads(value) for value in values]
    latest_us = np.maximum.accumulate([event["event_time_us"] for event in events])
    return Stream(values, [event["instrument"] for event in events], latest_us)


def end_us(stream):
    return int(stream.times_us[-1]) // 60_000_000 * 60_000_000 + 180_000_000


def outputs(out):
    """What a run gave, in one order."""
    silver = sorted(json.dumps(row, default=str, sort_keys=True) for row in out.silver)
    found = (sorted(out.bars), sorted(out.indicators.items()))
    return silver, *found, sorted(out.anomalies), sorted(out.tops)


@cache
def one_partition(event_type):
    stream, out = stream_of(event_type), wire_streams.Run()
    fold = LaneFold(event_type, SETTINGS)
    judged, output = fold.step(stream.messages, stream.times_us)
    assert not (judged.reasons & Reason.TOO_LATE).any()
    assert (judged.reasons & Reason.DUPLICATE).any()
    out.take(fold, judged, output)
    out.take(fold, None, fold.control(Control("end", end_us(stream))))
    return outputs(out)


class Reader:
    """Partitions read in pieces, into lanes that restart after each."""

    def __init__(self, event_type, stream):
        self.event_type, self.stream, self.out = event_type, stream, wire_streams.Run()
        self.lanes = {p: LaneFold(event_type, SETTINGS) for p in (0, 1)}
        self.partitions = {0: [], 1: []}
        self.read = {0: 0, 1: 0}

    def send(self, indices, partition_of):
        for i in indices:
            self.partitions[partition_of(i)].append(i)

    def take(self, partition, count):
        """Read the next messages of a partition."""
        begin = self.read[partition]
        rows = self.partitions[partition][begin : begin + count]
        self.read[partition] += len(rows)
        fold = self.lanes[partition]
        if rows:
            messages, times_us = self.stream.part(rows)
            judged, output = fold.step(messages, times_us, partition=partition)
            self.out.take(fold, judged, output)
        restored = self.restored(fold)
        for p, lane in self.lanes.items():
            if lane is fold:
                self.lanes[p] = restored

    def restored(self, fold):
        restored = LaneFold(self.event_type, SETTINGS)
        restored.restore(fold.state())
        assert restored.state() == fold.state()
        return restored

    def drain(self, draw):
        """Read all there is, in pieces of any size, in any order of the partitions."""
        while left := [p for p in (0, 1) if self.read[p] < len(self.partitions[p])]:
            self.take(draw(st.sampled_from(left)), draw(st.sampled_from([20, 200, 10_000])))

    def join(self):
        for p in (0, 1):
            self.lanes[p].admission.clock(p)
        self.lanes[0].absorb(self.lanes[1])
        self.lanes[1] = self.lanes[0] = self.restored(self.lanes[0])

    def part(self):
        homes = self.lanes[0].presence.homes()
        self.lanes = {p: self.restored(fold) for p, fold in self.lanes[0].part().items()}
        return homes

    def end(self):
        for p, fold in self.lanes.items():
            event = Control("end", end_us(self.stream))
            self.out.take(fold, None, fold.control(event, p))
        return outputs(self.out)


def keyed(stream):
    # As a producer does: all venues of an instrument in one partition.
    return lambda i: len(stream.instruments[i]) % 2


@pytest.mark.parametrize("event_type", EVENT_TYPES)
@settings(**LAW)
@given(data=st.data())
def test_instruments_that_move_give_what_they_give_in_one_partition(event_type, data):
    stream = stream_of(event_type)
    size = len(stream.messages)
    moved, settled = sorted(data.draw(st.tuples(*[st.integers(1, size)] * 2)))
    reader = Reader(event_type, stream)
    reader.send(range(moved), keyed(stream))
    # Some of what was sent before the move is read after it.
    for p in (0, 1):
        reader.take(p, data.draw(st.integers(0, len(reader.partitions[p]))))
    reader.join()
    anywhere = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, 2, size)
    reader.send(range(moved, settled), lambda i: int(anywhere[i]))
    reader.drain(data.draw)
    homes = reader.part()
    reader.send(range(settled, size), lambda i: homes.get(stream.instruments[i], 0))
    reader.drain(data.draw)
    found, expected = reader.end(), one_partition(event_type)
    for ours, theirs in zip(found, expected, strict=True):
        assert len(ours) == len(theirs)
        assert ours == theirs


@pytest.mark.parametrize("event_type", EVENT_TYPES)
@settings(**LAW)
@given(data=st.data())
def test_the_order_in_which_partitions_are_read_does_not_show_in_the_state(event_type, data):
    stream = stream_of(event_type)
    states = []
    anywhere = np.random.default_rng(3).integers(0, 2, len(stream.messages))
    for _ in range(2):
        reader = Reader(event_type, stream)
        reader.join()
        reader.send(range(len(stream.messages)), lambda i: int(anywhere[i]))
        reader.drain(data.draw)
        states.append(reader.lanes[0].state())
    assert states[0] == states[1]


def test_a_row_before_what_its_lane_had_passed_is_too_late_in_any_partition():
    fold = LaneFold("trade", wire_streams.SETTINGS)
    other = LaneFold("trade", wire_streams.SETTINGS)
    second_us = 1_000_000
    start_us = 1_700_000_000 * second_us

    def trade(seconds, trade_id, instrument="BTC-USDT"):
        return json.dumps(
            {
                "type": "trade", "venue": "binance", "instrument": instrument, "price": 1.0,
                "quantity": 1.0, "trade_id": trade_id, "side": "buy",
                "event_time_us": start_us + int(seconds * second_us),
            }
        ).encode()  # fmt: skip

    def step(lane, partition, *messages):
        judged, _ = lane.step(list(messages), np.full(len(messages), start_us + 99 * second_us),
                              partition=partition)  # fmt: skip
        return judged.reasons.tolist()

    assert step(fold, 0, trade(10, "a")) == [0]
    assert step(other, 1, trade(2, "b", "ETH-USDT")) == [0]
    fold.absorb(other)
    # Partition 0 had passed second 6 (4 s of lateness), partition 1 second -2.
    late, in_time = step(fold, 1, trade(5.9, "c"), trade(6, "d"))
    assert late
    assert not in_time
    # ETH was only ever in the slower lane: its rows of that time are in time.
    assert step(fold, 1, trade(4, "e", "ETH-USDT")) == [0]
    # A message that was in partition 0 comes again in partition 1.
    assert step(fold, 1, trade(10, "a")) != [0]


def test_lanes_that_both_have_an_instrument_are_not_joined():
    stream = stream_of("trade")
    lanes = [LaneFold("trade", wire_streams.SETTINGS) for _ in range(2)]
    for partition, lane in enumerate(lanes):
        lane.step(*stream.part(range(50)), partition=partition)
    with pytest.raises(ValueError, match="has state in both lanes"):
        lanes[0].absorb(lanes[1])


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_what_changed_applied_to_what_was_gives_what_is(event_type, tmp_path):
    stream, storage = stream_of(event_type), Storage(str(tmp_path))
    fold, twin = (LaneFold(event_type, wire_streams.SETTINGS) for _ in range(2))
    size = len(stream.messages)
    bounds = [0, size // 2, size // 2 + 4, size // 2 + 4, size * 3 // 4, size]
    order = [(name, "ascending") for name in ("kind", "venue", "instrument")]
    paths, rows = [], []
    for begin, end in pairwise(bounds):
        for each in (fold, twin):
            each.step(*stream.part(range(begin, end)))
        state = fold.changes() if paths else fold.state()
        rows.append(state.num_rows)
        sealed = seal_state(storage, f"{begin}-{end}", "instruments", "x-0", end, state)
        (file,) = write_files(storage, [sealed])
        paths.append(f"{file.table}/{file.path}")
        assert read_state(storage, paths).sort_by(order) == twin.state().sort_by(order)
        if end == size * 3 // 4:
            # As after a restart: what is written next follows what was read.
            fold = LaneFold(event_type, wire_streams.SETTINGS)
            fold.restore(read_state(storage, paths))
    # Of four messages few rows were written, of none only that of the whole lane.
    assert rows[1] < rows[0]
    assert rows[2] == 1
    assert rows[3] > 1


def test_a_state_of_another_release_is_refused_with_one_line(tmp_path, monkeypatch):
    storage, fold = Storage(str(tmp_path)), LaneFold("trade", SETTINGS)
    monkeypatch.setattr(state_files, "STATE_VERSION", state_files.STATE_VERSION - 1)
    sealed = seal_state(storage, "a", "instruments", "x-0", 0, fold.state())
    (file,) = write_files(storage, [sealed])
    monkeypatch.undo()
    with pytest.raises(LakeError, match="run the release that wrote it") as refusal:
        read_state(storage, [f"{file.table}/{file.path}"])
    assert "\n" not in str(refusal.value)
