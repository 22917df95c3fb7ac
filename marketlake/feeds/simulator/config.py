"""What a simulated market consists of: venues, instruments, rates and faults of delivery."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from marketlake.contracts.events import US_PER_SECOND
from marketlake.feeds.simulator.incidents import Incident
from marketlake.feeds.simulator.venues import VENUE_PROFILES

DEFAULT_INSTRUMENTS: Final = (
    "BTC-USDT",
    "ETH-USDT",
    "SOL-USDT",
    "BTC-USDC",
    "ETH-BTC",
    "USDC-USD",
    "USDC-USDT",
    "BTC-USD",
)
DEMO_PERPETUALS: Final = ("BTC-USDT-PERP", "ETH-USDT-PERP")
"""What the demo adds, so that there is a basis to see; the market of a seed is the same without."""
DEFAULT_VENUES: Final = ("binance", "coinbase", "kraken", "okx", "bybit")
DEFAULT_START_TIME_US: Final = 1_736_949_600 * US_PER_SECOND
"""2025-01-15 14:00:00 UTC."""

DURATION_MAX_S: Final = 7 * 86_400
"""The price paths of the whole time are held in memory: 10 points a second and asset."""

DURATION_MIN_S: Final = 1


@dataclass(frozen=True, slots=True)
class Listing:
    """One instrument on one venue."""

    venue: str
    instrument: str

    @property
    def base(self) -> str:
        """The asset that is priced."""
        return self.instrument.split("-")[0]

    @property
    def quote(self) -> str:
        """The asset that the price is in."""
        return self.instrument.split("-")[1]

    @property
    def is_perpetual(self) -> bool:
        """Whether it is a perpetual, and not spot."""
        return self.instrument.endswith("-PERP")


@dataclass(frozen=True, slots=True)
class SimulationConfig:
    """Everything that decides a simulation: equal configurations give equal bytes.

    Parameters
    ----------
    seed
        An integer from 0 to 2**63.
    start_time_us
        Event time of the beginning, microseconds since the epoch, UTC.
    duration_s
        Length in seconds of event time, from 1 s to 7 days.
    instruments
        Spot pairs ``BASE-QUOTE``. A venue lists those whose quote asset it trades in. An asset
        that the simulator has no profile of becomes a made-up volatile coin, so that a
        benchmark can ask for thousands.
    perpetuals
        Linear perpetuals ``BASE-QUOTE-PERP`` of assets among the instruments, at the venues that
        have any. They come on top: the spot pairs are, to the byte, what they are without.
    venues
        Names from ``VENUE_PROFILES``.
    trades_per_second, quotes_per_second, books_per_second
        Mean rates over all **spot** listings together and over a day; a listing gets its share by
        the weight of venue and instrument. Quotes and books come on top of that whenever the
        price has moved by ``REQUOTE_BPS`` since the last, as on a real venue.
    bars
        Whether venues publish their 1-minute bars.
    late_rate, late_max_s
        Share of messages delayed by one second to ``late_max_s``.
    duplicate_rate
        Share of messages published a second time, byte for byte, within two seconds.
    reorder_rate
        Share of messages that their successor overtakes between reception and publication.
    gap_rate
        Share of messages that are lost, in short runs: their sequence numbers are missing.
    diurnal_amplitude
        Swing of activity over the day, 0 (none) to 0.9; the mean over a day is 1.
    incidents
        ``None`` places some of each kind by the seed (from five minutes on; a shorter
        simulation has room for the shorter kinds only); a tuple sets them, empty for none.

    Raises
    ------
    ValueError
        If a value is outside its range, or an instrument is traded on none of the venues.
    """

    seed: int = 7
    start_time_us: int = DEFAULT_START_TIME_US
    duration_s: int = 600
    instruments: tuple[str, ...] = DEFAULT_INSTRUMENTS
    venues: tuple[str, ...] = DEFAULT_VENUES
    perpetuals: tuple[str, ...] = ()
    trades_per_second: float = 60.0
    quotes_per_second: float = 150.0
    books_per_second: float = 20.0
    bars: bool = True
    late_rate: float = 0.002
    late_max_s: float = 20.0
    duplicate_rate: float = 0.002
    reorder_rate: float = 0.005
    gap_rate: float = 0.0005
    diurnal_amplitude: float = 0.35
    incidents: tuple[Incident, ...] | None = None

    def __post_init__(self) -> None:
        _check_numbers(self)
        _check_names(self)
        _check_perpetuals(self)

    @property
    def end_time_us(self) -> int:
        """Event time of the end, excluded."""
        return self.start_time_us + self.duration_s * US_PER_SECOND

    def listings(self) -> tuple[Listing, ...]:
        """List every spot instrument on every venue that trades its quote asset."""
        return tuple(
            Listing(venue, instrument)
            for venue in self.venues
            for instrument in self.instruments
            if instrument.split("-")[1] in VENUE_PROFILES[venue].quote_assets
        )

    def perpetual_listings(self) -> tuple[Listing, ...]:
        """List every perpetual on every venue that has perpetuals."""
        return tuple(
            Listing(venue, perpetual)
            for venue in self.venues
            for perpetual in self.perpetuals
            if VENUE_PROFILES[venue].has_perpetuals
        )


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not (math.isfinite(value) and low <= value <= high):
        raise ValueError(f"simulation: {name} is {value}; give a value from {low:g} to {high:g}")


def _check_numbers(config: SimulationConfig) -> None:
    _check_range("seed", config.seed, 0, 2**63)
    _check_range("start_time_us", config.start_time_us, 0, 2**53)
    _check_range("duration_s", config.duration_s, DURATION_MIN_S, DURATION_MAX_S)
    for name in ("trades_per_second", "quotes_per_second", "books_per_second"):
        _check_range(name, getattr(config, name), 0.0, 1e6)
    for name in ("late_rate", "duplicate_rate", "reorder_rate", "gap_rate"):
        _check_range(name, getattr(config, name), 0.0, 0.5)
    _check_range("late_max_s", config.late_max_s, 1.0, 3600.0)
    _check_range("diurnal_amplitude", config.diurnal_amplitude, 0.0, 0.9)


def _check_names(config: SimulationConfig) -> None:
    for what, names in (("venues", config.venues), ("instruments", config.instruments)):
        if not names or len(set(names)) != len(names):
            raise ValueError(f"simulation: {what} is empty or names one twice: {names}")
    for venue in config.venues:
        if venue not in VENUE_PROFILES:
            known = ", ".join(sorted(VENUE_PROFILES))
            raise ValueError(f"simulation: unknown venue {venue!r}; known are {known}")
    for instrument in config.instruments:
        parts = instrument.split("-")
        if len(parts) != 2 or not all(parts) or parts[0] == parts[1]:
            raise ValueError(f"simulation: instrument {instrument!r} is not a pair BASE-QUOTE")
    listed = {listing.instrument for listing in config.listings()}
    for instrument in config.instruments:
        if instrument not in listed:
            raise ValueError(
                f"simulation: none of {', '.join(config.venues)} trades {instrument!r}; "
                "add a venue that does or leave the instrument out"
            )


def _check_perpetuals(config: SimulationConfig) -> None:
    assets = {asset for instrument in config.instruments for asset in instrument.split("-")}
    for perpetual in config.perpetuals:
        parts = perpetual.split("-")
        if len(parts) != 3 or parts[2] != "PERP" or not set(parts[:2]) <= assets:
            raise ValueError(
                f"simulation: {perpetual!r} is not BASE-QUOTE-PERP of assets of the instruments"
            )
    if config.perpetuals and not config.perpetual_listings():
        raise ValueError(f"simulation: none of {', '.join(config.venues)} has perpetuals")
