"""Where inputs stand after a batch, and which lane each instrument belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from marketlake.contracts.control import Control
from marketlake.lake.manifests import Manifest
from marketlake.lake.storage import Storage
from streaming.stages.messages import (
    InputPosition,
    LaneResult,
    StateFile,
    least_watermark_us,
)
from streaming.stages.presence import KIND
from streaming.stages.state_files import instruments_of

Events = list[tuple[InputPosition, Control]]
"""Control events, each with the input it is for, as the last batch left it."""

_Instrument = tuple[str, str]
"""Topic and instrument: all its venues go together, for they are compared."""


def positions_of(manifest: Manifest) -> dict[str, InputPosition]:
    """Give the inputs as a batch left them, by name."""
    return {
        name: InputPosition(
            i.topic, i.partition, i.next_offset, i.watermark_us, i.latest_us, i.active, i.lane
        )
        for name, i in manifest.inputs.items()
    }


def state_chains(manifest: Manifest | None) -> dict[str, tuple[StateFile, ...]]:
    """Give the files of each state as a batch left it; none before the first batch."""
    chains = manifest.state_files.items() if manifest else ()
    return {
        name: tuple(StateFile(f"{file.table}/{file.path}", file.size_bytes) for file in chain)
        for name, chain in chains
    }


class Owners:
    """Lane of each instrument of a topic.

    Producers keep an instrument in one partition, until partitions are added or the keys are
    missing. Rows of one instrument from two lanes would make two bars of one name: before such a
    batch is decided, the lanes are made one. They part again when, for as long as the settings say,
    each instrument came from one partition only.
    """

    def __init__(self) -> None:
        self._lane_of: dict[_Instrument, str] = {}
        self._unsettled_us: dict[str, int] = {}

    @classmethod
    def of(cls, storage: Storage, manifest: Manifest) -> Owners:
        """Read from the state which lane each instrument belongs to."""
        owners = cls()
        inputs = positions_of(manifest)
        topics = {position.lane_name: position.topic for position in inputs.values()}
        for lane, chain in state_chains(manifest).items():
            if lane in topics:
                for name in instruments_of(storage, [file.path for file in chain], KIND):
                    owners._lane_of[topics[lane], name] = lane
        return owners

    def shared(self, inputs: Mapping[str, InputPosition], results: Iterable[LaneResult]) -> Events:
        """Give the events that make those lanes one which have an instrument in common.

        Parameters
        ----------
        inputs : mapping
            As the batch before left them.
        """
        groups: list[set[str]] = []
        met: dict[_Instrument, str] = {}
        every = dict(inputs)
        for lane in results:
            # One that is new has not come anywhere yet: this batch is not decided.
            for seen in lane.positions:
                every.setdefault(seen.name, InputPosition(seen.topic, seen.partition))
            for name in _instruments(lane):
                owner = self._lane_of.get(name) or met.setdefault(name, lane.name)
                if owner != lane.name:
                    groups = _united(groups, {owner, lane.name})
        return [
            (position, Control("join", lane=min(group)))
            for group in groups
            for position in every.values()
            if position.lane_name in group
        ]

    def note(self, results: Iterable[LaneResult]) -> None:
        """Take what a batch did that was committed."""
        for lane in results:
            self._unsettled_us[lane.name] = lane.unsettled_us
            for name in _instruments(lane):
                self._lane_of[name] = lane.name

    def settled(self, inputs: Mapping[str, InputPosition], settle_us: int) -> Events:
        """Give the events that part lanes whose instruments came from one partition each.

        Parameters
        ----------
        settle_us : int
            For how long, in event time.
        """
        events: Events = []
        for lane in {position.lane for position in inputs.values() if position.lane}:
            members = [position for position in inputs.values() if position.lane == lane]
            watermark_us = least_watermark_us(members)
            if watermark_us - self._unsettled_us.get(lane, watermark_us) >= settle_us:
                events += [(position, Control("part")) for position in members]
        return events


def _instruments(lane: LaneResult) -> list[_Instrument]:
    topic = lane.positions[0].topic
    return [(topic, instrument) for instrument in lane.met]


def _united(groups: list[set[str]], pair: set[str]) -> list[set[str]]:
    """Add a pair to groups that share nothing."""
    touched = [group for group in groups if group & pair]
    return [*(group for group in groups if not group & pair), pair.union(*touched)]
