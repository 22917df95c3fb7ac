"""Quotes and books held until the watermark has passed them.

Quotes come as columns of one length; books have levels besides. So that a stream of quotes pays
nothing for levels, they lie apart and rows point to them.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from marketlake.analytics.arrays import Columns, Float64Array, row_count
from marketlake.analytics.depth.market import NO_BOOK
from marketlake.analytics.reorder import ReorderBuffer

TOP_ORDER: Final = ("time_us", "event", "instrument", "sequence", "content")


class TopBuffer:
    """A reorder buffer for rows of which some have levels.

    Parameters
    ----------
    depth : int
        Levels of a book, a side.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._rows = ReorderBuffer(TOP_ORDER)
        self._levels: Float64Array = np.empty((0, 4, depth))

    @property
    def pending(self) -> Columns:
        """Rows held, without their levels."""
        return self._rows.pending

    def step(self, parts: list[Columns], watermark_us: int) -> Columns:
        """Add rows of several inputs, and release all rows before the watermark, in order.

        Parameters
        ----------
        parts : list of Columns
            Those of books with ``levels``, shape (n, 4, depth).

        Returns
        -------
        Columns
            With ``book``, the row of ``levels`` or ``NO_BOOK``, and with ``levels`` if there is
            any book.
        """
        levels, first = [self._levels], self._levels.shape[0]
        filled = []
        for part in parts:
            if not row_count(part):
                continue
            n = row_count(part)
            book = np.full(n, NO_BOOK)
            if "levels" in part:
                book = np.arange(first, first + n)
                levels.append(part["levels"])
                first += n
            filled.append({**{k: v for k, v in part.items() if k != "levels"}, "book": book})
        joined: Columns = {}
        if filled:
            joined = {k: np.concatenate([part[k] for part in filled]) for k in filled[0]}
        released = self._rows.step(joined, watermark_us)
        every = levels[0] if len(levels) == 1 else np.concatenate(levels)
        self._levels = _renumbered(self._rows.pending, every)
        if row_count(released):
            of_books = _renumbered(released, every)
            if of_books.shape[0]:
                released["levels"] = of_books
        return released

    def state(self) -> Columns:
        """Give the rows held, in order: how the parts of several inputs met does not show."""
        rows = dict(self._rows.state())
        levels = _renumbered(rows, self._levels)
        return {**rows, "levels": levels} if rows else {}

    def restore(self, state: Columns) -> None:
        """Take up the state that :meth:`state` gave."""
        self._levels = state.get("levels", np.empty((0, 4, self._depth)))
        self._rows.pending = {k: v for k, v in state.items() if k != "levels"}


def _renumbered(rows: Columns, levels: Float64Array) -> Float64Array:
    """Let rows count their books from 0, in their own order; give the levels in that order."""
    if not row_count(rows):
        return np.empty((0, *levels.shape[1:]))
    book = rows["book"]
    has_book = book != NO_BOOK
    chosen = levels[book[has_book]]
    places = np.full(book.size, NO_BOOK)
    places[has_book] = np.arange(chosen.shape[0])
    rows["book"] = places
    return chosen
