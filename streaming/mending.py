"""Messages that were refused, looked at again: what would become of them now."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from marketlake.analytics.admission import Admission
from marketlake.contracts.events import EventType
from marketlake.contracts.reasons import Reason, reason_names
from marketlake.settings.model import Settings
from streaming.stages.catalog import InstrumentCatalog
from streaming.stages.decode import decode
from streaming.stages.fold_columns import effective_time_us
from streaming.stages.judging import Judge
from streaming.stages.presence import Presence
from streaming.stages.rows import Decoded
from streaming.stages.validate import TimeBounds

HISTORY: Final = Reason.TOO_LATE | Reason.DUPLICATE | Reason.CONFLICT
"""What a message is refused for because of others: looked at alone, it is sound."""
_NEVER_LATE_US: Final = 2**61


@dataclass(frozen=True)
class Verdict:
    """What would become of a message.

    Attributes
    ----------
    event_type, instrument : str or None
        Which topic it belongs to, and its key; None where they cannot be told.
    time_us : int
        When it counts: bars at their close.
    reasons : list of str
        Why it would be refused; none where it would be taken.
    """

    event_type: EventType | None
    instrument: str | None
    time_us: int
    reasons: list[str]


def verdicts(messages: Sequence[bytes | None], settings: Settings) -> list[Verdict]:
    """Judge messages each by itself, on the topic of its own type, as the stream would."""
    now_us = np.full(len(messages), time.time_ns() // 1_000)
    decoded = decode(pa.array(messages, pa.binary()))
    by_place = {
        place: Verdict(None, problem.instrument, 0, reason_names(int(problem.reason)))
        for place, problem in decoded.undecoded.items()
    }
    bounds = TimeBounds(settings.stream.ahead_of_source_ms * 1_000)
    for event_type, rows in decoded.rows.items():
        catalog = InstrumentCatalog()
        judge = Judge(event_type, catalog, Presence(catalog), bounds)
        alone = Decoded({event_type: rows}, {})
        judged = judge.step(alone, now_us, None, 0, Admission(_NEVER_LATE_US))
        time_us = effective_time_us(rows)
        for n, place in enumerate(rows.row.tolist()):
            _, instrument = rows.names[rows.name[n]]
            masks = int(judged.reasons[place]) & ~int(HISTORY)
            by_place[place] = Verdict(event_type, instrument, int(time_us[n]), reason_names(masks))
    return [by_place[i] for i in range(len(messages))]


def too_late(
    verdict: Verdict, topic_of: Mapping[EventType, str], watermarks_us: Mapping[str, int]
) -> bool:
    """Tell whether an input of the topic might be past a message.

    Parameters
    ----------
    watermarks_us : mapping
        Latest watermark of the inputs of each topic: which of them a message goes to is not known.
    """
    if verdict.event_type is None:
        return False
    return verdict.time_us < watermarks_us.get(topic_of[verdict.event_type], -_NEVER_LATE_US)
