"""Events from numbers already read, with what makes a trade, a quote or a book impossible.

Where a reason is returned in place of the event, it is one of those that normalisers count.
"""

from __future__ import annotations

from math import inf

from marketlake.contracts.events import BOOK_LEVELS_MAX, Book, Quote, Side, Trade


def make_trade(
    venue: str,
    instrument: str,
    event_time_us: int,
    price: float,
    quantity: float,
    side: Side | None,
    received_time_us: int,
    *,
    trade_id: str | None = None,
    sequence: int | None = None,
) -> Trade:
    """Build a trade.

    Raises
    ------
    ValueError
        A price or quantity that is not above zero.
    """
    if not (0.0 < price < inf and 0.0 < quantity < inf):
        raise ValueError(f"no valid trade: price {price!r}, quantity {quantity!r}")
    return Trade(
        venue=venue,
        instrument=instrument,
        event_time_us=event_time_us,
        price=price,
        quantity=quantity,
        trade_id=trade_id,
        side=side,
        sequence=sequence,
        received_time_us=received_time_us,
    )


def make_quote(
    venue: str,
    instrument: str,
    event_time_us: int,
    bid: tuple[float, float],
    ask: tuple[float, float],
    received_time_us: int,
    sequence: int | None = None,
) -> Quote | str:
    """Build a quote of ``(price, quantity)`` pairs, or say ``one_sided`` or ``crossed``.

    Raises
    ------
    ValueError
        A number that is negative or not finite.
    """
    ((bid_price, bid_quantity), (ask_price, ask_quantity)) = bid, ask
    if not all(0.0 <= number < inf for number in (*bid, *ask)):
        raise ValueError(f"no valid quote: bid {bid!r}, ask {ask!r}")
    if not (bid_price and bid_quantity and ask_price and ask_quantity):
        return "one_sided"
    if bid_price >= ask_price:
        return "crossed"
    return Quote(
        venue=venue,
        instrument=instrument,
        event_time_us=event_time_us,
        bid_price=bid_price,
        bid_quantity=bid_quantity,
        ask_price=ask_price,
        ask_quantity=ask_quantity,
        sequence=sequence,
        received_time_us=received_time_us,
    )


def make_book(
    venue: str,
    instrument: str,
    event_time_us: int,
    bids: list[tuple[float, float]],
    asks: list[tuple[float, float]],
    received_time_us: int,
    sequence: int | None = None,
) -> Book | str:
    """Build a book of levels that stand best first, or say ``crossed`` or ``empty_book``.

    Levels beyond the wire's are left out.
    """
    if not bids and not asks:
        return "empty_book"
    if bids and asks and bids[0][0] >= asks[0][0]:
        return "crossed"
    return Book(
        venue=venue,
        instrument=instrument,
        event_time_us=event_time_us,
        bids=bids[:BOOK_LEVELS_MAX],
        asks=asks[:BOOK_LEVELS_MAX],
        sequence=sequence,
        received_time_us=received_time_us,
    )
