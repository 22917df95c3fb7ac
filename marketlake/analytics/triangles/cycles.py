"""The cycles of each venue, found from the instruments: at least three legs, both directions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from marketlake.analytics.arrays import Float64Array, Int64Array
from marketlake.analytics.depth.walk import BUY, MAX_LEGS, SELL
from marketlake.contracts.instruments import QUOTE_ASSETS, Instrument

SHORTEST: Final = 3
"""Legs of the shortest cycle: two would be one instrument there and back."""
_MONEY: Final = frozenset({"fiat", "stable"})
Leg = int
_Edges = dict[str, dict[str, list[Leg]]]
_Path = tuple[tuple[str, ...], tuple[Leg, ...]]


@dataclass(frozen=True)
class Cycle:
    """One way round at one venue.

    Attributes
    ----------
    venue : str
    assets : tuple of str
        The assets in the order in which they are held, the first again at the end. It begins
        with money (fiat or a stable coin) where there is any, else with an asset that prices are
        quoted in; of several with the first by name.
    legs : tuple of int
        Codes of the legs, as :mod:`marketlake.analytics.depth.walk` has them.
    """

    venue: str
    assets: tuple[str, ...]
    legs: tuple[Leg, ...]

    @property
    def text(self) -> str:
        """Write it: ``USDT>BTC>ETH>USDT``."""
        return ">".join(self.assets)


class CycleArrays(NamedTuple):
    """Cycles as arrays; the two directions of one are neighbours, ``2 k`` and ``2 k + 1``.

    Attributes
    ----------
    legs : int64[c, MAX_LEGS]
        Codes of the legs; 0 behind the last.
    length : int64[c]
    fees_bps : float64[c]
        Taker fees of all legs.
    touch_start, touch : int64[n + 1], int64[...]
        Cycles that hold an instrument: ``touch[touch_start[i]:touch_start[i + 1]]``, ascending.
    """

    legs: Int64Array
    length: Int64Array
    fees_bps: Float64Array
    touch_start: Int64Array
    touch: Int64Array


def find_cycles(
    instruments: Sequence[Instrument],
    max_legs: int = SHORTEST,
    owns: Callable[[str], bool] = lambda _venue: True,
) -> list[Cycle]:
    """Find all simple cycles of spot instruments at each venue, in both directions.

    Parameters
    ----------
    instruments : sequence of Instrument
        In ascending order of (venue, instrument); legs refer to places in it.
    max_legs : int
        From 3 to ``MAX_LEGS``. With 3 there are at most as many as pairs of instruments that
        share an asset; with 4 their number grows with the square of that.
    owns : callable
        Tells whether the cycles of a venue are looked at here.
    """
    if not SHORTEST <= max_legs <= MAX_LEGS:
        raise ValueError(f"max_legs is {max_legs}; give a number from {SHORTEST} to {MAX_LEGS}")
    edges: dict[str, _Edges] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for i, instrument in enumerate(instruments):
        if instrument.market == "spot" and owns(instrument.venue):
            of_venue = edges[instrument.venue]
            of_venue[instrument.base][instrument.quote].append(2 * i + SELL)
            of_venue[instrument.quote][instrument.base].append(2 * i + BUY)
    cycles = []
    for venue in sorted(edges):
        for assets, legs in sorted(_cycles_of(edges[venue], max_legs)):
            cycles.append(Cycle(venue, assets, legs))
            cycles.append(Cycle(venue, assets[::-1], tuple(leg ^ 1 for leg in legs[::-1])))
    return cycles


def _cycles_of(edges: _Edges, max_legs: int) -> Iterator[_Path]:
    """Give each cycle once: as the direction whose first instrument comes before the last."""
    rank = {asset: place for place, asset in enumerate(sorted(edges, key=_precedence))}

    def extend(assets: tuple[str, ...], legs: tuple[Leg, ...]) -> Iterator[_Path]:
        start, here = assets[0], assets[-1]
        if len(legs) + 1 >= SHORTEST:
            for leg in edges[here].get(start, ()):
                if legs[0] >> 1 < leg >> 1:
                    yield (*assets, start), (*legs, leg)
        if len(legs) + 1 == max_legs:
            return
        for asset, ways in edges[here].items():
            if rank[asset] > rank[start] and asset not in assets:
                for leg in ways:
                    yield from extend((*assets, asset), (*legs, leg))

    for asset in edges:
        yield from extend((asset,), ())


def _precedence(asset: str) -> tuple[int, str]:
    kind = QUOTE_ASSETS.get(asset)
    return (2 if kind is None else 0 if kind in _MONEY else 1), asset


def cycle_arrays(cycles: Sequence[Cycle], instruments: Sequence[Instrument]) -> CycleArrays:
    """Build the arrays that folds work with."""
    legs = np.zeros((len(cycles), MAX_LEGS), np.int64)
    touched: list[list[int]] = [[] for _ in instruments]
    for c, cycle in enumerate(cycles):
        legs[c, : len(cycle.legs)] = cycle.legs
        for leg in cycle.legs:
            touched[leg >> 1].append(c)
    start = np.zeros(len(instruments) + 1, np.int64)
    np.cumsum([len(held) for held in touched], out=start[1:])
    return CycleArrays(
        legs,
        np.array([len(cycle.legs) for cycle in cycles], np.int64),
        np.array(
            [sum(instruments[leg >> 1].taker_fee_bps for leg in cycle.legs) for cycle in cycles],
            np.float64,
        ),
        start,
        np.array([c for held in touched for c in held], np.int64),
    )


def smallest_notionals(
    cycles: Sequence[Cycle], of_currency: Callable[[str], float]
) -> Float64Array:
    """Give the smallest notional of each cycle, in units of the asset it begins with."""
    return np.array([of_currency(cycle.assets[0]) for cycle in cycles], np.float64)
