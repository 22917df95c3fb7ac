"""ccxt's unified structures into wire events.

ccxt reads a venue's decimal text into doubles; on the wire they stand in their shortest form, which
is the venue's own text up to 15 digits, trailing zeros aside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from marketlake.contracts.events import BOOK_LEVELS_MAX, Bar, Book, Quote, Side, Trade
from marketlake.feeds.live.symbols import Listing
from marketlake.feeds.live.venues import LiveVenue
from marketlake.feeds.venues.checks import make_book, make_quote, make_trade
from marketlake.feeds.venues.clock import us_of_iso

_US_PER_MS = 1_000
_SEQUENCE_MAX = 2**63


def _time_us(structure: Mapping[str, Any], received_time_us: int) -> int:
    """Give the venue's time, or the time of arrival where it sends none."""
    time_ms = structure.get("timestamp")
    return received_time_us if time_ms is None else int(time_ms) * _US_PER_MS


def _quantity(listing: Listing, amount: float) -> float:
    # Not multiplied where it need not be: the product may differ in its last digit.
    return amount if listing.per_amount == 1.0 else amount * listing.per_amount


def trade_event(
    venue: LiveVenue, listing: Listing, trade: Mapping[str, Any], received_time_us: int
) -> Trade:
    """Make a trade.

    Raises
    ------
    TypeError, ValueError, KeyError
        It lacks price, amount or time, or they are impossible.
    """
    time_us = int(trade["timestamp"]) * _US_PER_MS
    if venue.trade_time is not None:
        text = trade["info"].get(venue.trade_time)
        time_us = time_us if text is None else us_of_iso(text)
    trade_id = trade.get("id")
    side: Side | None = trade["side"] if trade.get("side") in ("buy", "sell") else None
    return make_trade(
        venue.name,
        listing.instrument,
        time_us,
        float(trade["price"]),
        _quantity(listing, float(trade["amount"])),
        side,
        received_time_us,
        trade_id=None if trade_id is None else str(trade_id),
        sequence=_number(trade_id) if venue.trade_ids == "contiguous" else None,
    )


def is_off_book(venue: LiveVenue, trade: Mapping[str, Any]) -> bool:
    """Say whether a trade is no execution against the book, as far as the venue tells."""
    if venue.book_trades is None:
        return False
    name, usual = venue.book_trades
    return (trade.get("info") or {}).get(name, usual) != usual


def _number(text: object) -> int | None:
    digits = str(text)
    return int(digits) if digits.isdecimal() and int(digits) < _SEQUENCE_MAX else None


def quote_event(
    venue: LiveVenue, listing: Listing, ticker: Mapping[str, Any], received_time_us: int
) -> Quote | str:
    """Make a quote, or say why there is none, as ``quote_without_size``.

    Raises
    ------
    TypeError, ValueError
        Impossible numbers.
    """
    if ticker.get("bidVolume") is None or ticker.get("askVolume") is None:
        return "quote_without_size"
    if ticker.get("bid") is None or ticker.get("ask") is None:
        return "one_sided"
    return make_quote(
        venue.name,
        listing.instrument,
        _time_us(ticker, received_time_us),
        (float(ticker["bid"]), _quantity(listing, float(ticker["bidVolume"]))),
        (float(ticker["ask"]), _quantity(listing, float(ticker["askVolume"]))),
        received_time_us,
    )


def book_event(
    venue: LiveVenue, listing: Listing, book: Mapping[str, Any], received_time_us: int
) -> Book | str:
    """Make a book of the best levels, or say why there is none."""
    nonce = book.get("nonce")
    return make_book(
        venue.name,
        listing.instrument,
        _time_us(book, received_time_us),
        _levels(listing, book["bids"]),
        _levels(listing, book["asks"]),
        received_time_us,
        sequence=nonce if isinstance(nonce, int) and 0 <= nonce < _SEQUENCE_MAX else None,
    )


def _levels(listing: Listing, side: Sequence[Sequence[Any]]) -> list[tuple[float, float]]:
    return [
        (float(level[0]), _quantity(listing, float(level[1]))) for level in side[:BOOK_LEVELS_MAX]
    ]


def bar_event(
    venue: LiveVenue,
    listing: Listing,
    interval: str,
    candle: Sequence[Any],
    received_time_us: int,
) -> Bar:
    """Make a bar of ccxt's ``[time, open, high, low, close, volume]``.

    Raises
    ------
    TypeError, ValueError
        A number is missing.
    """
    open_, high, low, close, volume = (float(number) for number in candle[1:6])
    return Bar(
        venue=venue.name,
        instrument=listing.instrument,
        event_time_us=int(candle[0]) * _US_PER_MS,
        interval=interval,
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=_quantity(listing, volume),
        received_time_us=received_time_us,
    )
