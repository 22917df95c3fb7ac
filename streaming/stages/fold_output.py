"""What a step of step one gives of one lane, and the codes that its rows carry."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from marketlake.analytics.arrays import Columns, Float64Array, Int64Array
from marketlake.contracts.events import INTERVAL_US
from streaming.stages.detectors import Anomaly

INTERVALS: Final = tuple(INTERVAL_US)
"""Intervals by code, as bar rows carry them."""
_LENGTHS_US: Final = np.array([INTERVAL_US[i] for i in INTERVALS], np.int64)

BAR_VALUES: Final = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_volume",
    "trade_count",
)


def bar_lengths_us(interval_codes: Int64Array) -> Int64Array:
    """Length of bars by interval code, in microseconds."""
    lengths: Int64Array = _LENGTHS_US[interval_codes]
    return lengths


@dataclass
class FoldOutput:
    """What one step of a family gave.

    Attributes
    ----------
    bars : Columns
        Closed bars: ``instrument`` (catalog code), ``interval`` (code), ``open_time_us`` and
        ``BAR_VALUES``; empty where none closed.
    indicators : float64[columns, n]
        Of each bar.
    tops : Columns
        Best bids and asks in time order, for step two.
    microstructure : Columns
        Closed bars of :class:`streaming.stages.microstructure.Microstructure`.
    """

    bars: Columns = field(default_factory=dict)
    indicators: Float64Array | None = None
    anomalies: list[Anomaly] = field(default_factory=list)
    tops: Columns = field(default_factory=dict)
    microstructure: Columns = field(default_factory=dict)
