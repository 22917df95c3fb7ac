"""A bad print, a move of one venue, or a move of the market: by what the other venues did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from marketlake.analytics.anomalies.episodes import (
    OUT_BARS,
    OUT_CONVERTED,
    OUT_END,
    OUT_MOVE,
    OUT_ORIGIN,
    OUT_PEERS,
    OUT_PEERS_MOVE,
    OUT_PRICE,
    OUT_REVERTED,
    OUT_SCALE,
    OUT_START,
    OUT_VOLUME,
    OUT_WORDS,
    PEG,
    SIGN,
    WIDTH,
    Limits,
    end_episode,
)
from marketlake.analytics.anomalies.listings import Listings
from marketlake.analytics.anomalies.moments import moves
from marketlake.analytics.kernel import Float64, Int64, check_states, column_rows, series_rows

KINDS: Final = ("market_move", "bad_print", "venue_move")
"""By the code in :class:`VenueMoves`: see ``MARKET_MOVE`` and the others in the loop."""


@dataclass(frozen=True, slots=True)
class CrossVenueParameters:
    """What makes an episode.

    Parameters
    ----------
    enter, slow_enter
        Excursion that begins one, in units of the listing's scale: from the close before, and from
        the slow mean, whose tails are thinner.
    min_move
        Least excursion, as a log (0.005: 50 bps).
    peg_move
        Least distance from 1, as a log, of a pair of currencies that are both meant to be a dollar.
    min_bars
        Traded bars of a listing before it is judged.
    half_life_bars
        Bars after which a bar counts half in what is usual.
    slow_half_life_bars
        The same of the slow mean, from which a creeping move is measured.
    settle_bars
        Traded bars without a new extreme after which an episode is over, reverted or not.
    settle_us, max_age_us
        Time without a new extreme after which it is over; age at which a venue's last price no
        longer tells what the venue does.
    max_bars
        Traded bars after which an episode is cut.
    tiny_volume
        Volume at the displaced price, over the usual volume of a bar at the venues compared, up to
        which it is a print and no market.
    """

    enter: float = 8.0
    slow_enter: float = 5.0
    min_move: float = 0.005
    peg_move: float = 0.01
    min_bars: int = 30
    half_life_bars: int = 60
    slow_half_life_bars: int = 15
    settle_bars: int = 3
    settle_us: int = 900_000_000
    max_age_us: int = 300_000_000
    max_bars: int = 60
    tiny_volume: float = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class VenueMoves:
    """Episodes that ended, as columns of one length.

    Parameters
    ----------
    listing
        Number of the listing, int64.
    kind
        Code in :data:`KINDS`, int64.
    start_us, end_us
        Last microsecond of its first and of its last bar, int64.
    move, peers_move
        Farthest log displacement from the close before, of the listing and of the median of the
        other venues in the same direction.
    scale
        Usual excursion of a bar of the listing, as a log.
    price
        Farthest price, in the listing's quote currency.
    peers
        Other venues' listings compared with, int64.
    volume_ratio
        Volume away from the price before, over the usual volume of a bar at these venues.
    reverted
        True where the price came back by half of the move or more.
    bars
        Traded bars of the episode, int64.
    converted
        True where no other venue quotes the same currency and values were compared.
    from_peg
        True where it was measured from the peg.
    """

    listing: Int64
    kind: Int64
    start_us: Int64
    end_us: Int64
    move: Float64
    peers_move: Float64
    scale: Float64
    price: Float64
    peers: Int64
    volume_ratio: Float64
    reverted: npt.NDArray[np.bool_]
    bars: Int64
    converted: npt.NDArray[np.bool_]
    from_peg: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.listing)


@dataclass(frozen=True, slots=True)
class CrossVenueMoves:
    """Fold over closed bars of many venues: one event for each move that stands out.

    A listing's **excursion** is the farther of its bar's high and low from its close before, in
    logs, or from the slow mean of its closes, for moves that creep. One of ``enter`` (of
    ``slow_enter``) scales and ``min_move`` opens an **episode**, in which both the listing and the
    median of the other venues are followed from where they stood before. It ends when the price
    has come back by half, has made no new extreme for ``settle_bars`` or ``settle_us``, or has
    ``max_bars``. A pair of dollars that is ``peg_move`` off 1 opens one too, measured from 1, that
    lasts until it is within 50 bps, and is cut at ``max_bars``, or where a jump begins. Then

    ============== ==============================================================================
    `market_move`  the others went at least half as far
    `bad_print`    they did not, the price came back, and hardly anything traded out there
    `venue_move`   they did not, and it stayed or had volume: the venue parted from the others
    ============== ==============================================================================

    The **others** are listings of the same thing on other venues, with a traded bar in
    ``max_age_us``: in the same quote currency if there are any, else in any, as values in
    dollars; a price in USDC is not one in USD. Without others nothing is said.

    How much **traded out there** is told by the vwap where it is known: of a bar between 100 and
    90 with vwap 99.9, at most a hundredth traded at 90. Where it is not known, all of the bar's
    volume did. The **scale** is 1.4826 times the median size of the excursions, tracked by steps of
    5 %, at least ``1e-4``, one for either origin, and 25 bps from a peg: a crash does not blind it,
    and a wilder market raises it within some 20 bars. A bar without volume carries an old price
    on: it is no observation, and neither is one with a price that is not finite.

    State: 27 words of 8 bytes a listing. Gaps in time are none in the count of bars; a venue that
    falls silent leaves the others after ``max_age_us``.
    """

    parameters: CrossVenueParameters = CrossVenueParameters()

    def initial(self) -> Float64:
        """State, shape ``(WIDTH,)``, of a listing that has seen nothing."""
        return np.zeros(WIDTH)

    def step(
        self,
        states: Float64,
        listings: Listings,
        time_us: Int64,
        listing: Int64,
        high: Float64,
        low: Float64,
        close: Float64,
        volume: Float64,
        vwap: Float64,
    ) -> VenueMoves:
        """Take bars of one interval in order of time, those of a moment together.

        Parameters
        ----------
        states
            Shape ``(listings, WIDTH)``, float64, writable. CHANGED IN PLACE.
        time_us
            Last microsecond of each bar; all bars of one time come in one call.
        listing
            Number of the listing of each bar, one bar a listing and time.
        vwap
            Average price by volume; NaN where it is not known.

        Returns
        -------
        VenueMoves
            In the order in which they ended.
        """
        name = "cross-venue moves"
        check_states(name, states, WIDTH)
        rows = series_rows(name, listing, len(states))
        given = {"high": high, "low": low, "close": close, "volume": volume, "vwap": vwap}
        columns = [column_rows(name, c, v, len(rows)) for c, v in given.items()]
        # A bar may end two episodes; those of listings without one were open before.
        size = 2 * len(rows) + int((states[:, SIGN] != 0.0).sum())
        numbers, out = np.empty((2, size), np.int64), np.empty((OUT_WORDS, size))
        count = moves(
            states, listings, np.ascontiguousarray(time_us, np.int64), rows, *columns,
            self._limits(), numbers, out,
        )  # fmt: skip
        return _venue_moves(numbers[:, :count], out[:, :count])

    def _limits(self) -> Limits:
        p = self.parameters
        return Limits(
            enter=float(p.enter),
            slow_enter=float(p.slow_enter),
            min_move=float(p.min_move),
            peg_move=float(p.peg_move),
            min_bars=p.min_bars,
            decay=2.0 ** (-1.0 / p.half_life_bars),
            slow=1.0 - 2.0 ** (-1.0 / p.slow_half_life_bars),
            settle_bars=p.settle_bars,
            settle_us=p.settle_us,
            max_age_us=p.max_age_us,
            max_bars=p.max_bars,
            tiny_volume=float(p.tiny_volume),
        )

    def flush(self, states: Float64) -> VenueMoves:
        """End every episode: the input has ended. CHANGES THE STATES IN PLACE."""
        check_states("cross-venue moves", states, WIDTH)
        open_ = np.flatnonzero(states[:, SIGN] != 0.0)
        numbers, out = np.empty((2, open_.size), np.int64), np.empty((OUT_WORDS, open_.size))
        for count, k in enumerate(open_):
            end_episode(states, k, 0.0, self.parameters.tiny_volume, numbers, out, count)
        return _venue_moves(numbers, out)


def _venue_moves(numbers: Int64, out: Float64) -> VenueMoves:
    return VenueMoves(
        listing=numbers[0].copy(),
        kind=numbers[1].copy(),
        start_us=out[OUT_START].astype(np.int64),
        end_us=out[OUT_END].astype(np.int64),
        move=out[OUT_MOVE].copy(),
        peers_move=out[OUT_PEERS_MOVE].copy(),
        scale=out[OUT_SCALE].copy(),
        price=out[OUT_PRICE].copy(),
        peers=out[OUT_PEERS].astype(np.int64),
        volume_ratio=out[OUT_VOLUME].copy(),
        reverted=out[OUT_REVERTED] != 0.0,
        bars=out[OUT_BARS].astype(np.int64),
        converted=out[OUT_CONVERTED] != 0.0,
        from_peg=out[OUT_ORIGIN] == PEG,
    )
