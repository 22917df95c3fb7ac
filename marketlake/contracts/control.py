"""Control events: what the stream learnt that no message says, written to bronze as an event.

Folds know no clock but event time. That an input has gone idle, has come to its end or goes on,
or that partitions share instruments and must be folded together, is therefore an event with a
position, so that a replay of bronze meets it at the same place.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

import msgspec

ControlKind = Literal["join", "part", "end", "idle", "resume"]

SOURCE_PREFIX: Final = "marketlake/"
"""Begins ``source`` of a control event in bronze: ``marketlake/idle``."""

ORDER: Final[dict[str, int]] = {
    f"{SOURCE_PREFIX}{kind}": order for order, kind in enumerate(get_args(ControlKind))
}
"""Order of control events at one position; all come before the message at that offset."""

LANE_SOURCES: Final = (f"{SOURCE_PREFIX}join", f"{SOURCE_PREFIX}part")
"""``source`` of the events that change which inputs are folded together, and no result."""


class Control(msgspec.Struct, frozen=True, tag_field="type", tag="control", omit_defaults=True):
    """One control event of one input.

    Attributes
    ----------
    kind : ControlKind
        ``idle``: nothing came for long; ``end``: the run drained its input and stops;
        ``resume``: messages come again; ``join``: the input is folded together with others of its
        topic from here on; ``part``: it is alone again.
    watermark_us : int
        The input's watermark is at least this from here on; of ``join`` and ``part`` without
        meaning.
    lane : str
        Of ``join``: the name of the common lane.
    asleep : bool
        Of ``join``: nothing has come from the input yet, and nobody waits for it until it does.
    """

    kind: ControlKind
    watermark_us: int = 0
    lane: str = ""
    asleep: bool = False

    @property
    def source(self) -> str:
        """Value of ``source`` in bronze."""
        return SOURCE_PREFIX + self.kind


def changes_lanes(event: Control) -> bool:
    """Tell whether an event changes which inputs are folded together."""
    return event.source in LANE_SOURCES


def encode_control(event: Control) -> bytes:
    """Encode a control event for ``bronze/events``."""
    return msgspec.json.encode(event)


def decode_control(value: bytes) -> Control:
    """Decode a control event from ``bronze/events``."""
    return msgspec.json.decode(value, type=Control)
