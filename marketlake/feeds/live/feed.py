"""A feed: sources side by side, one outbox, one publisher."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from marketlake.contracts.events import Event, EventType, encode
from marketlake.feeds.live.ledger import Ledger
from marketlake.feeds.live.outbox import Outbox, counts_by_channel
from marketlake.feeds.live.ports import FeedError, LiveSource, SourceLostError
from marketlake.feeds.live.supervisor import Supervisor
from marketlake.feeds.publish import DeliveryError, Publisher, PublishError
from marketlake.settings.model import FeedSettings


async def prepare_all(sources: Sequence[LiveSource], ledger: Ledger) -> None:
    """Resolve what every source is to watch, side by side.

    A venue that does not answer is noted and tried again later: it must not hold up the others.

    Raises
    ------
    FeedError
        A venue has not what is wanted; all such lines in one.
    """
    outcomes = await asyncio.gather(
        *(source.prepare() for source in sources), return_exceptions=True
    )
    wrong: list[str] = []
    for source, outcome in zip(sources, outcomes, strict=True):
        ledger.venue(source.venue)
        if isinstance(outcome, FeedError):
            wrong.append(str(outcome))
        elif isinstance(outcome, SourceLostError):
            ledger.lost(source.venue, outcome.reason, str(outcome))
        elif outcome is not None:
            raise outcome
    if wrong:
        raise FeedError("; ".join(wrong))


class Feed:
    """Publishes what its sources give, until it is stopped or has enough.

    Parameters
    ----------
    max_events : int, optional
        Events after which it ends by itself.
    """

    def __init__(
        self,
        sources: Sequence[LiveSource],
        settings: FeedSettings,
        ledger: Ledger,
        max_events: int | None = None,
    ) -> None:
        self._sources = sources
        self._settings = settings
        self._ledger = ledger
        self._stopping = asyncio.Event()
        self._outbox = Outbox(settings.queue_events, ledger, max_events, self.stop)

    def stop(self) -> None:
        """Ask it to end: sockets are closed, and what was taken in is published."""
        self._stopping.set()

    async def run(self, publisher: Publisher) -> None:
        """Run until stopped; on return everything taken in is acknowledged.

        Parameters
        ----------
        publisher : Publisher
            Used by a thread of its own, and closed at the end.

        Raises
        ------
        FeedError
            Every venue refuses to serve us.
        DeliveryError
            The target failed; tells how many events it did not acknowledge.
        """
        pump = asyncio.create_task(self._pump(publisher))
        supervisors = [
            asyncio.create_task(
                Supervisor(source, self._outbox.put, self._settings, self._ledger).run()
            )
            for source in self._sources
        ]
        ended = asyncio.ensure_future(asyncio.gather(*supervisors))
        stopping = asyncio.create_task(self._stopping.wait())
        ends: list[asyncio.Future[Any]] = [pump, ended, stopping]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            for task in supervisors:
                task.cancel()
            outcomes = await asyncio.gather(*supervisors, return_exceptions=True)
            await asyncio.gather(ended, stopping, return_exceptions=True)
            for source in self._sources:
                await source.close()
            await self._outbox.close()
            await self._end_of(pump)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
        self._raise_if_all_refuse()

    async def _end_of(self, pump: asyncio.Task[None]) -> None:
        try:
            await pump
        except PublishError as error:
            taken = self._ledger.events.total()
            left = taken - self._ledger.published.total()
            raise DeliveryError(
                f"{error}; of {taken:,} events {left:,} were not acknowledged"
            ) from error

    def _raise_if_all_refuse(self) -> None:
        refused = [
            self._ledger.venue(source.venue)
            for source in self._sources
            if source.part in self._ledger.venue(source.venue).refused
        ]
        if len(refused) == len(self._sources):
            raise FeedError("; ".join(sorted({notes.error for notes in refused})))

    async def _pump(self, publisher: Publisher) -> None:
        """Publish what waits, batch by batch; each is acknowledged before the next is taken."""
        while batch := await self._outbox.take(self._settings.batch_events):
            await asyncio.to_thread(_publish, publisher, batch)
            self._ledger.published.update(counts_by_channel(batch))
        await asyncio.to_thread(publisher.close)


def _publish(publisher: Publisher, batch: list[Event]) -> None:
    for event in batch:
        event_type: EventType = event.__struct_config__.tag  # type: ignore[assignment]
        publisher.publish(event_type, event.instrument.encode(), encode(event), event.event_time_us)
    publisher.flush()
