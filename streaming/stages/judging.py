"""What becomes of each message of a lane: decoded, validated, admitted, or why not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from marketlake.analytics.admission import (
    ADMITTED,
    CONFLICT,
    DUPLICATE,
    TOO_LATE,
    Admission,
)
from marketlake.analytics.arrays import Int64Array, UInt64Array
from marketlake.contracts.events import EventType
from marketlake.contracts.reasons import Reason, mark
from streaming.stages.catalog import UNKNOWN, InstrumentCatalog
from streaming.stages.decode import decode
from streaming.stages.fold_columns import check_keys, effective_time_us
from streaming.stages.presence import Presence
from streaming.stages.rows import Decoded, Rows
from streaming.stages.silver import content_hashes, identity_hashes
from streaming.stages.validate import TimeBounds, validate

_VERDICTS: Final = ((TOO_LATE, Reason.TOO_LATE), (DUPLICATE, Reason.DUPLICATE))


@dataclass
class Judged:
    """One chunk of messages, every one accounted for.

    Attributes
    ----------
    reasons : int64[n]
        Reasons of each message; 0 where it was admitted.
    admitted : mask over ``rows`` of the lane's own type
    """

    decoded: Decoded
    reasons: Int64Array
    rows: Rows | None
    admitted: npt.NDArray[np.bool_]
    codes: Int64Array
    content: UInt64Array


class Judge:
    """Gives the verdict on messages of one lane; what it remembers is the admission's."""

    def __init__(
        self,
        event_type: EventType,
        catalog: InstrumentCatalog,
        presence: Presence,
        bounds: TimeBounds,
    ) -> None:
        self._event_type, self._catalog = event_type, catalog
        self._presence, self._bounds = presence, bounds

    def step(
        self,
        messages: pa.Array | list[bytes | None] | Decoded,
        source_time_us: Int64Array,
        keys: pa.Array | None,
        partition: int,
        admission: Admission,
    ) -> Judged:
        """Take messages of a partition in source order; the admission notes those that are in."""
        decoded = messages if isinstance(messages, Decoded) else decode(messages)
        reasons = np.zeros(source_time_us.size, np.int64)
        for position, problem in decoded.undecoded.items():
            reasons[position] = int(problem.reason)
        none = np.empty(0, np.int64)
        judged = Judged(decoded, reasons, None, none.astype(np.bool_), none, none.view(np.uint64))
        for rows in decoded.rows.values():
            validate(rows, self._event_type, source_time_us[rows.row], self._bounds)
            if keys is not None:
                check_keys(rows, keys)
            if rows.event_type == self._event_type:
                self._admit(rows, judged, partition, admission)
            reasons[rows.row] = rows.reasons
        return judged

    def _admit(self, rows: Rows, judged: Judged, partition: int, admission: Admission) -> None:
        codes_of_names = self._catalog.codes(rows.names)
        unknown = (codes_of_names == UNKNOWN) & [None not in name for name in rows.names]
        codes = codes_of_names[rows.name]
        mark(rows.reasons, unknown[rows.name], Reason.UNKNOWN_INSTRUMENT)
        time_us = effective_time_us(rows)
        mark(rows.reasons, self._presence.too_late(codes, time_us), Reason.TOO_LATE)
        sound = np.flatnonzero(rows.reasons == 0)
        content = np.zeros(rows.row.size, np.uint64)
        if sound.size:
            content = content_hashes(rows, codes, self._catalog)
            identity = identity_hashes(rows, codes, self._catalog, content)
            verdicts = np.full(rows.row.size, 255, np.uint8)
            verdicts[sound] = admission.step(
                partition, time_us[sound], identity[sound], content[sound]
            )
            # Duplicates too: which of two copies was read first must not show.
            timely = sound[verdicts[sound] != TOO_LATE]
            home = partition if len(admission.clocks) > 1 else None
            self._presence.note(codes[timely], time_us[timely], home)
            for verdict, reason in (*_VERDICTS, (CONFLICT, Reason.CONFLICT)):
                mark(rows.reasons, verdicts == verdict, reason)
            judged.admitted = verdicts == ADMITTED
        else:
            judged.admitted = np.zeros(rows.row.size, np.bool_)
        judged.rows, judged.codes, judged.content = rows, codes, content
