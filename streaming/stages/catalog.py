"""The instruments that one input has seen, by small integer codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from marketlake.analytics.arrays import Int64Array, UInt64Array
from marketlake.analytics.hashing import hash_text
from marketlake.contracts.instruments import Instrument, resolve

UNKNOWN = -1


@dataclass(frozen=True)
class Markets:
    """Markets of some instruments.

    Attributes
    ----------
    kinds : list of str
        The different markets, sorted.
    kind_of : int64[n]
        Place in ``kinds`` of each instrument's market.
    """

    kinds: list[str]
    kind_of: Int64Array

    @classmethod
    def of(cls, instruments: Sequence[Instrument]) -> Markets:
        """Collect the markets of instruments."""
        kinds: list[str] = sorted({i.market for i in instruments})
        place = {kind: code for code, kind in enumerate(kinds)}
        return cls(kinds, np.array([place[i.market] for i in instruments], np.int64))


@dataclass(frozen=True)
class _Columns:
    size: int
    hashes: UInt64Array
    venues: pa.Array
    names: pa.Array
    markets: Markets


class InstrumentCatalog:
    """Codes of (venue, instrument), in the order in which they were first admitted.

    Codes are local to a process: nothing that is kept depends on them.
    """

    def __init__(self, fee_bps_of_venue: Mapping[str, float] | None = None) -> None:
        self.instruments: list[Instrument] = []
        self._codes: dict[tuple[str | None, str | None], int] = {}
        self._hashes: list[int] = []
        self._fees = dict(fee_bps_of_venue or {})
        self._made: _Columns | None = None

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

    def codes(self, names: Sequence[tuple[str | None, str | None]]) -> Int64Array:
        """Codes of several (venue, instrument), new ones in the order given."""
        return np.array([self.code(*name) for name in names], np.int64)

    def hashes(self) -> UInt64Array:
        """Hash of each instrument's name, by code."""
        return self._columns.hashes

    def venues(self) -> pa.Array:
        """Venue by code."""
        return self._columns.venues

    def names(self) -> pa.Array:
        """Instrument name by code."""
        return self._columns.names

    def markets(self) -> Markets:
        """Market by code."""
        return self._columns.markets

    @property
    def _columns(self) -> _Columns:
        # Asked for again and again, and made anew only when an instrument has come.
        if self._made is None or self._made.size != len(self.instruments):
            self._made = _Columns(
                len(self.instruments),
                np.array(self._hashes, np.uint64),
                pa.array([i.venue for i in self.instruments], pa.string()),
                pa.array([i.instrument for i in self.instruments], pa.string()),
                Markets.of(self.instruments),
            )
        return self._made
