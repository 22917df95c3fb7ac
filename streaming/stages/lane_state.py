"""State of folds as rows of ``state/folds``: one a series and kind, and one of the whole lane.

What changed since the state was last written is written as the exclusive or of both versions'
words: of a series that took a few rows most words are what they were, and zeros take no room in a
file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from marketlake.analytics.arrays import Float64Array, Int64Array
from marketlake.analytics.keyed import KeyedStates
from streaming.stages.decode import binary_parts

STATE_VERSION: Final = 3
"""Layout of the payloads; another layout gets another number."""

STATE_SCHEMA: Final = pa.schema(
    {
        "venue": pa.string(),
        "instrument": pa.string(),
        "kind": pa.string(),
        "delta": pa.bool_(),
        "payload": pa.binary(),
    }
)
"""Rows of state; venue and instrument are empty for that of a whole lane or bucket."""

_WORD_BYTES: Final = 8


def whole_row(kind: str, payload: bytes) -> pa.Table:
    """Give the row of state that belongs to no series."""
    return pa.table([[""], [""], [kind], [False], [payload]], schema=STATE_SCHEMA)


def whole_payload(state: pa.Table, kind: str) -> bytes:
    """Find the payload that :func:`whole_row` was given."""
    payload: bytes = state["payload"][pc.index(state["kind"], kind).as_py()].as_py()
    return payload


@dataclass(frozen=True)
class _Names:
    """Order in which the series of a kind are written, and the columns that name them.

    ``order`` gives rows of state by place, ``place`` undoes it; the columns go by place.
    """

    order: Int64Array
    place: Int64Array
    columns: list[pa.Array]


class SeriesStates:
    """States of all series of a lane, by kind.

    The names are kept from batch to batch, for with many thousands of series they cost more than
    the words; and the words as they were last written or restored.
    """

    def __init__(self, states: Mapping[str, KeyedStates]) -> None:
        self._states = states
        self._names: dict[str, _Names] = {}
        self._written: dict[str, Float64Array] = {}

    def tables(self) -> list[pa.Table]:
        """Rows of each kind, as ``STATE_SCHEMA`` has them, in order of kind and series."""
        tables = []
        for kind, states in sorted(self._states.items()):
            if len(states):
                names, words = self._names_of(kind, states), states.words()
                tables.append(_rows(names.columns, words[names.order]))
                self._written[kind] = words
        return tables

    def changes(self) -> list[pa.Table]:
        """Rows of the series that are not as they were last written, new ones whole."""
        tables = []
        for kind, states in sorted(self._states.items()):
            if not len(states):
                continue
            names, words = self._names_of(kind, states), states.words()
            before = self._written.get(kind, words[:0])
            known = len(before)
            delta = words[:known].view(np.int64) ^ before.view(np.int64)
            changed = np.append(delta.any(axis=1), np.ones(len(words) - known, np.bool_))
            rows = names.order[changed[names.order]]
            for part, payload, is_delta in (
                (rows[rows < known], delta.view(np.float64), True),
                (rows[rows >= known], words, False),
            ):
                if part.size:
                    columns = [column.take(pa.array(names.place[part])) for column in names.columns]
                    tables.append(_rows(columns, payload[part], delta=is_delta))
            self._written[kind] = words
        return tables

    def restore(self, state: pa.Table) -> None:
        """Take up what :meth:`tables` gave; rows of no series are passed over.

        Raises
        ------
        ValueError
            If a payload does not fit this layout.
        """
        for kind in sorted(state["kind"].unique().to_pylist()):
            name, *suffix = kind.split("/")
            if name not in self._states:
                continue
            rows = state.filter(pc.equal(state["kind"], kind))
            names = zip(rows["venue"].to_pylist(), rows["instrument"].to_pylist(), strict=True)
            keys = [(venue, instrument, *suffix) for venue, instrument in names]
            words = bytes_as_words(rows["payload"].combine_chunks())
            self._states[name].restore(keys, words)
        self._written = {kind: states.words() for kind, states in self._states.items()}

    def _names_of(self, kind: str, states: KeyedStates) -> _Names:
        known = self._names.get(kind)
        if known is None or known.order.size != len(states):
            # The order in which series were met depends on where batches were cut.
            order = sorted(range(len(states)), key=states.keys.__getitem__)
            keys = [states.keys[row] for row in order]
            known = self._names[kind] = _Names(
                np.array(order, np.int64),
                np.argsort(order),
                [
                    pa.array([key[0] for key in keys], pa.string()),
                    pa.array([key[1] for key in keys], pa.string()),
                    pa.array(["/".join((kind, *key[2:])) for key in keys], pa.string()),
                ],
            )
        return known


def _rows(names: list[pa.Array], words: Float64Array, *, delta: bool = False) -> pa.Table:
    flags = pa.repeat(pa.scalar(delta), len(words))
    return pa.table([*names, flags, words_as_bytes(words)], schema=STATE_SCHEMA)


def words_as_bytes(words: Float64Array) -> pa.Array:
    """Give each row of words as one binary value; the bytes are those of the array."""
    n, width = words.shape
    ends = np.arange(n + 1, dtype=np.int32) * np.int32(_WORD_BYTES * width)
    data = pa.py_buffer(np.ascontiguousarray(words))
    return pa.Array.from_buffers(pa.binary(), n, [None, pa.py_buffer(ends), data])


def bytes_as_words(payloads: pa.Array) -> Float64Array:
    """Undo :func:`words_as_bytes`.

    Raises
    ------
    ValueError
        If the values are not all of one length, a whole number of words.
    """
    ends, data = binary_parts(payloads)
    lengths = np.diff(ends)
    if (lengths != lengths[0]).any() or lengths[0] % _WORD_BYTES:
        raise ValueError(f"payloads have {lengths.min()} to {lengths.max()} bytes")
    return data[ends[0] : ends[-1]].view("<f8").reshape(len(payloads), -1)
