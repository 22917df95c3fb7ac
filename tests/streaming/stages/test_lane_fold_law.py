"""Law 2 for step one: where messages are cut, or a restart in between, shows nowhere."""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from marketlake.analytics.arrays import pack_arrays, unpack_arrays
from marketlake.contracts.control import Control
from marketlake.contracts.reasons import Reason
from streaming.stages.lane_fold import LaneFold
from streaming.stages.lane_state import STATE_SCHEMA

from . import wire_streams

EVENT_TYPES = ("trade", "quote", "book", "bar")
LAW = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow],
    # A failure needs no smaller example, and a run takes its time.
    "phases": [Phase.generate],
}


@cache
def stream_of(event_type, seed=7):
    return wire_streams.wire(event_type, seed)


@cache
def undisturbed(event_type):
    stream = stream_of(event_type)
    return wire_streams.run(event_type, stream, controls=wire_streams.end_of(stream))


def state_of(rows):
    return pa.table([list(column) for column in zip(*rows, strict=True)], schema=STATE_SCHEMA)


def same(found, expected):
    for name in (
        "reasons", "silver", "bars", "anomalies", "tops", "microstructure", "state",
    ):  # fmt: skip
        ours, theirs = getattr(found, name), getattr(expected, name)
        # Not in one assertion: the difference of long lists takes minutes to explain.
        if ours != theirs:
            pairs = zip(ours, theirs, strict=False)
            at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(ours), len(theirs)))
            pytest.fail(
                f"{name} differ at {at}: {ours[at : at + 1]} != {theirs[at : at + 1]}"[:800]
            )
    assert list(found.indicators) == list(expected.indicators)
    assert b"".join(found.indicators.values()) == b"".join(expected.indicators.values())


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_the_streams_hold_what_the_law_is_about(event_type):
    stream, result = stream_of(event_type), undisturbed(event_type)
    reasons = np.array(result.reasons)
    for reason in (Reason.TOO_LATE, Reason.DUPLICATE, Reason.WRONG_TOPIC, Reason.UNPARSABLE):
        assert (reasons & reason).any(), reason.name
    if event_type != "book":
        assert (reasons & Reason.CONFLICT).any()
    assert len(result.silver) > len(stream.messages) / 2
    if event_type in ("trade", "bar"):
        assert len(result.bars) > 200
        assert not result.tops
    else:
        assert len(result.tops) == len(result.silver)
    assert len(result.anomalies) > 5
    assert (len(result.microstructure) > 20) is (event_type != "bar")


@pytest.mark.parametrize("event_type", EVENT_TYPES)
@settings(max_examples=8, **LAW)
@given(data=st.data())
def test_any_cut_with_a_restart_gives_the_same_bits(event_type, data):
    stream = stream_of(event_type)
    cuts = data.draw(st.lists(st.integers(0, len(stream.messages)), max_size=8))
    found = wire_streams.run(
        event_type,
        stream,
        cuts,
        wire_streams.end_of(stream),
        restart=data.draw(st.booleans()),
    )
    same(found, undisturbed(event_type))


@pytest.mark.parametrize("event_type", EVENT_TYPES)
@settings(max_examples=5, **LAW)
@given(data=st.data())
def test_control_events_act_at_their_position_and_nowhere_else(event_type, data):
    stream = stream_of(event_type)
    size = len(stream.messages)
    places = st.integers(1, size - 1)
    controls = wire_streams.end_of(stream)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(places)
        kind = data.draw(st.sampled_from(["idle", "end"]))
        ahead_us = data.draw(st.sampled_from([-2_000_000, 0, 3_000_000]))
        time_us = int(stream.times_us[at - 1]) + ahead_us
        controls[at] = [Control(kind, time_us), Control("resume", time_us)]
    cuts = data.draw(st.lists(st.integers(0, size), max_size=6))
    plain = wire_streams.run(event_type, stream, (), controls)
    found = wire_streams.run(event_type, stream, cuts, controls, restart=True)
    same(found, plain)


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_one_message_at_a_time_gives_the_same_bits(event_type):
    stream = stream_of(event_type)
    first = wire_streams.Wire(stream.messages[:400], stream.times_us[:400])
    end = wire_streams.end_of(first)
    plain = wire_streams.run(event_type, first, (), end)
    same(wire_streams.run(event_type, first, range(400), end), plain)


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_a_state_restored_gives_itself_mid_stream(event_type):
    stream = stream_of(event_type)
    fold = LaneFold(event_type, wire_streams.SETTINGS)
    half = len(stream.messages) // 2
    fold.step(stream.messages[:half], stream.times_us[:half])
    assert fold.watermark_us > 0
    restored = LaneFold(event_type, wire_streams.SETTINGS)
    restored.restore(fold.state())
    assert restored.state() == fold.state()
    assert restored.watermark_us == fold.watermark_us
    keys = [row[:3] for row in wire_streams.rows_of(fold.state())]
    assert len(set(keys)) == len(keys), "state/folds is keyed by venue, instrument and kind"


def test_whether_an_input_is_active_is_part_of_its_state():
    fold = LaneFold("quote", wire_streams.SETTINGS)
    assert fold.admission.clock(0).active
    for kind, active in (("idle", False), ("resume", True), ("end", False)):
        fold.control(Control(kind, 1))
        assert fold.admission.clock(0).active is active
        restored = LaneFold("quote", wire_streams.SETTINGS)
        restored.restore(fold.state())
        assert restored.admission.clock(0).active is active


def test_an_instrument_that_left_the_reference_table_is_named():
    fold = LaneFold("trade", wire_streams.SETTINGS)
    stream = stream_of("trade")
    fold.step(stream.messages[:100], stream.times_us[:100])
    first = fold.catalog.instruments[0]
    rows = wire_streams.rows_of(fold.state())
    [(*key, payload)] = [row for row in rows if row[2] == "lane"]
    arrays = unpack_arrays(payload)
    names = arrays["catalog"].tobytes().replace(first.venue.encode(), b"mtgox", 1)
    arrays["catalog"] = np.frombuffer(names, np.uint8)
    state = state_of([(*key, pack_arrays(arrays))])
    with pytest.raises(ValueError, match=r"mtgox .* is in the state but not in the reference"):
        LaneFold("trade", wire_streams.SETTINGS).restore(state)


def test_a_payload_of_another_layout_is_refused():
    stream = stream_of("trade")
    fold = LaneFold("trade", wire_streams.SETTINGS)
    fold.step(stream.messages, stream.times_us)
    rows = [
        (venue, instrument, kind, delta, payload if kind == "lane" else payload[:-8])
        for venue, instrument, kind, delta, payload in wire_streams.rows_of(fold.state())
    ]
    with pytest.raises(ValueError, match="words where"):
        LaneFold("trade", wire_streams.SETTINGS).restore(state_of(rows))
