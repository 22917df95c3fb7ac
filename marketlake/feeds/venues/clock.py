"""Times of the venues, as text or number, into integer microseconds since the epoch (UTC)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def us_of_iso(text: str) -> int:
    """Read ISO 8601 with a zone, such as ``2021-04-17T16:43:37.089723Z``.

    Raises
    ------
    ValueError
        No ISO time, or one without a zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time without a zone: {text!r}")
    return (moment - _EPOCH) // _MICROSECOND


def us_of_seconds(text: str) -> int:
    """Read decimal seconds, such as ``1618678142.557535``, exactly; beyond 1 µs is cut off.

    Raises
    ------
    ValueError
        Not digits with at most one point.
    """
    whole, _, fraction = text.partition(".")
    if not whole.isdecimal() or (fraction and not fraction.isdecimal()):
        raise ValueError(f"no decimal seconds: {text!r}")
    return int(whole) * 1_000_000 + int(fraction[:6].ljust(6, "0"))


def us_of_ms(milliseconds: int | str) -> int:
    """Read integer milliseconds, as a number or as text."""
    return int(milliseconds) * 1_000
