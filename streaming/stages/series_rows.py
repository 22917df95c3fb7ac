"""Which row of state belongs to which small integer code, learnt once a series."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from marketlake.analytics.arrays import Int64Array
from marketlake.analytics.keyed import Key, KeyedStates
from streaming.stages.catalog import InstrumentCatalog

_ABSENT = -1


class SeriesRows:
    """Rows of some states by the codes that columns carry.

    With many thousands of series nothing may be done for each of them in every batch: a code is
    looked up by its key the first time it comes, and by its number from then on.

    Parameters
    ----------
    key_of : callable
        Key of a code.
    code_of : callable
        Code of a key; of states restored, whose codes were another process's.
    """

    def __init__(
        self, states: KeyedStates, key_of: Callable[[int], Key], code_of: Callable[[Key], int]
    ) -> None:
        self._states, self._key_of, self._code_of = states, key_of, code_of
        self._rows = np.empty(0, np.int64)
        self._codes = np.empty(0, np.int64)

    def rows(self, codes: Int64Array) -> Int64Array:
        """Row of state of each code; a code that is new gets a fresh row."""
        if not codes.size:
            return codes
        highest = int(codes.max())
        if highest >= self._rows.size:
            fresh = np.full(max(highest + 1 - self._rows.size, self._rows.size), _ABSENT, np.int64)
            self._rows = np.concatenate([self._rows, fresh])
        rows: Int64Array = self._rows[codes]
        unknown = rows == _ABSENT
        if unknown.any():
            for code in np.unique(codes[unknown]):
                self._rows[code] = self._states.index(self._key_of(int(code)))
            rows = self._rows[codes]
        return rows

    def codes(self) -> Int64Array:
        """Code of each row of state."""
        known = self._codes.size
        if known < len(self._states):
            fresh = [self._code_of(key) for key in self._states.keys[known:]]
            self._codes = np.concatenate([self._codes, np.array(fresh, np.int64)])
        return self._codes


def instrument_rows(states: KeyedStates, catalog: InstrumentCatalog, *suffix: str) -> SeriesRows:
    """Rows of states that are kept a venue and instrument, by catalog code."""

    def key_of(code: int) -> Key:
        instrument = catalog.instruments[code]
        return (instrument.venue, instrument.instrument, *suffix)

    return SeriesRows(states, key_of, lambda key: catalog.code(key[0], key[1]))
