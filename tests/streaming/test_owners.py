"""Which lanes must be one, and when they may part, by hand."""

from __future__ import annotations

from marketlake.contracts.control import Control
from streaming.positions import Owners
from streaming.stages.messages import Counts, InputPosition, LaneResult

BTC, ETH, SOL = "BTC-USDT", "ETH-USDT", "SOL-USDT"
S = 1_000_000


def position(partition, lane="", watermark_us=0, topic="market.trades", *, active=True):
    return InputPosition(topic, partition, 5, watermark_us, watermark_us, active, lane)


def result(position, *met, unsettled_us=0, members=()):
    return LaneResult(
        name=position.lane_name,
        files=[],
        state_file=None,
        counts=Counts(),
        positions=[position, *members],
        met=list(met),
        unsettled_us=unsettled_us,
    )


def inputs(*positions):
    return {p.name: p for p in positions}


def joins(events):
    return {p.name: event.lane for p, event in events if event.kind == "join"}


def test_instruments_of_their_own_leave_lanes_alone():
    owners = Owners()
    first, second = position(0), position(1)
    assert owners.shared({}, [result(first, BTC), result(second, ETH)]) == []
    owners.note([result(first, BTC), result(second, ETH)])
    # Met again after a restart of the worker, and by its own lane.
    assert owners.shared(inputs(first, second), [result(first, BTC)]) == []


def test_an_instrument_in_a_new_partition_joins_it_to_the_lane_that_has_it():
    owners = Owners()
    old, other = position(0), position(1)
    owners.note([result(old, BTC), result(other, ETH)])
    events = owners.shared(inputs(old, other), [result(position(3), BTC)])
    assert joins(events) == {
        "market.trades-0": "market.trades-0",
        "market.trades-3": "market.trades-0",
    }
    # The new one has come nowhere yet, for the batch is not decided.
    assert {p.name: p.next_offset for p, _ in events} == {
        "market.trades-0": 5, "market.trades-3": -1
    }  # fmt: skip


def test_two_lanes_that_meet_an_instrument_at_once_are_joined():
    events = Owners().shared({}, [result(position(2), BTC), result(position(1), BTC)])
    assert joins(events) == {
        "market.trades-1": "market.trades-1",
        "market.trades-2": "market.trades-1",
    }


def test_what_hangs_together_becomes_one_lane_and_the_rest_stays():
    owners = Owners()
    known = [position(n) for n in range(4)]
    owners.note([result(known[0], BTC), result(known[1], ETH), result(known[2], SOL)])
    met = [result(known[1], BTC), result(known[2], ETH), result(known[3])]
    assert joins(owners.shared(inputs(*known), met)) == dict.fromkeys(
        ["market.trades-0", "market.trades-1", "market.trades-2"], "market.trades-0"
    )


def test_the_same_instrument_in_another_topic_is_another_matter():
    owners = Owners()
    owners.note([result(position(0), BTC)])
    quotes = position(1, topic="market.quotes")
    assert owners.shared({}, [result(quotes, BTC)]) == []


def test_all_partitions_of_a_joined_lane_are_named_when_it_grows():
    owners = Owners()
    members = [position(n, "market.trades-0") for n in (0, 1)]
    owners.note([result(members[0], BTC, members=members[1:])])
    events = owners.shared(inputs(*members), [result(position(2), BTC)])
    assert joins(events).keys() == {"market.trades-0", "market.trades-1", "market.trades-2"}


def test_a_lane_parts_when_its_instruments_have_settled_for_long_enough():
    owners = Owners()
    members = [position(n, "market.trades-0", 70 * S) for n in (0, 1)]
    # One that is quiet does not hold the others back.
    members.append(position(2, "market.trades-0", 5 * S, active=False))
    known = inputs(*members, position(7))
    # After a restart it is not known yet when an instrument strayed last.
    assert owners.settled(known, 60 * S) == []
    owners.note([result(members[0], unsettled_us=11 * S)])
    assert owners.settled(known, 60 * S) == []
    owners.note([result(members[0], unsettled_us=10 * S)])
    assert owners.settled(known, 60 * S) == [(p, Control("part")) for p in members]


def test_after_parting_an_instrument_belongs_where_it_went():
    owners = Owners()
    owners.note([result(position(0, "market.trades-0"), BTC, ETH)])
    owners.note([result(position(0), ETH), result(position(1), BTC)])
    assert owners.shared(inputs(position(0), position(1)), [result(position(1), BTC)]) == []
    assert joins(owners.shared(inputs(position(0), position(1)), [result(position(0), BTC)]))
