"""Messages of Alpaca's market data stream (version 2, US equities), into wire events.

Every frame is a JSON list; each of its members says what it is by ``T``. Times are RFC 3339 with
nanoseconds, of which the wire keeps microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from marketlake.contracts.events import Bar, Event
from marketlake.feeds.venues.checks import make_quote, make_trade
from marketlake.feeds.venues.clock import us_of_iso

VENUE: Final = "alpaca"
BAR_INTERVAL: Final = "1m"
"""The only bars that the stream has."""

FOR_GOOD: Final = frozenset({400, 401, 402, 403, 405, 409, 410})
"""Error codes that a new connection does not cure: syntax, credentials, number of symbols, what
was paid for. The others (404 auth timeout, 406 connection limit, 407 slow client, 500) it may."""

_SKIPPED: Final[Mapping[str, str]] = {
    "c": "correction",
    "x": "cancelled_trade",
    "u": "late_bar",
    "d": "unsupported_channel",
    "s": "status",
    "l": "status",
    "i": "status",
    "success": "subscription",
    "subscription": "subscription",
}
_SYMBOL: Final = re.compile(r"[A-Z]{1,10}")
_NANOSECONDS: Final = re.compile(r"(\.\d{6})\d+")


def symbol_of(instrument: str) -> str | None:
    """Give Alpaca's symbol of ``AAPL-USD``; None for anything else than a plain ticker in USD."""
    base, _, quote = instrument.partition("-")
    return base if quote == "USD" and _SYMBOL.fullmatch(base) else None


def time_us(text: str) -> int:
    """Read RFC 3339; what is finer than a microsecond is cut off."""
    return us_of_iso(_NANOSECONDS.sub(r"\1", text))


def event_of(message: Mapping[str, Any], lot_size: float, received_time_us: int) -> Event | str:
    """Make an event of one message, or give the reason why there is none.

    Parameters
    ----------
    lot_size : float
        Shares that one unit of a quote's size stands for.

    Raises
    ------
    KeyError, TypeError, ValueError
        A message of another shape, or an impossible value.
    """
    kind = message["T"]
    if kind in _SKIPPED:
        return _SKIPPED[kind]
    instrument = f"{message['S']}-USD"
    moment_us = time_us(message["t"])
    if kind == "t":
        # Ids count for one exchange each. The tape does not tell who was the aggressor.
        return make_trade(
            VENUE,
            instrument,
            moment_us,
            float(message["p"]),
            float(message["s"]),
            None,
            received_time_us,
            trade_id=f"{message['x']}{message['i']}",
        )
    if kind == "q":
        return make_quote(
            VENUE,
            instrument,
            moment_us,
            (float(message["bp"]), float(message["bs"]) * lot_size),
            (float(message["ap"]), float(message["as"]) * lot_size),
            received_time_us,
        )
    if kind == "b":
        return Bar(
            venue=VENUE,
            instrument=instrument,
            event_time_us=moment_us,
            interval=BAR_INTERVAL,
            open=float(message["o"]),
            high=float(message["h"]),
            low=float(message["l"]),
            close=float(message["c"]),
            volume=float(message["v"]),
            trade_count=int(message["n"]),
            received_time_us=received_time_us,
        )
    return "unsupported_channel"
