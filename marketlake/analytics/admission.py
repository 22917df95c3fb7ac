"""Which rows of a lane count: not those that come too late, nor a second time.

A lane is one partition of a topic, or several that are folded together. Each partition has a clock
of its own: a row is too late when its time lies before its partition's watermark, the latest time
seen there less the allowed lateness. Every row that is not too late is compared with all rows of
the lane at or after the lane's watermark, so no duplicate passes: one that is older than the
window is too late as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from marketlake.analytics.arrays import Columns, Int64Array, UInt64Array

ADMITTED: Final = 0
TOO_LATE: Final = 1
DUPLICATE: Final = 2
CONFLICT: Final = 3

NO_TIME_US: Final = -(2**62)
"""Watermark of an input that has seen nothing."""


@njit(cache=True, nogil=True, error_model="numpy")
def _admit(
    time_us: Int64Array,
    identity: UInt64Array,
    content: UInt64Array,
    latest_us: np.int64,
    floor_us: np.int64,
    lateness_us: np.int64,
    table: Int64Array,
    seen_time_us: Int64Array,
    seen_identity: UInt64Array,
    seen_content: UInt64Array,
    seen: np.int64,
    verdict: npt.NDArray[np.uint8],
) -> tuple[np.int64, np.int64]:
    mask = np.uint64(table.size - 1)
    for j in range(seen):
        slot = np.int64(seen_identity[j] & mask)
        while table[slot] >= 0:
            slot = np.int64(np.uint64(slot + 1) & mask)
        table[slot] = j
    for i in range(time_us.size):
        watermark_us = max(latest_us - lateness_us, floor_us)
        if time_us[i] < watermark_us:
            verdict[i] = TOO_LATE
            continue
        slot = np.int64(identity[i] & mask)
        found = -1
        while table[slot] >= 0:
            j = table[slot]
            if seen_identity[j] == identity[i] and seen_time_us[j] == time_us[i]:
                found = j
                break
            slot = np.int64(np.uint64(slot + 1) & mask)
        if found >= 0:
            verdict[i] = DUPLICATE if seen_content[found] == content[i] else CONFLICT
            continue
        verdict[i] = ADMITTED
        table[slot] = seen
        seen_time_us[seen] = time_us[i]
        seen_identity[seen] = identity[i]
        seen_content[seen] = content[i]
        seen += 1
        latest_us = max(latest_us, time_us[i])
    return latest_us, seen


@dataclass
class Clock:
    """How far one partition has come.

    Attributes
    ----------
    latest_us : int
        Latest time of an admitted row.
    floor_us : int
        Watermark set by a control event; the larger of both watermarks holds.
    active : bool
        False from the time the partition was declared idle or ended until its next message.
    """

    latest_us: int = NO_TIME_US
    floor_us: int = NO_TIME_US
    active: bool = True


class Admission:
    """The clocks of a lane, and the window of rows that a duplicate could repeat.

    Parameters
    ----------
    lateness_us : int
        How far behind the latest time of its partition a row may come.
    """

    def __init__(self, lateness_us: int) -> None:
        self.lateness_us = lateness_us
        self.clocks: dict[int, Clock] = {}
        self._time_us = np.empty(0, np.int64)
        self._identity = np.empty(0, np.uint64)
        self._content = np.empty(0, np.uint64)

    def clock(self, partition: int) -> Clock:
        """Clock of a partition; a new one has seen nothing."""
        return self.clocks.setdefault(partition, Clock())

    def watermark_of_us(self, partition: int) -> int:
        """No row of a partition before this time will be admitted any more."""
        clock = self.clock(partition)
        return max(clock.latest_us - self.lateness_us, clock.floor_us)

    @property
    def watermark_us(self) -> int:
        """No row before this time will be admitted any more, of no partition.

        The least of the active partitions' watermarks or, with none active, the latest of all.
        """
        active = [self.watermark_of_us(p) for p, clock in self.clocks.items() if clock.active]
        if active:
            return min(active)
        return max((self.watermark_of_us(p) for p in self.clocks), default=NO_TIME_US)

    def step(
        self, partition: int, time_us: Int64Array, identity: UInt64Array, content: UInt64Array
    ) -> npt.NDArray[np.uint8]:
        """Judge rows of a partition, in source order.

        Parameters
        ----------
        time_us : int64[n]
            Time at which a row counts.
        identity : uint64[n]
            Hash of the key.
        content : uint64[n]
            Hash of key and values.

        Returns
        -------
        uint8[n]
            ``ADMITTED``, ``TOO_LATE``, ``DUPLICATE`` or ``CONFLICT``.
        """
        clock = self.clock(partition)
        seen, n = self._time_us.size, time_us.size
        capacity = seen + n
        slots = 1 << max(4, (2 * capacity).bit_length())
        columns = [
            np.concatenate([old, np.empty(n, old.dtype)])
            for old in (self._time_us, self._identity, self._content)
        ]
        verdict = np.empty(n, np.uint8)
        latest_us, seen = _admit(
            time_us,
            identity,
            content,
            clock.latest_us,
            clock.floor_us,
            self.lateness_us,
            np.full(slots, -1, np.int64),
            *columns,
            seen,
            verdict,
        )
        clock.latest_us = int(latest_us)
        self._keep(*(column[:seen] for column in columns))
        return verdict

    def advance(self, partition: int, watermark_us: int, *, active: bool) -> None:
        """Raise a partition's watermark to at least a given time, as a control event asks."""
        clock = self.clock(partition)
        clock.floor_us = max(clock.floor_us, watermark_us)
        clock.active = active
        self._keep(self._time_us, self._identity, self._content)

    def absorb(self, other: Admission) -> None:
        """Take the partitions of another lane into this one."""
        self.clocks |= other.clocks
        self._keep(
            np.concatenate([self._time_us, other._time_us]),
            np.concatenate([self._identity, other._identity]),
            np.concatenate([self._content, other._content]),
        )

    def part(self, partition: int) -> Admission:
        """Give the lane of one partition alone; it knows the rows of all, since some were its."""
        own = Admission(self.lateness_us)
        own.clocks[partition] = replace(self.clocks[partition])
        own._keep(self._time_us, self._identity, self._content)
        return own

    def _keep(self, time_us: Int64Array, identity: UInt64Array, content: UInt64Array) -> None:
        live = time_us >= self.watermark_us
        self._time_us, self._identity, self._content = time_us[live], identity[live], content[live]

    def state(self) -> Columns:
        """Give the state as arrays."""
        # How the rows of several partitions met depends on where batches were cut.
        order = (
            np.lexsort((self._content, self._identity, self._time_us))
            if len(self.clocks) > 1
            else slice(None)
        )
        return {
            "clocks": np.array(
                [
                    (partition, clock.latest_us, clock.floor_us, clock.active)
                    for partition, clock in sorted(self.clocks.items())
                ],
                np.int64,
            ).reshape(-1, 4),
            "seen_time_us": self._time_us[order],
            "seen_identity": self._identity[order],
            "seen_content": self._content[order],
        }

    @classmethod
    def restore(cls, lateness_us: int, state: Columns) -> Admission:
        """Make the window that gave a state."""
        window = cls(lateness_us)
        for partition, latest_us, floor_us, active in state["clocks"].tolist():
            window.clocks[partition] = Clock(latest_us, floor_us, bool(active))
        window._time_us = state["seen_time_us"]
        window._identity = state["seen_identity"]
        window._content = state["seen_content"]
        return window
