"""Simulated markets through step one and the cross-venue fold, without a broker: what is found."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pandas as pd

from marketlake.analytics.anomalies.cross_venue import KINDS, CrossVenueMoves, VenueMoves
from marketlake.analytics.anomalies.listings import build_listings
from marketlake.analytics.kernel import initial_states
from marketlake.contracts.control import Control
from marketlake.feeds.simulator import Incident, Simulation, SimulationConfig, simulate
from marketlake.feeds.simulator.prices import is_volatile
from marketlake.settings.model import Settings
from streaming.stages.fold_output import INTERVALS
from streaming.stages.lane_fold import LaneFold

MINUTE_US = 60_000_000
CHUNK = 100_000
WARM_UP_US = 35 * MINUTE_US
"""30 bars of a minute, the lateness, and a little: what begins earlier counts for nobody."""
BEFORE_US, AFTER_US = 61 * 1_000_000, 3 * MINUTE_US
"""An event counts for an incident from the bar that it began in to three minutes after its end:
a price that comes back is as unusual as one that goes."""


@dataclass(frozen=True)
class Found:
    """One event, by whomever.

    Attributes
    ----------
    by : str
        Detector, and its metric.
    """

    by: str
    kind: str
    venue: str
    instrument: str
    start_us: int
    end_us: int


@dataclass
class Watched:
    """A simulated market and what was found in it."""

    simulation: Simulation
    found: list[Found]
    bars: pd.DataFrame

    @property
    def incidents(self) -> list[Incident]:
        """Those that begin after the warm-up."""
        first = self.simulation.config.start_time_us + WARM_UP_US
        return [one for one in self.simulation.incidents if one.start_us >= first]


def market(seed: int, hours: float, *, quiet: bool = False) -> SimulationConfig:
    """Configure a market of the default venues and instruments."""
    return SimulationConfig(
        seed=seed,
        duration_s=round(hours * 3600),
        quotes_per_second=60.0,
        books_per_second=0.0,
        bars=False,
        incidents=() if quiet else None,
    )


def watch(config: SimulationConfig, settings: Settings) -> Watched:
    """Run a market through the folds of trades and quotes, then across venues."""
    simulation = simulate(config)
    messages: dict[str, tuple[list[bytes | None], list[int]]] = defaultdict(lambda: ([], []))
    for number, (event_type, _, value) in enumerate(simulation.messages()):
        values, times = messages[event_type]
        values.append(value)
        times.append(number)
    found: list[Found] = []
    bars: list[pd.DataFrame] = []
    for event_type in ("trade", "quote"):
        values, _ = messages[event_type]
        fold = LaneFold(event_type, settings)  # type: ignore[arg-type]
        # The source's own time only bounds the future, and nothing here is from there.
        late_us = np.full(len(values), config.end_time_us, np.int64)
        end = Control("end", config.end_time_us + MINUTE_US)
        outputs = [
            fold.step(values[at : at + CHUNK], late_us[at : at + CHUNK])[1]
            for at in range(0, len(values), CHUNK)
        ]
        outputs.append(fold.control(end))
        for output in outputs:
            found += [
                Found(
                    f"{a.detector.split(':')[0]} {a.metric}", a.kind, a.venue, a.instrument,
                    a.start_us, a.end_us,
                )
                for a in output.anomalies
            ]  # fmt: skip
            if output.bars:
                bars.append(_frame(fold, output.bars))
    minutes = pd.concat(bars, ignore_index=True)
    found += across_venues(minutes)
    first = config.start_time_us + WARM_UP_US
    return Watched(simulation, [one for one in found if one.start_us >= first], minutes)


def _frame(fold: LaneFold, bars: dict[str, np.ndarray]) -> pd.DataFrame:
    frame = pd.DataFrame(bars)
    frame = frame[frame["interval"] == INTERVALS.index("1m")]
    instruments = [fold.catalog.instruments[code] for code in frame["instrument"]]
    return frame.assign(
        venue=[i.venue for i in instruments], instrument=[i.instrument for i in instruments]
    )


def across_venues(minutes: pd.DataFrame) -> list[Found]:
    """Run bars of a minute, in any order, through the cross-venue fold."""
    names = sorted(set(zip(minutes["venue"], minutes["instrument"], strict=True)))
    code = {name: k for k, name in enumerate(names)}
    listings = build_listings([resolved(*name) for name in names])
    rows = minutes.assign(
        listing=[code[name] for name in zip(minutes["venue"], minutes["instrument"], strict=True)]
    ).sort_values(["open_time_us", "listing"])
    fold = CrossVenueMoves()
    states = initial_states(fold.initial(), len(names))
    vwap = rows["quote_volume"] / rows["volume"]
    moves = fold.step(
        states, listings, rows["open_time_us"].to_numpy() + MINUTE_US - 1,
        *(rows[name].to_numpy() for name in ("listing", "high", "low", "close", "volume")),
        vwap.to_numpy(),
    )  # fmt: skip
    return [*_listed(moves, names), *_listed(fold.flush(states), names)]


def _listed(moves: VenueMoves, names: list[tuple[str, str]]) -> list[Found]:
    return [
        Found(
            "cross_venue move", KINDS[moves.kind[i]], *names[moves.listing[i]],
            int(moves.start_us[i]) + 1 - MINUTE_US, int(moves.end_us[i]) + 1,
        )
        for i in range(len(moves))
    ]  # fmt: skip


def resolved(venue: str, instrument: str):  # noqa: ANN201
    """Look an instrument up that is known to be there."""
    from marketlake.contracts.instruments import resolve

    found = resolve(venue, instrument)
    assert found is not None
    return found


def is_of(event: Found, incident: Incident) -> bool:
    """Tell whether an event may be of an incident: in time, and on a listing that it touches."""
    if event.end_us < incident.start_us - BEFORE_US or event.start_us > incident.end_us + AFTER_US:
        return False
    if incident.kind == "stale_venue" and event.kind != "stale_feed":
        # While one venue is silent the whole market goes elsewhere, and stays there.
        return is_volatile(event.instrument.split("-")[0])
    if incident.kind == "flash_crash":
        # More is traded and spreads are wider everywhere.
        return True
    return incident.concerns(event.venue, event.instrument)
