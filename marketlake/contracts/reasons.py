"""Why a message is in quarantine."""

from __future__ import annotations

from enum import IntFlag

import numpy as np
import numpy.typing as npt


class Reason(IntFlag):
    """One bit a reason; the name in lower case stands in ``silver/quarantine``."""

    UNPARSABLE = 1
    """Not JSON, or not an object."""
    UNKNOWN_TYPE = 1 << 1
    WRONG_TOPIC = 1 << 2
    """An event of another type than the topic is for."""
    MISSING_FIELD = 1 << 3
    INVALID_FIELD = 1 << 4
    """A field of the wrong JSON type, or a value outside its domain."""
    UNKNOWN_INSTRUMENT = 1 << 5
    NON_FINITE_PRICE = 1 << 6
    NON_POSITIVE_PRICE = 1 << 7
    NON_FINITE_QUANTITY = 1 << 8
    NEGATIVE_QUANTITY = 1 << 9
    CROSSED_BOOK = 1 << 10
    UNSORTED_BOOK = 1 << 11
    EMPTY_BOOK = 1 << 12
    INCONSISTENT_BAR = 1 << 13
    """High below open, close or low, or low above one of them."""
    TIME_WRONG_UNIT = 1 << 14
    """Plausible in seconds, milliseconds or nanoseconds, but not in microseconds."""
    TIME_OUT_OF_BOUNDS = 1 << 15
    TIME_AHEAD_OF_SOURCE = 1 << 16
    """Later than the source's own timestamp by more than the tolerance."""
    TOO_LATE = 1 << 17
    DUPLICATE = 1 << 18
    CONFLICT = 1 << 19
    """The key of a row that was admitted before, with other content."""
    WRONG_KEY = 1 << 20
    """A message key that is not the instrument: it may have come on another partition's way."""
    TOO_MANY_LEVELS = 1 << 21
    """A side of a book that is longer than the wire allows: what was sent is not its top."""


def reason_names(mask: int) -> list[str]:
    """Names of the reasons in a mask, lowest bit first."""
    return [reason.name.lower() for reason in Reason if mask & reason and reason.name]


def mark(masks: npt.NDArray[np.int64], where: npt.NDArray[np.bool_], reason: Reason) -> None:
    """Add a reason to the masks of some rows, in place."""
    masks[where] |= int(reason)
