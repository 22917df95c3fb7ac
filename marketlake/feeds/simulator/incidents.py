"""Labelled incidents of a simulated market: what went wrong, where, when and by how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

IncidentKind = Literal[
    "bad_print",
    "flash_crash",
    "depeg",
    "stale_venue",
    "arbitrage_real",
    "arbitrage_false",
]

INCIDENT_KINDS: Final[tuple[IncidentKind, ...]] = get_args(IncidentKind)

DEPEG_ASSET: Final = "USDC"
"""The stablecoin that a ``depeg`` takes off its peg."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One labelled incident, in event time, both ends included.

    Parameters
    ----------
    kind
        ``bad_print``: one trade of a few lots, far from the market. ``flash_crash``: all
        volatile assets fall and recover, with a surge of volume. ``depeg``: USDC leaves its
        peg on every venue and comes back. ``stale_venue``: a venue sends trades but neither
        quotes nor books, while the market moves. ``arbitrage_real``: one venue quotes rich,
        with size. ``arbitrage_false``: on one instrument, the last trades of a venue are tiny
        and dislocated while its quotes are not; on several instruments, USDC-quoted prices
        part from the others during a depeg and only seem to be an opportunity as long as
        nobody converts the quote currency.
    start_us, end_us
        Microseconds since the epoch, UTC. Equal for a ``bad_print``.
    venues
        Venues concerned; for ``arbitrage_real`` the venue to buy at, then the one to sell at
        (the one that is displaced, which all other venues of the instrument can hit too).
        Empty in a plan: all venues that the kind applies to.
    instruments
        Instruments concerned. Empty in a plan: all that the kind applies to.
    magnitude
        Signed fraction of price: the deviation of the prints (``bad_print``,
        ``arbitrage_false``), the depth of the fall (``flash_crash``, ``depeg``; negative), the
        move of the market during the silence (``stale_venue``), the gross dislocation
        (``arbitrage_real``; positive).
    note
        One line for people.
    """

    kind: IncidentKind
    start_us: int
    end_us: int
    venues: tuple[str, ...] = ()
    instruments: tuple[str, ...] = ()
    magnitude: float = 0.0
    note: str = ""

    def concerns(self, venue: str, instrument: str) -> bool:
        """Tell whether the incident touches this instrument on this venue."""
        return venue in self.venues and instrument in self.instruments

    def covers(self, time_us: int) -> bool:
        """Tell whether a time lies within the incident, both ends included."""
        return self.start_us <= time_us <= self.end_us


def prints_only(incident: Incident) -> bool:
    """Tell whether an ``arbitrage_false`` consists of tiny prints on one listing."""
    return incident.kind == "arbitrage_false" and len(incident.instruments) == 1
