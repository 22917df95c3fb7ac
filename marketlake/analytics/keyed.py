"""State of many series side by side: one row of 64-bit words a series, one matrix a kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from marketlake.analytics.arrays import Float64Array

Key = tuple[str, ...]

_FIRST_CAPACITY = 16


class KeyedStates:
    """Rows of state by key; kernels update the matrices in place.

    Parameters
    ----------
    blocks : mapping of str to float64[width]
        Name of each kernel, and the state of a series that has seen nothing.
    """

    def __init__(self, blocks: Mapping[str, Float64Array]) -> None:
        self._initial = {name: np.asarray(words, np.float64) for name, words in blocks.items()}
        self._matrices = {
            name: np.tile(words, (_FIRST_CAPACITY, 1)) for name, words in self._initial.items()
        }
        self._capacity = _FIRST_CAPACITY
        self._index: dict[Key, int] = {}
        self.keys: list[Key] = []

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def width(self) -> int:
        """Words of state a series."""
        return sum(words.size for words in self._initial.values())

    def index(self, key: Key) -> int:
        """Row of a series; a new series gets a fresh row."""
        row = self._index.get(key)
        if row is None:
            row = self._index[key] = len(self.keys)
            self.keys.append(key)
            if row == self._capacity:
                self._grow()
        return row

    def matrix(self, block: str) -> Float64Array:
        """State of one kernel, ``float64[series, width]``; writes go through."""
        return self._matrices[block][: len(self.keys)]

    def _grow(self) -> None:
        for name, matrix in self._matrices.items():
            fresh = np.tile(self._initial[name], (self._capacity, 1))
            self._matrices[name] = np.concatenate([matrix, fresh])
        self._capacity *= 2

    def words(self) -> Float64Array:
        """State of each series as one row of little-endian words, in the order of ``keys``."""
        return np.hstack([self.matrix(name) for name in self._initial]).astype("<f8", copy=False)

    def restore(self, keys: Sequence[Key], words: Float64Array) -> None:
        """Set the state of some series, one row of words each, as :meth:`words` gave them.

        Raises
        ------
        ValueError
            If the rows have another width than this layout: another state version.
        """
        if words.shape != (len(keys), self.width):
            raise ValueError(
                f"state of {len(keys)} series such as {'/'.join(keys[0])} has "
                f"{words.shape[-1]} words where {self.width} are expected"
            )
        rows = np.array([self.index(key) for key in keys], np.int64)
        start = 0
        for name, initial in self._initial.items():
            self._matrices[name][rows] = words[:, start : start + initial.size]
            start += initial.size

    def absorb(self, other: KeyedStates) -> None:
        """Take the series of other states of the same layout.

        Raises
        ------
        ValueError
            If a series is in both.
        """
        both = self._index.keys() & other._index.keys()
        if both:
            raise ValueError(f"{'/'.join(min(both))} has state in both lanes")
        if len(other):
            self.restore(other.keys, other.words())

    def take(self, other: KeyedStates, chosen: Callable[[Key], bool]) -> None:
        """Take a copy of some series of other states of the same layout."""
        rows = [row for row, key in enumerate(other.keys) if chosen(key)]
        if rows:
            self.restore([other.keys[row] for row in rows], other.words()[rows])
