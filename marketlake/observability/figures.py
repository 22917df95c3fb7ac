"""What metrics and logs know of a batch: plain figures, whoever ran it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class InputFigures:
    """Where one input stood after a batch.

    Attributes
    ----------
    watermark_us, latest_us : int or None
        How far the input is complete, and its latest event time: microseconds since the epoch,
        UTC; None where it has given nothing yet.
    active : bool
        False for an input gone quiet, which no longer holds others back.
    """

    watermark_us: int | None
    latest_us: int | None
    active: bool = True


@dataclass(frozen=True)
class BatchFigures:
    """One batch in figures.

    Attributes
    ----------
    sequence : int
        Number of the batch.
    kind : str
        ``messages`` or ``control``.
    seconds : float
        What it took, its commits included.
    read, quarantined : int
        Messages.
    silver, gold : mapping of str to int
        Rows by table, ``silver/trades``.
    reasons : mapping of str to int
        Quarantined messages by reason; one with two reasons counts under both.
    inputs : mapping of str to InputFigures
        By name, ``market.trades-0``.
    latest_event_us : mapping of str to int
        Latest event time of the batch's rows by table, microseconds since the epoch, UTC; of a
        bar, its open time.
    lag_messages : mapping of str to int
        Messages at the source not read yet, by input; empty where unknown.
    """

    sequence: int
    kind: str
    seconds: float
    read: int
    quarantined: int
    silver: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    gold: Mapping[str, int] = field(default_factory=dict)
    inputs: Mapping[str, InputFigures] = field(default_factory=dict)
    latest_event_us: Mapping[str, int] = field(default_factory=dict)
    lag_messages: Mapping[str, int] = field(default_factory=dict)

    @property
    def unaccounted(self) -> int:
        """Messages read that are neither in silver nor in quarantine; law 4 says 0.

        Below 0 where more came out than went in.
        """
        return self.read - sum(self.silver.values()) - self.quarantined

    @property
    def rows_per_s(self) -> float:
        """Messages read a second; 0 for a batch that took no time."""
        return self.read / self.seconds if self.seconds > 0 else 0.0

    @property
    def watermark_us(self) -> int | None:
        """How far the inputs have come: the least watermark of the active ones that have one.

        With none active, the greatest of all; None where no input has one. The merge is stricter:
        it also waits for an active input that has given nothing yet.
        """
        known = [(i.watermark_us, i.active) for i in self.inputs.values()]
        active = [time_us for time_us, active in known if active and time_us is not None]
        if active:
            return min(active)
        return max((time_us for time_us, _ in known if time_us is not None), default=None)

    @property
    def lag(self) -> int | None:
        """Messages at the source not read yet, over all inputs; None where unknown."""
        return sum(self.lag_messages.values()) if self.lag_messages else None
