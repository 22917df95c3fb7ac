"""The instruments that one input has seen, by small integer codes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from marketlake.analytics.arrays import Int64Array, UInt64Array
from marketlake.analytics.hashing import hash_text
from marketlake.contracts.instruments import Instrument, resolve

UNKNOWN = -1


class InstrumentCatalog:
    """Codes of (venue, instrument), in the order in which they were first admitted.

    Codes are local to a process: nothing that is kept depends on them.
    """

    def __init__(self, fee_bps_of_venue: Mapping[str, float] | None = None) -> None:
        self.instruments: list[Instrument] = []
        self._codes: dict[tuple[str | None, str | None], int] = {}
        self._hashes: list[int] = []
        self._fees = dict(fee_bps_of_venue or {})

    def __len__(self) -> int:
        return len(self.instruments)

    def code(self, venue: str | None, instrument: str | None) -> int:
        """Code of an instrument; ``UNKNOWN`` where the reference table has no such thing."""
        pair = (venue, instrument)
        code = self._codes.get(pair)
        if code is None:
            found = resolve(venue, instrument) if venue and instrument else None
            if found is None:
                # Not remembered: junk must not grow the catalog.
                return UNKNOWN
            code = self._codes[pair] = len(self.instruments)
            self.instruments.append(found)
            self._hashes.append(hash_text(f"{venue}|{instrument}"))
        return code

    def codes(self, names: list[tuple[str | None, str | None]]) -> Int64Array:
        """Codes of several (venue, instrument), new ones in the order given."""
        return np.array([self.code(*name) for name in names], np.int64)

    def hashes(self) -> UInt64Array:
        """Hash of each instrument's name, by code."""
        return np.array(self._hashes, np.uint64)

    def venues(self) -> pa.Array:
        """Venue by code."""
        return pa.array([i.venue for i in self.instruments], pa.string())

    def names(self) -> pa.Array:
        """Instrument name by code."""
        return pa.array([i.instrument for i in self.instruments], pa.string())

    def markets(self) -> list[str]:
        """Market by code."""
        return [i.market for i in self.instruments]
