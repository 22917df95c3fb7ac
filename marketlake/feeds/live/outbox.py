"""The bounded queue between sources and publisher."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from marketlake.contracts.events import Book, Event
from marketlake.feeds.live.ledger import Ledger, channel_of


class Outbox:
    """Holds events, in order, until they are published; whoever brings more has to wait.

    Only books give way: while one of an instrument waits, and the queue is full, a newer one takes
    its place and is counted. Trades, quotes and bars are never dropped.

    Parameters
    ----------
    size : int
        Events that may wait.
    limit : int, optional
        Events after which it takes no more: :meth:`put` then gives False.
    on_limit : callable
        Called with the last event that it takes.
    """

    def __init__(
        self,
        size: int,
        ledger: Ledger,
        limit: int | None = None,
        on_limit: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._size = size
        self._ledger = ledger
        self._limit = limit
        self._on_limit = on_limit
        self._clock = clock
        self._waiting: deque[list[Event]] = deque()
        self._books: dict[tuple[str, str], list[Event]] = {}
        self._changed = asyncio.Condition()
        self._closed = False
        self.taken_in = 0

    @property
    def full(self) -> bool:
        """True where a source would have to wait."""
        return len(self._waiting) >= self._size

    @property
    def complete(self) -> bool:
        """True once it has taken all that it may."""
        return self._limit is not None and self.taken_in >= self._limit

    async def put(self, event: Event) -> bool:
        """Add an event, waiting for room; False where no more is taken, and it is not."""
        if self.full and self._replaced(event):
            return True
        await self._room(event)
        if self._closed or self.complete:
            self._ledger.skip(event.venue, "after_end")
            return False
        self.taken_in += 1
        if self.taken_in == self._limit:
            self._on_limit()
        cell = [event]
        self._waiting.append(cell)
        if isinstance(event, Book):
            self._books[event.venue, event.instrument] = cell
        self._ledger.handed_on(event)
        self._ledger.waiting = len(self._waiting)
        await self._notify()
        return True

    async def _room(self, event: Event) -> None:
        """Wait until there is room for an event; given up, it is counted."""
        if not self.full:
            return
        started_s = self._clock()
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: not self.full or self._closed)
        except asyncio.CancelledError:
            self._ledger.skip(event.venue, "after_end")
            raise
        self._ledger.blocked_s += self._clock() - started_s

    def _replaced(self, event: Event) -> bool:
        """Put a newer book in the place of one that waits."""
        if not isinstance(event, Book):
            return False
        cell = self._books.get((event.venue, event.instrument))
        if cell is None:
            return False
        cell[0] = event
        self._ledger.handed_on(event)
        self._ledger.events[event.venue, "books"] -= 1
        self._ledger.conflated[event.venue, "books"] += 1
        return True

    async def take(self, most: int) -> list[Event]:
        """Take the oldest events, waiting for one; empty once it is closed and drained."""
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._waiting) or self._closed)
        taken = [self._waiting.popleft()[0] for _ in range(min(most, len(self._waiting)))]
        for event in taken:
            key = (event.venue, event.instrument)
            if isinstance(event, Book) and self._books.get(key, [None])[0] is event:
                del self._books[key]
        self._ledger.waiting = len(self._waiting)
        await self._notify()
        return taken

    async def close(self) -> None:
        """Take no more; what waits can still be taken."""
        self._closed = True
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def counts_by_channel(events: list[Event]) -> dict[str, int]:
    """Count events by their channel."""
    found: dict[str, int] = {}
    for event in events:
        channel = channel_of(event)
        found[channel] = found.get(channel, 0) + 1
    return found
