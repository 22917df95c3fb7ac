"""Step two on closes: studies of spreads and of triangles, which are never an opportunity."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from marketlake.analytics.arrays import Columns, Float64Array, Int64Array, row_count
from marketlake.analytics.spreads.indicative import NO_CLOSE_US, IndicativeSpreads
from marketlake.analytics.triangles.cycles import smallest_notionals
from marketlake.analytics.triangles.indicative import IndicativeTriangles
from marketlake.settings.model import SpreadSettings
from streaming.stages.fold_output import INTERVALS
from streaming.stages.listing import Listing


@dataclass
class CloseWorld:
    """The last close of each instrument and interval."""

    settings: SpreadSettings
    close: Float64Array = field(default_factory=lambda: np.empty((len(INTERVALS), 0)))
    close_time_us: Int64Array = field(
        default_factory=lambda: np.empty((len(INTERVALS), 0), np.int64)
    )

    def grow(self, places: Int64Array, size: int) -> None:
        """Make room for instruments; ``places`` says where the known ones stand now."""
        for name, absent in (("close", np.nan), ("close_time_us", NO_CLOSE_US)):
            old = getattr(self, name)
            wider = np.full((old.shape[0], size), absent, old.dtype)
            wider[:, places] = old
            setattr(self, name, wider)

    def step(self, bars: Columns, listing: Listing) -> tuple[Columns, Columns]:
        """Take closed bars in the total order: spreads to study, and triangles."""
        if not row_count(bars):
            return {}, {}
        max_age_us = self.settings.max_close_age_ms * 1_000
        spreads = IndicativeSpreads(listing.universe, max_age_us, self.close, self.close_time_us)
        studied = np.array([i in self.settings.triangle_intervals for i in INTERVALS], np.int64)
        smallest = smallest_notionals(listing.cycles, self.settings.smallest_close_notional)
        triangles = IndicativeTriangles(listing.cycle_arrays, smallest, studied)
        return spreads.step(bars), triangles.step(bars)

    def state(self) -> Columns:
        """Give the whole state."""
        return {"close": self.close, "close_time_us": self.close_time_us}

    def restore(self, arrays: Columns) -> None:
        """Take up the state that :meth:`state` gave."""
        self.close, self.close_time_us = arrays["close"], arrays["close_time_us"]
