"""The port of live sources: wire events as they come, and how each of them fails."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, get_args

from marketlake.contracts.errors import MarketlakeError
from marketlake.contracts.events import Event

Channel = Literal["trades", "quotes", "books", "bars"]
CHANNELS: Final[tuple[Channel, ...]] = get_args(Channel)


class FeedError(MarketlakeError):
    """A feed was asked for something that cannot be done; nothing was connected."""


class SourceLostError(MarketlakeError):
    """The source gives nothing more until it is opened anew; the message says why.

    Attributes
    ----------
    reason : str
        One word for metrics: ``closed``, ``silent``, ``network``, ``malformed``, ``gap``,
        ``refused``, ``unreachable``.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class SourceRefusedError(MarketlakeError):
    """The venue will not serve us however often it is asked: credentials, subscription, limits."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """One channel of one instrument."""

    venue: str
    instrument: str
    channel: Channel
    symbol: str
    """The source's own name of the instrument."""


class LiveSource(Protocol):
    """One venue. It knows nothing of attempts: whoever drives it opens it again.

    What it finds on the way (gaps, repeats, frames without use) it counts in the ledger that it
    was made with, where the state of each channel stands too.
    """

    @property
    def venue(self) -> str:
        """The venue's name on the wire."""
        ...

    @property
    def part(self) -> str:
        """What tells it from other sources of its venue."""
        ...

    @property
    def subscriptions(self) -> Sequence[Subscription]:
        """What it subscribes to; empty before ``prepare``."""
        ...

    async def prepare(self) -> None:
        """Learn which instruments the venue has, and resolve those that are wanted.

        Raises
        ------
        FeedError
            The venue has not what is wanted; the line names what comes near.
        SourceLostError
            The venue did not answer.
        """
        ...

    def events(self) -> AsyncGenerator[Event, None]:
        """Connect, and give events until the connection is lost; closing it disconnects.

        Raises
        ------
        SourceLostError
            The connection is lost. Everything that came before was given.
        SourceRefusedError
            It is no use to try again.
        """
        ...

    async def close(self) -> None:
        """Give back what outlives a connection."""
        ...
