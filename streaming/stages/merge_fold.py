"""Step two: what step one gave of all inputs, merged in the total order, then what spans them.

Two worlds that share nothing but the instruments: closes of bars (indicative), and quotes and books
(executable, and the basis). Each has the watermark of its own inputs, the least of those that are
active.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

from marketlake.analytics.arrays import (
    Columns,
    Int64Array,
    pack_arrays,
    row_count,
    unpack_arrays,
)
from marketlake.analytics.reorder import ReorderBuffer
from marketlake.analytics.triangles.cycles import Cycle
from marketlake.contracts.instruments import Instrument, resolve, with_fee
from marketlake.settings.model import AnomalySettings, SpreadSettings
from streaming.stages.close_world import CloseWorld
from streaming.stages.detectors import Anomaly
from streaming.stages.listing import Listing, make_listing
from streaming.stages.quote_world import QuoteWorld
from streaming.stages.top_buffer import TopBuffer
from streaming.stages.venue_comparison import VenueComparison

_BAR_ORDER: Final = ("time_us", "interval", "instrument", "origin")


class MergeEvents(msgspec.Struct):
    """What one input gave in one batch; instruments by their place in ``names``."""

    names: list[tuple[str, str]]
    bars: bytes
    tops: bytes


@dataclass
class MergeOutput:
    """Rows by column, instruments by their place in ``instruments``, cycles in ``cycles``.

    Attributes
    ----------
    indicative, executable : Columns
        Of ``gold/spreads``.
    triangle_studies, triangles : Columns
        Of ``gold/triangles``: of closes, and of quotes and books.
    basis : Columns
        Of ``gold/basis``.
    anomalies : list of Anomaly
        Moves of a listing against the other venues.
    """

    instruments: list[Instrument]
    cycles: list[Cycle]
    indicative: Columns
    executable: Columns
    triangle_studies: Columns
    triangles: Columns
    basis: Columns
    anomalies: list[Anomaly]


@dataclass
class MergeFold:
    """All that is kept of one bucket of step two between batches.

    Attributes
    ----------
    owns : callable
        Tells whether spreads and basis of a base asset are computed in this bucket.
    owns_venue : callable
        Tells whether triangles of a venue are computed in this bucket.
    anomalies : AnomalySettings
        Of the comparison of venues.
    instruments : list of Instrument
        Ascending by (venue, instrument): a code is a rank in the total order.
    """

    settings: SpreadSettings
    owns: Callable[[str], bool] = lambda _base: True
    owns_venue: Callable[[str], bool] = lambda _venue: True
    anomalies: AnomalySettings = field(default_factory=AnomalySettings)
    instruments: list[Instrument] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._bars = ReorderBuffer(_BAR_ORDER)
        self._tops = TopBuffer(self.settings.depth_levels)
        self._closes = CloseWorld(self.settings)
        self._venues = VenueComparison(self.anomalies, self.owns)
        self._quotes = QuoteWorld(self.settings)
        self._resolved: dict[tuple[str, str], Instrument] = {}
        self._listing: Listing
        self._set_instruments([])

    def step(
        self, events: list[MergeEvents], bar_watermark_us: int, top_watermark_us: int
    ) -> MergeOutput:
        """Take the events of a batch, then advance both worlds to their watermarks."""
        self._meet({name for part in events for name in part.names})
        codes = {(i.venue, i.instrument): c for c, i in enumerate(self.instruments)}
        bars, tops = [], []
        for part in events:
            ranks = np.array([codes[name] for name in part.names], np.int64)
            bars.append(_ranked(unpack_arrays(part.bars), ranks))
            tops.append(_ranked(unpack_arrays(part.tops), ranks))
        released = _step_all(self._bars, bars, bar_watermark_us)
        indicative, studies = self._closes.step(released, self._listing)
        anomalies = self._venues.step(released, self.instruments)
        executable, triangles, basis = self._quotes.step(
            self._tops.step(tops, top_watermark_us), top_watermark_us, self._listing
        )
        return MergeOutput(
            self.instruments,
            self._listing.cycles,
            indicative,
            executable,
            studies,
            triangles,
            basis,
            anomalies,
        )

    def _meet(self, names: set[tuple[str, str]]) -> None:
        """Make room for instruments that were not seen before."""
        known = {(i.venue, i.instrument) for i in self.instruments}
        fresh = {tuple(name) for name in names} - known
        if not fresh:
            return
        every = sorted(known | fresh)
        rank = {name: code for code, name in enumerate(every)}
        moved = np.array([rank[(i.venue, i.instrument)] for i in self.instruments], np.int64)
        for world in (self._closes, self._quotes):
            world.grow(moved, len(every))
        for buffer in (self._bars, self._tops):
            if row_count(buffer.pending):
                buffer.pending["instrument"] = moved[buffer.pending["instrument"]]
        self._set_instruments(every)

    def _set_instruments(self, names: list[tuple[str, ...]]) -> None:
        self.instruments = [self._resolve(venue, instrument) for venue, instrument in names]
        self._listing = make_listing(self.instruments, self.settings, self.owns, self.owns_venue)

    def _resolve(self, venue: str, instrument: str) -> Instrument:
        known = self._resolved.get((venue, instrument))
        if known is not None:
            return known
        found = resolve(venue, instrument)
        if found is None:
            raise ValueError(
                f"{venue} {instrument} is in the state but not in the reference table; "
                "restore its entry or start a new lake"
            )
        fee_bps = self.settings.uniform_taker_fee_bps
        if fee_bps is None:
            fee_bps = self.settings.taker_fee_bps.get(venue, found.taker_fee_bps)
        resolved = self._resolved[venue, instrument] = with_fee(found, fee_bps)
        return resolved

    def state(self) -> bytes:
        """Give the whole state."""
        names = "\n".join(f"{i.venue}|{i.instrument}" for i in self.instruments)
        return pack_arrays(
            {
                "names": np.frombuffer(names.encode(), np.uint8),
                **self._closes.state(),
                **self._quotes.state(),
                **{f"venues.{k}": v for k, v in self._venues.state().items()},
                **{f"bars.{k}": v for k, v in self._bars.state().items()},
                **{f"tops.{k}": v for k, v in self._tops.state().items()},
            }
        )

    def restore(self, payload: bytes) -> None:
        """Take up the state that :meth:`state` gave."""
        arrays = unpack_arrays(payload)
        text = arrays["names"].tobytes().decode()
        self._set_instruments([tuple(n.split("|", 1)) for n in text.split("\n") if n])
        self._closes.restore(arrays)
        self._quotes.restore(arrays)
        self._venues.restore(_with_prefix(arrays, "venues."), self.instruments)
        self._bars.pending = _with_prefix(arrays, "bars.")
        self._tops.restore(_with_prefix(arrays, "tops."))


def _with_prefix(arrays: Columns, prefix: str) -> Columns:
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def _ranked(columns: Columns, ranks: Int64Array) -> Columns:
    if row_count(columns):
        columns["instrument"] = ranks[columns["instrument"]]
    return columns


def _step_all(buffer: ReorderBuffer, parts: list[Columns], watermark_us: int) -> Columns:
    filled = [part for part in parts if row_count(part)]
    joined = (
        {name: np.concatenate([part[name] for part in filled]) for name in filled[0]}
        if filled
        else {}
    )
    return buffer.step(joined, watermark_us)
