"""What made Spark fail, as one line for the operator."""

from __future__ import annotations

import re
from typing import Final

_LAST_LINE: Final = 400
_OWN_ERRORS: Final = ("LakeError: ", "FetchError: ", "KinesisError: ")
_FULL: Final = ("No space left on device", "Disk quota exceeded")
_FULL_PLACE: Final = re.compile(r"cannot write (\S+): |\((/\S+) \(")
_NO_ANSWER: Final = (
    "the Kafka broker{at} no longer answers; start again when it does: nothing was lost"
)
_FAILURES: Final[dict[str, str]] = {
    "KAFKA_DATA_LOSS": (
        "messages not read yet are gone from Kafka (retention, or a topic made anew); "
        "start on a new --lake, or restore the topic"
    ),
    "org.apache.kafka.common.errors.TimeoutException": _NO_ANSWER,
    "Cannot fetch record for offset": _NO_ANSWER,
    "Python worker failed to connect back": (
        "a Python worker of Spark did not start in time; the machine is overloaded: start again "
        "when it is not, nothing was lost"
    ),
}


def reason_of(error: object, broker: str = "") -> str:
    """Find the line that says why, in the text of whatever was raised.

    Parameters
    ----------
    broker : str
        Where the source is: ``host:port``.
    """
    text = str(error)
    full = full_disk(text)
    if full is not None:
        return full
    for sign in _OWN_ERRORS:
        if sign in text:
            return text.split(sign, 1)[1].splitlines()[0]
    known = next((message for sign, message in _FAILURES.items() if sign in text), None)
    if known is not None:
        return known.replace("{at}", f" at {broker}" if broker else "")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    causes = [line for line in lines if "Error:" in line or "Exception:" in line]
    return (causes[-1] if causes else lines[0] if lines else "unknown")[:_LAST_LINE]


def full_disk(text: str) -> str | None:
    """Tell of a full disk, where that is what an error's text says."""
    if not any(sign in text for sign in _FULL):
        return None
    place = _FULL_PLACE.search(text)
    where = f" ({place.group(1) or place.group(2)})" if place else ""
    return f"the disk is full{where}; make room and start again: nothing was lost"
