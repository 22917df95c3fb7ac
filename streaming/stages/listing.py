"""The instruments that a bucket of step two has seen, and what follows from them alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from marketlake.analytics.arrays import Float64Array
from marketlake.analytics.basis.carry import BasisPairs, basis_pairs
from marketlake.analytics.depth.terms import Terms
from marketlake.analytics.spreads.universe import Universe, build_universe
from marketlake.analytics.triangles.cycles import Cycle, CycleArrays, cycle_arrays, find_cycles
from marketlake.contracts.instruments import Instrument
from marketlake.settings.model import SpreadSettings

Owns = Callable[[str], bool]


@dataclass(frozen=True)
class Listing:
    """Everything that changes only when an instrument comes that was not seen before.

    Attributes
    ----------
    instruments : sequence of Instrument
        Ascending by (venue, instrument): a code is a rank in the total order.
    pairs : list
        The ordered pairs (bought, sold) of instruments of one base asset.
    pair_places : dict
        Place of each pair.
    cycle_places : dict
        Place of each cycle by its legs.
    """

    instruments: Sequence[Instrument]
    universe: Universe
    terms: Terms
    cycles: list[Cycle]
    cycle_arrays: CycleArrays
    basis_pairs: BasisPairs
    pairs: list[tuple[int, ...]]
    pair_places: dict[tuple[int, ...], int]
    cycle_places: dict[tuple[int, ...], int]


def make_listing(
    instruments: Sequence[Instrument],
    settings: SpreadSettings,
    owns_base: Owns = lambda _base: True,
    owns_venue: Owns = lambda _venue: True,
) -> Listing:
    """Derive universe, terms, cycles and pairs.

    Parameters
    ----------
    instruments : sequence of Instrument
        In ascending order of (venue, instrument).
    owns_base, owns_venue : callable
        Tell whether spreads and basis of a base asset, and cycles of a venue, are computed here.
    """
    universe, _ = build_universe(instruments, owns_base)
    cycles = find_cycles(instruments, settings.max_cycle_legs, owns_venue)
    pairs = _pairs(universe)
    return Listing(
        instruments,
        universe,
        _terms(instruments, settings),
        cycles,
        cycle_arrays(cycles, instruments),
        basis_pairs(instruments, owns_base),
        pairs,
        {pair: place for place, pair in enumerate(pairs)},
        {cycle.legs: place for place, cycle in enumerate(cycles)},
    )


def _terms(instruments: Sequence[Instrument], settings: SpreadSettings) -> Terms:
    def withdrawal(venue: str, asset: str) -> float:
        return settings.withdrawal_fees.get(f"{venue}/{asset}", 0.0)

    return Terms(
        settings.max_quote_age_ms * 1_000,
        settings.max_clock_skew_ms * 1_000,
        settings.min_net_bps,
        settings.slippage_bps,
        settings.transfer_cost_bps,
        _floats(settings.smallest_notional(i.quote) for i in instruments),
        _floats(withdrawal(i.venue, i.base) for i in instruments),
        _floats(withdrawal(i.venue, i.quote) for i in instruments),
    )


def _floats(values: Iterable[float]) -> Float64Array:
    return np.fromiter(values, np.float64)


def _pairs(universe: Universe) -> list[tuple[int, ...]]:
    """List the pairs as :class:`ExecutableSpreads` counts them."""
    start = universe.member_start
    return [
        (buy, sell)
        for base in range(start.size - 1)
        for members in (universe.members[start[base] : start[base + 1]].tolist(),)
        for buy in members
        for sell in members
    ]
