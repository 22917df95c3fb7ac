"""The port of all normalisers: one raw frame in, wire events out, every frame accounted for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Final

import msgspec

from marketlake.contracts.events import Event, Side, Trade
from marketlake.contracts.instruments import resolve
from marketlake.feeds.venues.checks import make_book, make_quote, make_trade
from marketlake.feeds.venues.order_book import OrderBook, parse_levels

_MALFORMED: Final = (
    KeyError,
    IndexError,
    TypeError,
    ValueError,
    AttributeError,
    OverflowError,
)

_SIDES: Final[dict[object, Side]] = {"buy": "buy", "b": "buy", "sell": "sell", "s": "sell"}

Levels = list[tuple[Any, Any]]


def aggressor(side: object) -> Side | None:
    """Read the side of a trade; None where the venue tells another, as for an auction."""
    return _SIDES.get(side)


def parted(changes: Iterable[Sequence[Any]]) -> tuple[Levels, Levels] | None:
    """Part changes (side, price, size) of a book by side; None where one is of neither."""
    sides: dict[object, Levels] = {"buy": [], "sell": []}
    for side, price, size in changes:
        if side not in sides:
            return None
        sides[side].append((price, size))
    return sides["buy"], sides["sell"]


class Normaliser(ABC):
    """State of one connection to a venue.

    Parameters
    ----------
    clock_offset_us : int
        Added to the receive time where an event has no time of the venue's own, to correct a
        receive clock that is known to run behind (positive) or ahead.

    Attributes
    ----------
    frames : int
        Frames seen. Always the frames that gave events plus the sum of ``skipped``.
    skipped : Counter of str
        Frames that gave no event, by reason.
    skipped_parts : Counter of str
        Rows left out of frames that gave other events, by reason.

    Notes
    -----
    Reasons:

    - ``unparsable``: no JSON; ``malformed``: JSON of an unexpected shape, or an impossible value
    - ``subscription``, ``heartbeat``, ``status``, ``outgoing``: talk about the connection
    - ``unsupported_channel``
    - ``unsupported_instrument``: known, but without a name on our wire, as dated futures, options,
      quanto contracts and funding; ``unknown_instrument``
    - ``before_snapshot``: a change without the book it changes, or older than its book
    - ``sequence_gap``, ``checksum_mismatch``: a change was lost, so that the book is dropped until
      the next snapshot
    - ``crossed``; ``one_sided``: a quote without one side; ``empty_book``
    - ``quote_without_size``; ``open_bar``: a bar still forming
    - ``repeat``: the venue's second message of one trade; ``off_book_trade``: no execution
      against the book
    - ``no_rows``: a frame of an empty list
    """

    venue: ClassVar[str]

    def __init__(self, *, clock_offset_us: int = 0) -> None:
        self.clock_offset_us = clock_offset_us
        self.frames = 0
        self.skipped: Counter[str] = Counter()
        self.skipped_parts: Counter[str] = Counter()
        self._notes: list[str] = []
        self._instruments: dict[str, tuple[str | None, str]] = {}
        self._books: dict[str, OrderBook] = {}

    @abstractmethod
    def _events(self, message: Any, received_time_us: int) -> list[Event]:
        """Turn a decoded message into events; an empty list has its reason noted."""

    @abstractmethod
    def _name(self, symbol: str) -> str | None:
        """Write the venue's symbol as a wire instrument; None for what our wire has no name for.

        What cannot be read is returned as it came, and is then found unknown.
        """

    def frame(self, raw: str | bytes, received_time_us: int) -> list[Event]:
        """Normalise one frame.

        Parameters
        ----------
        raw : str or bytes
            The frame's payload.
        received_time_us : int
            Local receive time, microseconds since the epoch.

        Returns
        -------
        list of Event
            In the venue's order. Where it is empty the reason is counted in ``skipped``. No
            frame raises: one that cannot be read is counted as ``unparsable`` or ``malformed``.
        """
        self.frames += 1
        self._notes.clear()
        try:
            message = msgspec.json.decode(raw)
        except (msgspec.DecodeError, ValueError):
            self.skipped["heartbeat" if raw in {"pong", b"pong"} else "unparsable"] += 1
            return []
        try:
            events = self._events(message, received_time_us)
        except _MALFORMED:
            self.skipped["malformed"] += 1
            return []
        if events:
            self.skipped_parts.update(self._notes)
        else:
            self.skipped[self._notes[0] if self._notes else "no_rows"] += 1
        return events

    def count_skipped(self, reason: str) -> None:
        """Count a frame that is not to be normalised at all, such as one we sent ourselves."""
        self.frames += 1
        self.skipped[reason] += 1

    def reset(self) -> None:
        """Drop what a new connection makes invalid: books, channels. The counters stay."""
        self._books.clear()

    def _skip(self, reason: str) -> list[Event]:
        self._notes.append(reason)
        return []

    def _local_time(self, received_time_us: int) -> int:
        return received_time_us + self.clock_offset_us

    def _instrument(self, symbol: str) -> str | None:
        """Return the wire instrument of a symbol, or None with the reason noted."""
        known = self._instruments.get(symbol)
        if known is None:
            name = self._name(symbol)
            if name is None:
                known = (None, "unsupported_instrument")
            elif resolve(self.venue, name) is None:
                known = (None, "unknown_instrument")
            else:
                known = (name, "")
            self._instruments[symbol] = known
        instrument, reason = known
        if instrument is None:
            self._notes.append(reason)
        return instrument

    def _trade(
        self,
        instrument: str,
        event_time_us: int,
        price: float,
        quantity: float,
        side: Side | None,
        received_time_us: int,
        *,
        trade_id: object = None,
        sequence: int | None = None,
    ) -> Trade:
        """Build a trade; raises ValueError on a price or quantity that is not above zero."""
        return make_trade(
            self.venue,
            instrument,
            event_time_us,
            price,
            quantity,
            side,
            received_time_us,
            trade_id=None if trade_id is None else str(trade_id),
            sequence=sequence,
        )

    def _quote(
        self,
        instrument: str,
        event_time_us: int,
        bid: tuple[float, float],
        ask: tuple[float, float],
        received_time_us: int,
        sequence: int | None = None,
    ) -> list[Event]:
        """Build a quote of ``(price, quantity)`` pairs, unless it is one-sided or crossed."""
        made = make_quote(
            self.venue, instrument, event_time_us, bid, ask, received_time_us, sequence
        )
        return self._skip(made) if isinstance(made, str) else [made]

    def _load_book(
        self,
        key: str,
        bids: Iterable[Sequence[Any]],
        asks: Iterable[Sequence[Any]],
        sequence: int | None = None,
    ) -> OrderBook:
        """Start the book of ``key`` anew; what stood there is gone even where the levels fail."""
        self._books.pop(key, None)
        book = OrderBook(parse_levels(bids), parse_levels(asks), sequence)
        self._books[key] = book
        return book

    def _change_book(
        self,
        key: str,
        bids: Iterable[Sequence[Any]],
        asks: Iterable[Sequence[Any]],
        sequence: int | None = None,
    ) -> OrderBook | None:
        """Apply a change to the book of ``key``, or return None with the reason noted.

        A change that cannot be read is a lost change: the book is dropped and the error goes on.
        """
        book = self._books.get(key)
        if book is None:
            self._notes.append("before_snapshot")
            return None
        try:
            bid_levels, ask_levels = parse_levels(bids), parse_levels(asks)
        except _MALFORMED:
            del self._books[key]
            raise
        book.apply_delta(bid_levels, ask_levels, sequence)
        return book

    def _gap(self, key: str, reason: str = "sequence_gap") -> list[Event]:
        """Drop a book that missed a change."""
        self._books.pop(key, None)
        return self._skip(reason)

    def _book_event(
        self, book: OrderBook, instrument: str, event_time_us: int, received_time_us: int
    ) -> list[Event]:
        """Emit the top of a book, unless it is empty or crossed."""
        bids, asks = book.top()
        made = make_book(
            self.venue, instrument, event_time_us, bids, asks, received_time_us, book.sequence
        )
        return self._skip(made) if isinstance(made, str) else [made]
