"""Control events for inputs that go on as others, as a shard does that is split or merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from marketlake.contracts.control import Control
from streaming.positions import Events
from streaming.sources.source import Succession
from streaming.stages.messages import InputPosition, input_name


def joins(inputs: Mapping[str, InputPosition], successions: Sequence[Succession]) -> Events:
    """Give the events that make one lane of inputs and those that they go on as.

    An instrument that does not come again has rows in the old input alone: in one lane with the
    new ones, its bars close as time goes on there.

    Parameters
    ----------
    inputs : mapping
        As the batch before left them; those that begin now are not among them.
    """
    every = dict(inputs)
    lanes: list[set[str]] = []
    for succession in successions:
        places = [*succession.parents, *succession.children]
        fresh = [c for c in succession.children if input_name(*c) not in inputs]
        known = [p for p in succession.parents if input_name(*p) in inputs]
        if not fresh or not known:
            continue
        for topic, partition in fresh:
            every.setdefault(input_name(topic, partition), InputPosition(topic, partition))
        own = {every[name].lane_name for name in map(_name, places) if name in every}
        touching = [lane for lane in lanes if lane & own]
        lanes = [*(lane for lane in lanes if not lane & own), own.union(*touching)]
    return [
        # Of those that begin, a replay cannot know that the stream did not wait for them yet.
        (position, Control("join", lane=min(lane), asleep=position.name not in inputs))
        for lane in lanes
        for position in every.values()
        if position.lane_name in lane
    ]


def endings(inputs: Mapping[str, InputPosition], successions: Sequence[Succession]) -> Events:
    """Give the events after which nobody waits for inputs that have ended.

    Their watermark stays where it is: rows of their last minute still come from those that they go
    on as.
    """
    names = {
        _name(s.ended)
        for s in successions
        if s.heirs is not None and all(_has_begun(inputs, heir) for heir in s.heirs)
    }
    return [
        (inputs[name], Control("idle", inputs[name].watermark_us))
        for name in sorted(names)
        if name in inputs and inputs[name].active
    ]


def _has_begun(inputs: Mapping[str, InputPosition], place: tuple[str, int]) -> bool:
    position = inputs.get(_name(place))
    return position is not None and position.next_offset > 0


def _name(place: tuple[str, int]) -> str:
    return input_name(*place)
