"""Step two: what step one gave of all inputs, merged in the total order, then spreads.

Two worlds that share nothing but the instruments: closes of bars (indicative) and best bids and
asks (executable). Each has the watermark of its own inputs, the least of those that are active.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

import msgspec
import numpy as np

from marketlake.analytics.arrays import (
    Columns,
    Float64Array,
    Int64Array,
    pack_arrays,
    row_count,
    unpack_arrays,
)
from marketlake.analytics.reorder import ReorderBuffer
from marketlake.analytics.spreads.executable import PAIR_WIDTH, ExecutableSpreads
from marketlake.analytics.spreads.indicative import NO_CLOSE_US, IndicativeSpreads
from marketlake.analytics.spreads.universe import Universe, build_universe
from marketlake.contracts.instruments import Instrument, resolve, with_fee
from marketlake.settings.model import SpreadSettings
from streaming.stages.families import INTERVALS

_BAR_ORDER: Final = ("time_us", "interval", "instrument", "origin")
_TOP_ORDER: Final = ("time_us", "event", "instrument", "sequence", "content")


_Numbers = TypeVar("_Numbers", Float64Array, Int64Array)


class MergeEvents(msgspec.Struct):
    """What one input gave in one batch; instruments by their place in ``names``."""

    names: list[tuple[str, str]]
    bars: bytes
    tops: bytes


@dataclass
class MergeOutput:
    """Rows of ``gold/spreads`` by column, instruments by their place in ``instruments``."""

    instruments: list[Instrument]
    indicative: Columns
    executable: Columns


@dataclass
class MergeFold:
    """All that is kept of one bucket of step two between batches.

    Attributes
    ----------
    owns : callable
        Tells whether spreads of a base asset are computed in this bucket.
    instruments : list of Instrument
        Ascending by (venue, instrument): a code is a rank in the total order.
    """

    settings: SpreadSettings
    owns: Callable[[str], bool] = lambda _base: True
    instruments: list[Instrument] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._bars = ReorderBuffer(_BAR_ORDER)
        self._tops = ReorderBuffer(_TOP_ORDER)
        self._universe: Universe
        self._universe, _ = build_universe([])
        self._close: Float64Array = np.empty((len(INTERVALS), 0))
        self._close_time_us: Int64Array = np.empty((len(INTERVALS), 0), np.int64)
        self._quoted: Float64Array = np.empty((4, 0))
        self._quoted_us: Int64Array = np.empty(0, np.int64)
        self._pairs: dict[tuple[int, int], Float64Array] = {}
        self._resolved: dict[tuple[str, str], Instrument] = {}

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
        quoted = _step_all(self._tops, tops, top_watermark_us)
        return MergeOutput(
            self.instruments,
            self._study(released),
            self._hunt(quoted, top_watermark_us),
        )

    def _study(self, bars: Columns) -> Columns:
        if not row_count(bars):
            return {}
        fold = IndicativeSpreads(
            self._universe,
            self.settings.max_close_age_ms * 1_000,
            self._close,
            self._close_time_us,
        )
        return fold.step(bars)

    def _hunt(self, tops: Columns, watermark_us: int) -> Columns:
        if not row_count(tops) and not self._pairs:
            return {}
        members = np.diff(self._universe.member_start)
        starts = np.concatenate([[0], np.cumsum(members**2)])
        place = {
            (int(buy), int(sell)): int(starts[b]) + m * int(members[b]) + n
            for b in np.unique(self._universe.base)
            for m, buy in enumerate(self._members(int(b)))
            for n, sell in enumerate(self._members(int(b)))
        }
        pairs = np.zeros((int(starts[-1]), PAIR_WIDTH))
        for pair, words in self._pairs.items():
            pairs[place[pair]] = words
        fold = ExecutableSpreads(
            self._universe,
            self.settings.max_quote_age_ms * 1_000,
            self.settings.min_net_bps,
            self.settings.min_notional,
            self._quoted,
            self._quoted_us,
            pairs,
        )
        names = ("time_us", "instrument", "bid_price", "bid_quantity", "ask_price", "ask_quantity")
        if not row_count(tops):
            tops = {n: np.empty(0, np.int64 if n in names[:2] else np.float64) for n in names}
        out = fold.step(tops, watermark_us)
        self._pairs = {pair: pairs[row] for pair, row in place.items() if pairs[row, 0] > 0}
        return out

    def _members(self, base: int) -> Int64Array:
        start = self._universe.member_start
        return self._universe.members[start[base] : start[base + 1]]

    def _meet(self, names: set[tuple[str, str]]) -> None:
        """Make room for instruments that were not seen before."""
        known = {(i.venue, i.instrument) for i in self.instruments}
        fresh = {tuple(name) for name in names} - known
        if not fresh:
            return
        every = sorted(known | fresh)
        rank = {name: code for code, name in enumerate(every)}
        moved = np.array([rank[(i.venue, i.instrument)] for i in self.instruments], np.int64)
        self._close = _spread_out(self._close, moved, len(every), np.nan)
        self._close_time_us = _spread_out(self._close_time_us, moved, len(every), NO_CLOSE_US)
        self._quoted = _spread_out(self._quoted, moved, len(every), np.nan)
        self._quoted_us = _spread_out(self._quoted_us, moved, len(every), NO_CLOSE_US)
        self._pairs = {
            (int(moved[buy]), int(moved[sell])): words for (buy, sell), words in self._pairs.items()
        }
        for buffer in (self._bars, self._tops):
            if row_count(buffer.pending):
                buffer.pending["instrument"] = moved[buffer.pending["instrument"]]
        self._set_instruments(every)

    def _set_instruments(self, names: list[tuple[str, ...]]) -> None:
        self.instruments = [self._resolve(venue, instrument) for venue, instrument in names]
        self._universe, _ = build_universe(self.instruments, self.owns)

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
        pairs = sorted(self._pairs.items())
        return pack_arrays(
            {
                "names": np.frombuffer(names.encode(), np.uint8),
                "close": self._close,
                "close_time_us": self._close_time_us,
                "quoted": self._quoted,
                "quoted_us": self._quoted_us,
                "pair": np.array([pair for pair, _ in pairs], np.int64).reshape(-1, 2),
                "pair_words": np.array([w for _, w in pairs]).reshape(-1, PAIR_WIDTH),
                **{f"bars.{k}": v for k, v in self._bars.state().items()},
                **{f"tops.{k}": v for k, v in self._tops.state().items()},
            }
        )

    def restore(self, payload: bytes) -> None:
        """Take up the state that :meth:`state` gave."""
        arrays = unpack_arrays(payload)
        text = arrays["names"].tobytes().decode()
        self._set_instruments([tuple(n.split("|", 1)) for n in text.split("\n") if n])
        self._close, self._close_time_us = arrays["close"], arrays["close_time_us"]
        self._quoted, self._quoted_us = arrays["quoted"], arrays["quoted_us"]
        self._pairs = {
            (int(buy), int(sell)): words
            for (buy, sell), words in zip(arrays["pair"], arrays["pair_words"], strict=True)
        }
        for prefix, buffer in (("bars.", self._bars), ("tops.", self._tops)):
            buffer.pending = {
                k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)
            }


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


def _spread_out(array: _Numbers, moved: Int64Array, size: int, fill: float) -> _Numbers:
    wider = np.full((*array.shape[:-1], size), fill, array.dtype)
    wider[..., moved] = array
    return wider
