"""What a lane gives step two in one batch: closes of bars, best bids and asks."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from marketlake.analytics.arrays import Columns, Int64Array, concat, pack_arrays, row_count
from marketlake.contracts.events import EventType
from marketlake.contracts.instruments import QUOTE_ASSETS, Instrument
from streaming.stages.catalog import InstrumentCatalog
from streaming.stages.fold_output import FoldOutput, bar_lengths_us
from streaming.stages.merge_fold import MergeEvents
from streaming.stages.messages import BatchPlan, bucket_of, venue_bucket

_NONE: Final = np.empty(0, np.int64)
_BAR_VALUES: Final = ("high", "low", "close", "volume", "quote_volume")


class GivenEvents:
    """Events for step two, their instruments by catalog code."""

    def __init__(self) -> None:
        self._bars: list[Columns] = []
        self._tops: list[Columns] = []

    def take(self, output: FoldOutput, event_type: EventType) -> None:
        """Add what one step of the folds gave."""
        if row_count(output.bars):
            bars = output.bars
            lengths_us = bar_lengths_us(bars["interval"])
            n = row_count(bars)
            self._bars.append(
                {
                    "time_us": bars["open_time_us"] + lengths_us - 1,
                    "interval": bars["interval"],
                    "instrument": bars["instrument"],
                    "origin": np.full(n, int(event_type == "bar"), np.int64),
                    **{name: bars[name] for name in _BAR_VALUES},
                }
            )
        if row_count(output.tops):
            names = ("time_us", "instrument", "sequence", "content", "bid_price", "bid_quantity")
            more = ("ask_price", "ask_quantity", "transit_us")
            tops = {name: output.tops[name] for name in (*names, *more)}
            if "levels" in output.tops:
                tops["levels"] = output.tops["levels"]
            tops["event"] = np.full(row_count(tops), int(event_type == "quote"), np.int8)
            self._tops.append(tops)

    def absorb(self, other: GivenEvents, codes: Int64Array) -> None:
        """Take the events of another lane, whose catalog codes are ours at ``codes``."""
        for part in (*other._bars, *other._tops):
            part["instrument"] = codes[part["instrument"]]
        self._bars += other._bars
        self._tops += other._tops

    def of_bucket(self, catalog: InstrumentCatalog, bucket: int, plan: BatchPlan) -> MergeEvents:
        """Give those that a bucket of step two needs."""
        takes = np.array([belongs(i, bucket, plan) for i in catalog.instruments], np.bool_)
        bars, tops = (_of_bucket(parts, takes) for parts in (self._bars, self._tops))
        # Names that no event has are left out: the merge must not depend on this process's catalog.
        seen = np.unique(np.concatenate([p["instrument"] for p in (bars, tops) if p] or [_NONE]))
        kept = [(i.venue, i.instrument) for i in (catalog.instruments[int(c)] for c in seen)]
        ranks = np.zeros(len(catalog), np.int64)
        ranks[seen] = np.arange(seen.size)
        for part in (bars, tops):
            if part:
                part["instrument"] = ranks[part["instrument"]]
        return MergeEvents(kept, pack_arrays(bars), pack_arrays(tops))


def belongs(instrument: Instrument, bucket: int, plan: BatchPlan) -> bool:
    """Tell whether a bucket of step two needs an instrument.

    A base asset belongs to one bucket, and the triangles of a venue to one; what converts one
    currency into another, to all.
    """
    buckets = plan.settings.stream.merge_buckets
    if bucket_of(instrument.base, buckets) == bucket:
        return True
    if instrument.market == "spot" and venue_bucket(instrument.venue, buckets) == bucket:
        return True
    money = {"fiat", "stable"}
    return {QUOTE_ASSETS.get(instrument.base), QUOTE_ASSETS.get(instrument.quote)} <= money


def _of_bucket(parts: list[Columns], takes: Any) -> Columns:
    if not parts:
        return {}
    columns = concat(parts)
    chosen = takes[columns["instrument"]]
    return {name: column[chosen] for name, column in columns.items()}
