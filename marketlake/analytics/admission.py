"""Which rows of an input count: not those that come too late, nor a second time.

A row is too late when its time lies before the input's watermark, the latest time seen less
the allowed lateness. Every row that is not too late is compared with all rows at or after the
watermark, so no duplicate passes: one that is older than the window is too late as well.
"""

from __future__ import annotations

from dataclasses import dataclass
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


@njit(cache=True, nogil=True)
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
class Admission:
    """The window of one input.

    Attributes
    ----------
    lateness_us : int
        How far behind the latest time a row may come.
    latest_us : int
        Latest time of an admitted row.
    floor_us : int
        Watermark set by a control event; the larger of both watermarks holds.
    """

    lateness_us: int
    latest_us: int = NO_TIME_US
    floor_us: int = NO_TIME_US

    def __post_init__(self) -> None:
        self._time_us = np.empty(0, np.int64)
        self._identity = np.empty(0, np.uint64)
        self._content = np.empty(0, np.uint64)

    @property
    def watermark_us(self) -> int:
        """No row before this time will be admitted any more."""
        return max(self.latest_us - self.lateness_us, self.floor_us)

    def step(
        self, time_us: Int64Array, identity: UInt64Array, content: UInt64Array
    ) -> npt.NDArray[np.uint8]:
        """Judge rows in source order.

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
            self.latest_us,
            self.floor_us,
            self.lateness_us,
            np.full(slots, -1, np.int64),
            *columns,
            seen,
            verdict,
        )
        self.latest_us = int(latest_us)
        self._keep(*(column[:seen] for column in columns))
        return verdict

    def advance(self, watermark_us: int) -> None:
        """Raise the watermark to at least a given time, as a control event asks."""
        self.floor_us = max(self.floor_us, watermark_us)
        self._keep(self._time_us, self._identity, self._content)

    def _keep(self, time_us: Int64Array, identity: UInt64Array, content: UInt64Array) -> None:
        live = time_us >= self.watermark_us
        self._time_us, self._identity, self._content = time_us[live], identity[live], content[live]

    def state(self) -> Columns:
        """Give the state as arrays."""
        return {
            "clock_us": np.array([self.latest_us, self.floor_us], np.int64),
            "seen_time_us": self._time_us,
            "seen_identity": self._identity,
            "seen_content": self._content,
        }

    @classmethod
    def restore(cls, lateness_us: int, state: Columns) -> Admission:
        """Make the window that gave a state."""
        latest_us, floor_us = (int(v) for v in state["clock_us"])
        window = cls(lateness_us, latest_us, floor_us)
        window._time_us = state["seen_time_us"]
        window._identity = state["seen_identity"]
        window._content = state["seen_content"]
        return window
