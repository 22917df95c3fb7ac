"""Rows held until the watermark has passed them, then given in time order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from marketlake.analytics.arrays import Columns, Int64Array, concat, row_count, take


def in_order(columns: Columns, order: Sequence[str]) -> Columns:
    """Sort rows by some columns, the first counting most; equal rows keep their order."""
    first = columns[order[0]]
    steps = np.diff(first)
    if (steps > 0).all():
        return columns
    if (steps >= 0).all() and len(order) == 1:
        return columns
    ranks: Int64Array = np.lexsort([columns[name] for name in reversed(order)])
    if (ranks[1:] > ranks[:-1]).all():
        return columns
    return take(columns, ranks)


class ReorderBuffer:
    """Rows of one kind that the watermark has not passed yet.

    Parameters
    ----------
    order : sequence of str
        Columns to sort by: the time in microseconds, then what breaks ties; rows that are
        equal in all of them keep the order in which they came.
    pending : Columns, optional
        Rows held so far.
    """

    def __init__(self, order: Sequence[str], pending: Columns | None = None) -> None:
        self.order = tuple(order)
        self.pending: Columns = pending or {}

    def step(self, rows: Columns, watermark_us: int) -> Columns:
        """Add rows, and release all rows before the watermark, in order."""
        held = [part for part in (self.pending, rows) if row_count(part)]
        if not held:
            return rows
        every = concat(held)
        passed = every[self.order[0]] < watermark_us
        if passed.all():
            self.pending = {}
            return in_order(every, self.order)
        self.pending = take(every, ~passed)
        return in_order(take(every, passed), self.order)

    def state(self) -> Columns:
        """Give the rows held, in order: how the parts of several inputs met does not show."""
        return in_order(self.pending, self.order) if self.pending else {}
