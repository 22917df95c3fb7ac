"""Step two on quotes and books: spreads and triangles that pay, and the basis of perpetuals.

Three folds over one market. Each begins from the market as it was, and all leave it the same.
Bounded by the instruments: 56 bytes each, 320 more for one with books (10 levels a side), and what
is open.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from marketlake.analytics.arrays import Columns, Float64Array, Int64Array
from marketlake.analytics.basis.carry import Basis, new_clock
from marketlake.analytics.depth.market import NEVER_US, Market, TopRows, empty_market, top_rows
from marketlake.analytics.spreads.executable import ExecutableSpreads
from marketlake.analytics.spreads.pair import PAIR_WIDTH
from marketlake.analytics.triangles.cycles import smallest_notionals
from marketlake.analytics.triangles.executable import CYCLE_WIDTH, ExecutableTriangles
from marketlake.contracts.events import INTERVAL_US
from marketlake.settings.model import SpreadSettings
from streaming.stages.listing import Listing

_Open = dict[tuple[int, ...], Float64Array]


@dataclass
class QuoteWorld:
    """The market, and what is open in it.

    Attributes
    ----------
    pairs, cycles : dict
        Words of the open opportunities, by (bought, sold) and by legs.
    """

    settings: SpreadSettings
    pairs: _Open = field(default_factory=dict)
    cycles: _Open = field(default_factory=dict)
    clock: Int64Array = field(default_factory=new_clock)

    def __post_init__(self) -> None:
        self.market: Market = empty_market(0, self.settings.depth_levels)

    def grow(self, places: Int64Array, size: int) -> None:
        """Make room for instruments; ``places`` says where the known ones stand now."""
        self.market = self.market.moved(places, size)
        self.pairs = {
            tuple(int(places[i]) for i in pair): words for pair, words in self.pairs.items()
        }
        self.cycles = {
            tuple(2 * int(places[leg >> 1]) + (leg & 1) for leg in legs): words
            for legs, words in self.cycles.items()
        }

    def step(
        self, tops: Columns, watermark_us: int, listing: Listing
    ) -> tuple[Columns, Columns, Columns]:
        """Take quotes and books in the total order: spreads, triangles and basis."""
        rows = top_rows(tops, self.settings.depth_levels)
        if rows.levels.shape[0]:
            self.market = self.market.with_levels()
        # The last one leaves the market as the next batch finds it.
        return (
            self._spreads(rows, watermark_us, listing),
            self._triangles(rows, watermark_us, listing),
            self._basis(rows, watermark_us, listing),
        )

    def _spreads(self, rows: TopRows, watermark_us: int, listing: Listing) -> Columns:
        if not rows.time_us.size and not self.pairs:
            return {}
        words = np.zeros((len(listing.pairs), PAIR_WIDTH))
        for pair, of_pair in self.pairs.items():
            words[listing.pair_places[pair]] = of_pair
        fold = ExecutableSpreads(listing.universe, listing.terms, self.market.copy(), words)
        out = fold.step(rows, watermark_us)
        opened = np.flatnonzero(words[:, 0] > 0)
        self.pairs = {listing.pairs[place]: words[place].copy() for place in opened}
        return out

    def _triangles(self, rows: TopRows, watermark_us: int, listing: Listing) -> Columns:
        if not listing.cycles or not (rows.time_us.size or self.cycles):
            return {}
        words = np.zeros((len(listing.cycles), CYCLE_WIDTH))
        for legs, of_cycle in self.cycles.items():
            words[listing.cycle_places[legs]] = of_cycle
        smallest = smallest_notionals(listing.cycles, self.settings.smallest_notional)
        fold = ExecutableTriangles(
            listing.cycle_arrays, listing.terms, smallest, self.market.copy(), words
        )
        out = fold.step(rows, watermark_us)
        opened = np.flatnonzero(words[:, 0] > 0)
        self.cycles = {listing.cycles[c].legs: words[c].copy() for c in opened}
        return out

    def _basis(self, rows: TopRows, watermark_us: int, listing: Listing) -> Columns:
        if not rows.time_us.size and self.clock[0] == NEVER_US:
            return {}
        fold = Basis(
            listing.universe, listing.basis_pairs, INTERVAL_US[self.settings.basis_interval],
            listing.terms.max_age_us, self.market, self.clock,
        )  # fmt: skip
        return fold.step(rows, watermark_us)

    def state(self) -> Columns:
        """Give the whole state; of levels only those of instruments that have had a book."""
        booked = np.flatnonzero(self.market.book_us != NEVER_US)
        pairs, cycles = sorted(self.pairs.items()), sorted(self.cycles.items())
        market = {
            f"market.{name}": array
            for name, array in self.market._asdict().items()
            if name != "levels"
        }
        return {
            **market,
            "booked": booked,
            "levels": self.market.levels[booked] if booked.size else self.market.levels[:0],
            "clock": self.clock,
            "pair": np.array([pair for pair, _ in pairs], np.int64).reshape(-1, 2),
            "pair_words": np.array([w for _, w in pairs]).reshape(-1, PAIR_WIDTH),
            "cycle_legs": np.array(
                [leg for legs, _ in cycles for leg in (len(legs), *legs)], np.int64
            ),
            "cycle_words": np.array([w for _, w in cycles]).reshape(-1, CYCLE_WIDTH),
        }

    def restore(self, arrays: Columns) -> None:
        """Take up the state that :meth:`state` gave.

        Raises
        ------
        ValueError
            If it was kept with another number of levels.
        """
        levels, depth = arrays["levels"], self.settings.depth_levels
        if levels.shape[2] != depth:
            raise ValueError(
                f"the state holds books of {levels.shape[2]} levels, spreads.depth_levels is "
                f"{depth}; set it back or start a new lake"
            )
        words = {name.removeprefix("market."): array for name, array in arrays.items()}
        market = Market._make((*(words[name] for name in Market._fields[:-1]), levels[:0]))
        if arrays["booked"].size:
            market = market.with_levels()
            market.levels[arrays["booked"]] = levels
        self.market, self.clock = market, arrays["clock"]
        pairs = zip(arrays["pair"].tolist(), arrays["pair_words"], strict=True)
        self.pairs = {tuple(pair): words for pair, words in pairs}
        self.cycles = dict(zip(_legs_of(arrays["cycle_legs"]), arrays["cycle_words"], strict=True))


def _legs_of(flat: Int64Array) -> list[tuple[int, ...]]:
    """Undo the writing of legs: their number, then the legs, one cycle after another."""
    values, cycles, at = flat.tolist(), [], 0
    while at < len(values):
        cycles.append(tuple(values[at + 1 : at + 1 + values[at]]))
        at += 1 + values[at]
    return cycles
