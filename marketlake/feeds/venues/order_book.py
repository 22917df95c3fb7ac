"""Level-2 order book: a snapshot, then deltas, and the top of it at any time.

Pure. Each side keeps its prices in a sorted list, so that a delta costs a binary search and the
top costs its own length, whatever the depth: books of thousands of levels are read a million
times a day and changed by a few levels each time.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from itertools import islice
from math import inf
from typing import Any

from marketlake.contracts.events import BOOK_LEVELS_MAX

Level = tuple[float, float]
"""``(price, quantity)``; a quantity of zero removes the level."""


def parse_levels(raw: Iterable[Sequence[Any]]) -> list[Level]:
    """Read levels whose first two items are price and quantity, as numbers or numeric text.

    Raises
    ------
    ValueError
        A price that is not finite and positive, a quantity that is not finite and at least zero,
        or text that is no number.
    """
    levels = [(float(level[0]), float(level[1])) for level in raw]
    for price, quantity in levels:
        if not (0.0 < price < inf and 0.0 <= quantity < inf):
            raise ValueError(f"no valid book level: price {price!r}, quantity {quantity!r}")
    return levels


class BookSide:
    """One side of a book.

    Parameters
    ----------
    sign : {1, -1}
        1 where the lowest price is best (asks), -1 where the highest is (bids).
    """

    __slots__ = ("_keys", "_quantities", "_sign")

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._keys: list[float] = []
        self._quantities: dict[float, float] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def load(self, levels: Iterable[Level]) -> None:
        """Replace all levels."""
        self._quantities = {price: quantity for price, quantity in levels if quantity > 0.0}
        self._keys = sorted(self._sign * price for price in self._quantities)

    def set(self, price: float, quantity: float) -> None:
        """Set the quantity at a price; zero removes the level, and removing nothing is no error."""
        key = self._sign * price
        if quantity > 0.0:
            if price not in self._quantities:
                insort(self._keys, key)
            self._quantities[price] = quantity
        elif self._quantities.pop(price, None) is not None:
            del self._keys[bisect_left(self._keys, key)]

    def best(self) -> float | None:
        """Return the best price, None where the side is empty."""
        return self._sign * self._keys[0] if self._keys else None

    def top(self, depth: int) -> list[Level]:
        """Return the best ``depth`` levels or fewer, best first."""
        sign, quantities = self._sign, self._quantities
        return [(sign * key, quantities[sign * key]) for key in islice(self._keys, depth)]

    def truncate(self, depth: int) -> None:
        """Forget all but the best ``depth`` levels."""
        for key in self._keys[depth:]:
            del self._quantities[self._sign * key]
        del self._keys[depth:]


class OrderBook:
    """Both sides of one instrument's book.

    Attributes
    ----------
    bids, asks : BookSide
    sequence : int or None
        The venue's number of the last change applied; None where the venue gives none.
    """

    __slots__ = ("asks", "bids", "sequence")

    def __init__(
        self, bids: Iterable[Level], asks: Iterable[Level], sequence: int | None = None
    ) -> None:
        self.bids = BookSide(-1)
        self.asks = BookSide(1)
        self.bids.load(bids)
        self.asks.load(asks)
        self.sequence = sequence

    def apply_delta(
        self, bids: Iterable[Level], asks: Iterable[Level], sequence: int | None = None
    ) -> None:
        """Apply one change; every level holds its new total quantity, zero removes it."""
        for price, quantity in bids:
            self.bids.set(price, quantity)
        for price, quantity in asks:
            self.asks.set(price, quantity)
        self.sequence = sequence

    def top(self, depth: int = BOOK_LEVELS_MAX) -> tuple[list[Level], list[Level]]:
        """Return ``(bids, asks)``, each the best ``depth`` levels or fewer, best first."""
        return self.bids.top(depth), self.asks.top(depth)

    def truncate(self, depth: int) -> None:
        """Forget all but the best ``depth`` levels of each side."""
        self.bids.truncate(depth)
        self.asks.truncate(depth)

    def is_crossed(self) -> bool:
        """Say whether the best bid is at or above the best ask: no state of a matching engine."""
        bid, ask = self.bids.best(), self.asks.best()
        return bid is not None and ask is not None and bid >= ask
