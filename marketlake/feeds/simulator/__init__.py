"""A deterministic simulated market of several venues, with labelled incidents."""

from marketlake.feeds.simulator.config import Listing, SimulationConfig
from marketlake.feeds.simulator.incidents import INCIDENT_KINDS, Incident, IncidentKind
from marketlake.feeds.simulator.market import Simulation, SimulationStats, simulate
from marketlake.feeds.simulator.wire_corruption import (
    CORRUPTIONS,
    FuzzMessage,
    fuzz_messages,
    labelled_fuzz_messages,
)

__all__ = [
    "CORRUPTIONS",
    "INCIDENT_KINDS",
    "FuzzMessage",
    "Incident",
    "IncidentKind",
    "Listing",
    "Simulation",
    "SimulationConfig",
    "SimulationStats",
    "fuzz_messages",
    "labelled_fuzz_messages",
    "simulate",
]
