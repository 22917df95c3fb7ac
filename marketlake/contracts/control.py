"""Control events: what the stream learnt that no message says, written to bronze as an event.

Folds know no clock but event time. That an input has gone idle, has come to its end or goes on
is therefore an event with a position, so that a replay of bronze meets it at the same place.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

ControlKind = Literal["idle", "end", "resume"]

SOURCE_PREFIX: Final = "marketlake/"
"""Begins ``source`` of a control event in bronze: ``marketlake/idle``."""

ORDER: Final[dict[str, int]] = {"marketlake/end": 0, "marketlake/idle": 1, "marketlake/resume": 2}
"""Order of control events at one position; all come before the message at that offset."""


class Control(msgspec.Struct, frozen=True, tag_field="type", tag="control"):
    """One control event of one input.

    Attributes
    ----------
    kind : ControlKind
        ``idle``: nothing came for long; ``end``: the run drained its input and stops;
        ``resume``: messages come again.
    watermark_us : int
        The input's watermark is at least this from here on.
    """

    kind: ControlKind
    watermark_us: int

    @property
    def source(self) -> str:
        """Value of ``source`` in bronze."""
        return SOURCE_PREFIX + self.kind


def encode_control(event: Control) -> bytes:
    """Encode a control event for ``bronze/events``."""
    return msgspec.json.encode(event)


def decode_control(value: bytes) -> Control:
    """Decode a control event from ``bronze/events``."""
    return msgspec.json.decode(value, type=Control)
