"""Placement of incidents: by the seed, or as a configuration sets them, completed and checked."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from marketlake.contracts.events import US_PER_SECOND
from marketlake.contracts.instruments import resolve
from marketlake.feeds.simulator.config import Listing, SimulationConfig
from marketlake.feeds.simulator.incidents import (
    DEPEG_ASSET,
    INCIDENT_KINDS,
    Incident,
    IncidentKind,
)
from marketlake.feeds.simulator.prices import is_volatile
from marketlake.feeds.simulator.venues import NO_ARBITRAGE_FEE_BPS, listing_weight

NOMINAL_LENGTH_S: Final[dict[IncidentKind, float]] = {
    "bad_print": 0.0,
    "flash_crash": 150.0,
    "depeg": 180.0,
    "stale_venue": 40.0,
    "arbitrage_real": 8.0,
    "arbitrage_false": 8.0,
}
MAGNITUDE_RANGE: Final[dict[IncidentKind, tuple[float, float]]] = {
    "bad_print": (0.03, 0.08),
    "flash_crash": (-0.10, -0.05),
    "depeg": (-0.12, -0.05),
    "stale_venue": (0.008, 0.015),
    "arbitrage_real": (0.006, 0.014),
    "arbitrage_false": (0.01, 0.03),
}
"""What the seed draws from; the sign of prints and of the drift is drawn as well. A real
arbitrage pays this on top of the taker fees of its two venues."""

SIGNED_BY_SEED: Final[frozenset[IncidentKind]] = frozenset(
    {"bad_print", "stale_venue", "arbitrage_false"}
)
ROUND: Final[tuple[IncidentKind, ...]] = (*INCIDENT_KINDS, "bad_print")
"""What is placed for each hour, and for a shorter simulation once."""

BUSY_SHARE: Final = 0.6
"""Incidents take this share of the time at most; shorter simulations have shorter ones."""

SHORTEST_SCALE: Final = 0.4
"""Not shorter than this, though: in a simulation of few minutes the longest are left out."""

NOTES: Final[dict[IncidentKind, str]] = {
    "bad_print": "one tiny trade far from the market",
    "flash_crash": "volatile assets fall on all venues and recover, with a surge of volume",
    "depeg": f"{DEPEG_ASSET} leaves its peg on all venues and comes back",
    "stale_venue": "trades go on without quotes and books while the market moves",
    "arbitrage_real": "the second venue quotes rich, with size",
    "arbitrage_false": "tiny last trades away from unchanged quotes",
}


def incidents_of(config: SimulationConfig, rng: np.random.Generator) -> list[Incident]:
    """List the incidents of a configuration, completed, in order of time.

    Raises
    ------
    ValueError
        If an incident that the configuration sets lies outside of the simulated time, names a
        listing that does not exist, or lacks what its kind needs.
    """
    planned = _draw(config, rng) if config.incidents is None else list(config.incidents)
    completed = [_complete(config, incident) for incident in planned]
    completed += [
        label
        for incident in completed
        if incident.kind == "depeg" and (label := _unconverted(config, incident)) is not None
    ]
    return sorted(completed, key=lambda incident: (incident.start_us, incident.kind))


def _draw(config: SimulationConfig, rng: np.random.Generator) -> list[Incident]:
    kinds = [kind for kind in ROUND if _possible(config, kind)]
    kinds = kinds * max(1, round(config.duration_s / 3600.0))
    room_s = BUSY_SHARE * config.duration_s
    while sum(NOMINAL_LENGTH_S[kind] for kind in kinds) * SHORTEST_SCALE > room_s:
        kinds.remove(max(kinds, key=NOMINAL_LENGTH_S.__getitem__))
    if not kinds:
        return []
    kinds = [kinds[i] for i in rng.permutation(len(kinds))]
    total_s = sum(NOMINAL_LENGTH_S[kind] for kind in kinds)
    scale = min(1.0, room_s / max(total_s, 1.0))
    # Half of the free time keeps incidents apart, the other half spreads them.
    free_us = config.duration_s * US_PER_SECOND - total_s * scale * US_PER_SECOND
    parts = len(kinds) + 1
    gaps_us = free_us * (0.5 / parts + 0.5 * rng.dirichlet(np.ones(parts)))
    at_us = float(config.start_time_us)
    drawn = []
    for kind, gap_us in zip(kinds, gaps_us.tolist(), strict=False):
        at_us += gap_us
        start_us = round(at_us / 1000.0) * 1000
        at_us += NOMINAL_LENGTH_S[kind] * scale * US_PER_SECOND
        drawn.append(_draw_one(config, rng, kind, start_us, round(at_us / 1000.0) * 1000))
    return drawn


def _draw_one(
    config: SimulationConfig,
    rng: np.random.Generator,
    kind: IncidentKind,
    start_us: int,
    end_us: int,
) -> Incident:
    magnitude = float(rng.uniform(*MAGNITUDE_RANGE[kind]))
    if kind in SIGNED_BY_SEED and rng.random() < 0.5:
        magnitude = -magnitude
    venues: tuple[str, ...] = ()
    instruments: tuple[str, ...] = ()
    if kind in {"bad_print", "arbitrage_false"}:
        listing = _pick(rng, list(config.listings()))
        venues, instruments, end_us = (
            (listing.venue,),
            (listing.instrument,),
            start_us if kind == "bad_print" else end_us,
        )
    elif kind == "arbitrage_real":
        listing = _pick(rng, _shared(config))
        others = [
            other
            for other in config.listings()
            if other.instrument == listing.instrument and other.venue != listing.venue
        ]
        venues = (_pick(rng, others).venue, listing.venue)
        instruments = (listing.instrument,)
        magnitude += sum(_taker_fee(venue, listing.instrument) for venue in venues)
    elif kind == "stale_venue":
        venues = (config.venues[int(rng.integers(len(config.venues)))],)
    return Incident(kind, start_us, end_us, venues, instruments, magnitude)


def _taker_fee(venue: str, instrument: str) -> float:
    """Look up a taker fee, as a fraction of the notional."""
    known = resolve(venue, instrument)
    return (NO_ARBITRAGE_FEE_BPS if known is None else known.taker_fee_bps) * 1e-4


def _pick(rng: np.random.Generator, listings: list[Listing]) -> Listing:
    weights = np.array([listing_weight(one.venue, one.instrument) for one in listings])
    return listings[int(rng.choice(len(listings), p=weights / weights.sum()))]


def _shared(config: SimulationConfig) -> list[Listing]:
    """List volatile instruments that at least two venues list."""
    listings = config.listings()
    names = [listing.instrument for listing in listings]
    return [one for one in listings if is_volatile(one.base) and names.count(one.instrument) > 1]


def _applicable(config: SimulationConfig, kind: IncidentKind) -> list[Listing]:
    """List the listings that an incident of the whole market touches."""
    listings = (*config.listings(), *config.perpetual_listings())
    if kind == "depeg":
        return [one for one in listings if DEPEG_ASSET in {one.base, one.quote}]
    if kind == "flash_crash":
        return [one for one in listings if is_volatile(one.base) and not is_volatile(one.quote)]
    return list(listings)


def _possible(config: SimulationConfig, kind: IncidentKind) -> bool:
    if kind == "arbitrage_real":
        return bool(_shared(config))
    return bool(_applicable(config, kind))


def _complete(config: SimulationConfig, incident: Incident) -> Incident:
    """Fill in what a plan leaves to its kind, and check the rest."""
    where = f"simulation: incident {incident.kind} at {incident.start_us}"
    if incident.kind not in INCIDENT_KINDS:
        raise ValueError(f"{where}: no such kind; give one of {', '.join(INCIDENT_KINDS)}")
    if not config.start_time_us <= incident.start_us <= incident.end_us < config.end_time_us:
        raise ValueError(
            f"{where}: must lie within {config.start_time_us} to {config.end_time_us} (excluded)"
        )
    if not _possible(config, incident.kind):
        raise ValueError(f"{where}: no listing it applies to; add venues or instruments")
    _check_magnitude(where, incident)
    scope = {
        "bad_print": (1, 1),
        "arbitrage_false": (1, 1),
        "arbitrage_real": (2, 1),
        "stale_venue": (1, None),
        "flash_crash": (None, None),
        "depeg": (None, None),
    }[incident.kind]
    listings = _applicable(config, incident.kind)
    venues, instruments = incident.venues, incident.instruments
    if scope[0] is None:
        venues = tuple(dict.fromkeys(one.venue for one in listings))
    elif len(venues) != scope[0]:
        raise ValueError(f"{where}: give {scope[0]} venues, not {venues}")
    if scope[1] is None:
        names = (one.instrument for one in listings if one.venue in venues)
        instruments = tuple(dict.fromkeys(names))
    elif len(instruments) != scope[1]:
        raise ValueError(f"{where}: give one instrument, not {instruments}")
    _check_listed(where, config, venues, instruments, every=scope[1] is not None)
    note = incident.note or NOTES[incident.kind]
    return replace(incident, venues=venues, instruments=instruments, note=note)


def _check_magnitude(where: str, incident: Incident) -> None:
    low, high = {
        "flash_crash": (-0.9, -1e-4),
        "depeg": (-0.9, -1e-4),
        "arbitrage_real": (1e-4, 0.5),
    }.get(incident.kind, (-0.9, 10.0))
    if not low <= incident.magnitude <= high:
        raise ValueError(
            f"{where}: magnitude {incident.magnitude} is a fraction of price from {low} to {high}"
        )


def _check_listed(
    where: str,
    config: SimulationConfig,
    venues: tuple[str, ...],
    instruments: tuple[str, ...],
    *,
    every: bool,
) -> None:
    if len(set(venues)) != len(venues):
        raise ValueError(f"{where}: names a venue twice: {venues}")
    known = {*config.listings(), *config.perpetual_listings()}
    for venue in venues:
        listed = [Listing(venue, instrument) in known for instrument in instruments]
        if not (all(listed) if every else any(listed)):
            raise ValueError(f"{where}: {venue} does not list {', '.join(instruments)}")


def _unconverted(config: SimulationConfig, depeg: Incident) -> Incident | None:
    """Label the seeming arbitrage between prices in the depegged asset and in other dollars."""
    dollars = {DEPEG_ASSET, "USD", "USDT"}
    pairs = [one for one in config.listings() if is_volatile(one.base) and one.quote in dollars]
    bases = {one.base for one in pairs if one.quote == DEPEG_ASSET}
    pairs = [one for one in pairs if one.base in bases]
    if {one.quote for one in pairs} <= {DEPEG_ASSET}:
        return None
    return Incident(
        "arbitrage_false",
        depeg.start_us,
        depeg.end_us,
        tuple(dict.fromkeys(one.venue for one in pairs)),
        tuple(dict.fromkeys(one.instrument for one in pairs)),
        depeg.magnitude,
        f"prices in {DEPEG_ASSET} set against other dollars without conversion",
    )
