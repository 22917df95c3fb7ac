"""Price paths of the assets, in USD, that every instrument on every venue is derived from.

One path an asset, not one an instrument: a cross pair is the quotient of two paths, so that the
market is free of triangular arbitrage by construction. Volatile assets share a common factor
and have steps of Student's t; volatility clusters; stablecoins stay near 1. All times are
microseconds after the start of the simulation.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from marketlake.contracts.events import US_PER_SECOND
from marketlake.feeds.simulator.config import SimulationConfig
from marketlake.feeds.simulator.incidents import DEPEG_ASSET, Incident

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

GRID_STEP_US: Final = 100_000
YEAR_S: Final = 365.25 * 86_400
T_DEGREES: Final = 4.0
"""Degrees of freedom of the steps: the fat tails seen in intraday returns."""
STEP_LIMIT_SIGMAS: Final = 8.0
CRASH_TRADE_SURGE: Final = 6.0
"""Trades a second at the bottom of a flash crash, in multiples of the ordinary rate."""
BUSIEST_HOUR_UTC: Final = 15.0
FIAT: Final = "USD"
PREMIUM_BPS: Final = 3.0
"""Mean premium of perpetuals over spot …"""
PREMIUM_WANDER_BPS: Final = 8.0
"""… and the bound of its way from there: wide enough to show beside the noise of a venue."""
PREMIUM_KNOT_US: Final = 120e6


@dataclass(frozen=True, slots=True)
class AssetProfile:
    """An asset: its first price, and how it moves.

    ``volatility`` is annualised (0.6 = 60 %), ``factor_share`` the share of the variance that
    the common factor explains, ``wander_bps`` bounds the deviation of a stablecoin from
    ``start_usd``.
    """

    start_usd: float
    volatility: float = 0.0
    factor_share: float = 0.0
    wander_bps: float = 0.0


ASSET_PROFILES: Final[dict[str, AssetProfile]] = {
    "USD": AssetProfile(1.0),
    "USDT": AssetProfile(1.0002, wander_bps=3.0),
    "USDC": AssetProfile(0.9999, wander_bps=3.0),
    "BTC": AssetProfile(96_500.0, volatility=0.55, factor_share=0.85),
    "ETH": AssetProfile(3_210.0, volatility=0.75, factor_share=0.7),
    "SOL": AssetProfile(187.0, volatility=0.95, factor_share=0.6),
}


def asset_profile(asset: str) -> AssetProfile:
    """Look an asset up; one that is not known is made up, always alike, from its name."""
    known = ASSET_PROFILES.get(asset)
    if known is not None:
        return known
    draw = zlib.crc32(asset.encode()) / 2**32
    return AssetProfile(10.0 ** (3.0 * draw - 1.0), volatility=0.7 + 0.5 * draw, factor_share=0.5)


def is_volatile(asset: str) -> bool:
    """Tell a coin from a stablecoin or fiat money."""
    return asset_profile(asset).volatility > 0.0


def bounded_noise(
    rng: np.random.Generator, times_us: FloatArray, duration_us: float, knot_us: float
) -> FloatArray:
    """Draw a mean-reverting path within [-1, 1]: linear between uniform knots.

    It needs no recursion, so any stretch of it can be had without the stretches before.
    """
    knots = rng.uniform(-1.0, 1.0, math.ceil(duration_us / knot_us) + 2)
    path: FloatArray = np.interp(times_us, np.arange(len(knots)) * knot_us, knots)
    return path


def smoothstep(progress: FloatArray) -> FloatArray:
    """Rise from 0 to 1 over progress 0 to 1 without a kink at either end; flat outside."""
    x = np.clip(progress, 0.0, 1.0)
    result: FloatArray = x * x * (3.0 - 2.0 * x)
    return result


def crash_shape(progress: FloatArray) -> FloatArray:
    """Depth of a flash crash, 0 to 1: a fall over 30 % of its time, then the recovery."""
    return smoothstep(progress / 0.3) - smoothstep((progress - 0.3) / 0.7)


def depeg_shape(progress: FloatArray) -> FloatArray:
    """Depth of a depeg, 0 to 1: down over half of its time, a trough, then back."""
    return smoothstep(progress / 0.5) - smoothstep((progress - 0.65) / 0.35)


@dataclass(frozen=True, slots=True)
class PricePaths:
    """The state of the world on a grid of ``GRID_STEP_US``.

    ``log_usd`` holds log prices an asset, ``volatility`` the clustering factor (root mean
    square 1), ``intensity`` the factor on rates of trades and ``cumulative_s`` its integral in
    seconds, ``surge`` the part of it that comes from flash crashes (1 outside). ``premium`` holds,
    an asset, by how much its perpetuals are above spot, in logs, alike on all venues.
    """

    grid_us: FloatArray
    log_usd: dict[str, FloatArray]
    volatility: FloatArray
    surge: FloatArray
    cumulative_s: FloatArray
    premium: dict[str, FloatArray]

    def log_price(self, base: str, quote: str, times_us: FloatArray) -> FloatArray:
        """Interpolate the log price of a pair."""
        numerator = np.interp(times_us, self.grid_us, self.log_usd[base])
        result: FloatArray = numerator - np.interp(times_us, self.grid_us, self.log_usd[quote])
        return result


def build_paths(
    config: SimulationConfig, incidents: list[Incident], rng: np.random.Generator
) -> PricePaths:
    """Draw the paths of all assets of a configuration and work the incidents into them."""
    duration_us = float(config.duration_s * US_PER_SECOND)
    grid = np.arange(0.0, duration_us + GRID_STEP_US, GRID_STEP_US)
    clusters = 0.5 * bounded_noise(rng, grid, duration_us, 20e6)
    clusters += 0.7 * bounded_noise(rng, grid, duration_us, 300e6)
    volatility = np.exp(clusters)
    volatility /= np.sqrt(np.mean(volatility**2))
    factor = _student_steps(rng, len(grid))
    assets = sorted({asset for name in config.instruments for asset in name.split("-")})
    log_usd = {asset: _asset_path(rng, asset, grid, volatility, factor) for asset in assets}
    surge = np.ones(len(grid))
    for incident in incidents:
        _shock(incident, config.start_time_us, grid, log_usd, surge)
    hours = (config.start_time_us / US_PER_SECOND + grid / 1e6) / 3600.0
    swing = np.cos(2.0 * np.pi * (hours - BUSIEST_HOUR_UTC) / 24.0)
    intensity = (1.0 + config.diurnal_amplitude * swing) * volatility / np.mean(volatility) * surge
    cumulative = np.concatenate(([0.0], np.cumsum(intensity[:-1]) * (GRID_STEP_US / 1e6)))
    return PricePaths(grid, log_usd, volatility, surge, cumulative, _premiums(config, grid))


def _premiums(config: SimulationConfig, grid: FloatArray) -> dict[str, FloatArray]:
    """Draw the premium of the perpetuals of each asset, from numbers that nothing else uses."""
    premiums = {}
    for base in sorted({perpetual.split("-")[0] for perpetual in config.perpetuals}):
        rng = np.random.default_rng([config.seed, zlib.crc32(base.encode())])
        wander = bounded_noise(rng, grid, grid[-1], PREMIUM_KNOT_US)
        premiums[base] = 1e-4 * (PREMIUM_BPS + PREMIUM_WANDER_BPS * wander)
    return premiums


def _student_steps(rng: np.random.Generator, count: int) -> FloatArray:
    scale = math.sqrt((T_DEGREES - 2.0) / T_DEGREES)
    steps = rng.standard_t(T_DEGREES, count) * scale
    return np.clip(steps, -STEP_LIMIT_SIGMAS, STEP_LIMIT_SIGMAS)


def _asset_path(
    rng: np.random.Generator,
    asset: str,
    grid: FloatArray,
    volatility: FloatArray,
    factor: FloatArray,
) -> FloatArray:
    profile = asset_profile(asset)
    start = math.log(profile.start_usd)
    if profile.volatility == 0.0:
        wander = 0.7 * bounded_noise(rng, grid, grid[-1], 60e6)
        wander += 0.3 * bounded_noise(rng, grid, grid[-1], 7e6)
        return start + profile.wander_bps * 1e-4 * wander
    own = _student_steps(rng, len(grid))
    share = profile.factor_share
    steps = math.sqrt(share) * factor + math.sqrt(1.0 - share) * own
    steps *= profile.volatility * math.sqrt(GRID_STEP_US / 1e6 / YEAR_S) * volatility
    steps[0] = 0.0
    return start + np.cumsum(steps)


def _shock(
    incident: Incident,
    start_time_us: int,
    grid: FloatArray,
    log_usd: dict[str, FloatArray],
    surge: FloatArray,
) -> None:
    begin = incident.start_us - start_time_us
    progress = (grid - begin) / max(incident.end_us - incident.start_us, 1)
    if incident.kind == "flash_crash":
        shape = crash_shape(progress)
        surge += (CRASH_TRADE_SURGE - 1.0) * shape
        moved = [asset for asset in log_usd if is_volatile(asset)]
    elif incident.kind == "depeg":
        shape = depeg_shape(progress)
        moved = [DEPEG_ASSET]
    elif incident.kind == "stale_venue":
        # The market must move for the silence to show; it keeps its new level.
        shape = smoothstep(progress)
        moved = [asset for asset in log_usd if is_volatile(asset)]
    else:
        return
    for asset in moved:
        log_usd[asset] += np.log1p(incident.magnitude * shape)
