"""Moves of a listing against the other venues, in step two: bars of all inputs in total order."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

import numpy as np

from marketlake.analytics.anomalies.cross_venue import (
    KINDS,
    CrossVenueMoves,
    CrossVenueParameters,
    VenueMoves,
)
from marketlake.analytics.anomalies.listings import build_listings
from marketlake.analytics.anomalies.runs import severity
from marketlake.analytics.arrays import Columns, Float64Array, Int64Array, row_count
from marketlake.contracts.events import INTERVAL_US
from marketlake.contracts.instruments import Instrument
from marketlake.settings.model import AnomalySettings
from streaming.stages.detectors import Anomaly
from streaming.stages.fold_output import INTERVALS

INTERVAL: Final = "1m"
"""Bars that are compared. Seconds are too few trades to tell a thin venue from a silent one."""
ORIGINS: Final = ("trades", "venue")
"""Origins by code, as bars of step two carry them; bars of one are not compared with the other."""
METRIC: Final = "move"


class VenueComparison:
    """The cross-venue fold over the bars of a bucket of step two, a state for each origin.

    Parameters
    ----------
    owns : callable
        Tells whether events of a base asset are made in this bucket; others are followed to
        convert currencies.
    """

    def __init__(
        self, settings: AnomalySettings, owns: Callable[[str], bool] = lambda _base: True
    ) -> None:
        self._fold = CrossVenueMoves(
            CrossVenueParameters(
                enter=settings.venue_enter_score,
                min_move=settings.venue_min_move_bps / 1e4,
                min_bars=settings.min_bars,
                tiny_volume=settings.venue_tiny_volume,
            )
        )
        self._owns = owns
        self._instruments: list[Instrument] = []
        self._listings = build_listings([])
        self._states = [self._fresh(0) for _ in ORIGINS]

    def _fresh(self, count: int) -> Float64Array:
        return np.tile(self._fold.initial(), (count, 1))

    def step(self, bars: Columns, instruments: list[Instrument]) -> list[Anomaly]:
        """Take bars in the total order, all up to a watermark.

        Parameters
        ----------
        bars : Columns
            ``time_us`` (last microsecond of the bar), ``interval``, ``instrument`` (place in
            ``instruments``), ``origin``, ``high``, ``low``, ``close``, ``volume`` and
            ``quote_volume`` (NaN where it is not known).
        instruments : list of Instrument
            Ascending by (venue, instrument); those known before are among them.
        """
        self._meet(instruments)
        if not row_count(bars):
            return []
        found = []
        of_interval = bars["interval"] == INTERVALS.index(INTERVAL)
        for origin, name in enumerate(ORIGINS):
            rows = np.flatnonzero(of_interval & (bars["origin"] == origin))
            if not rows.size:
                continue
            columns = {column: values[rows] for column, values in bars.items()}
            volume = columns["volume"]
            vwap = np.full(rows.size, np.nan)
            np.divide(columns["quote_volume"], volume, out=vwap, where=volume > 0.0)
            moves = self._fold.step(
                self._states[origin], self._listings, columns["time_us"], columns["instrument"],
                columns["high"], columns["low"], columns["close"], volume, vwap,
            )  # fmt: skip
            found += [self._describe(moves, i, name) for i in range(len(moves))]
        return found

    def _meet(self, instruments: list[Instrument]) -> None:
        """Make room for listings that were not seen before."""
        if len(instruments) == len(self._instruments):
            return
        rank = {(i.venue, i.instrument): n for n, i in enumerate(instruments)}
        moved: Int64Array = np.array(
            [rank[(i.venue, i.instrument)] for i in self._instruments], np.int64
        )
        for origin, states in enumerate(self._states):
            wider = self._fresh(len(instruments))
            wider[moved] = states
            self._states[origin] = wider
        self._instruments = list(instruments)
        self._listings = build_listings(self._instruments, self._owns)

    def _describe(self, moves: VenueMoves, i: int, origin: str) -> Anomaly:
        listing = self._instruments[int(moves.listing[i])]
        move, peers_move = float(moves.move[i]), float(moves.peers_move[i])
        scale = float(moves.scale[i])
        evidence = {
            "bars": int(moves.bars[i]),
            "origin": origin,
            "price": float(moves.price[i]),
            "peers": int(moves.peers[i]),
            "peers_move_bps": round(peers_move * 1e4, 2),
            "gap_bps": round((move - peers_move) * 1e4, 2),
            "volume_ratio": round(float(moves.volume_ratio[i]), 4),
            "reverted": bool(moves.reverted[i]),
            "converted": bool(moves.converted[i]),
            "from_peg": bool(moves.from_peg[i]),
        }
        return Anomaly(
            listing.venue, listing.instrument, INTERVAL, METRIC,
            f"cross_venue:{origin}:{INTERVAL}", int(moves.start_us[i]) + 1 - INTERVAL_US[INTERVAL],
            int(moves.end_us[i]) + 1, move, 0.0, scale, move / scale,
            str(severity(np.array([move / scale]))[0]), KINDS[int(moves.kind[i])],
            json.dumps(evidence),
        )  # fmt: skip

    def state(self) -> Columns:
        """Give the words of all listings, in the order of the instruments."""
        return dict(zip(ORIGINS, self._states, strict=True))

    def restore(self, state: Columns, instruments: list[Instrument]) -> None:
        """Take up what :meth:`state` gave, for the same instruments."""
        self._instruments = list(instruments)
        self._listings = build_listings(self._instruments, self._owns)
        self._states = [state[name] for name in ORIGINS]
