"""Settings of what is computed: bars, indicators, anomalies, spreads."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from marketlake.settings.section import Interval, Section


class BarSettings(Section):
    """Bars built from trades, and where analytics look."""

    intervals: tuple[Interval, ...] = ("1s", "1m")
    """Bars in ``gold/bars``; each but the first is derived from the one before."""
    anomaly_intervals: tuple[Interval, ...] = ("1s", "1m")
    """Built bars on which anomalies are looked for."""

    @model_validator(mode="after")
    def _ascending(self) -> BarSettings:
        order = ("1s", "1m", "5m", "15m", "1h", "4h", "1d")
        ranks = [order.index(interval) for interval in self.intervals]
        if not ranks or ranks[0] != 0 or sorted(set(ranks)) != ranks:
            raise ValueError("intervals must begin with 1s, ascend and not repeat")
        absent = set(self.anomaly_intervals) - set(self.intervals)
        if absent:
            raise ValueError(f"anomaly_intervals has {sorted(absent)}, which intervals lacks")
        return self


class IndicatorSettings(Section):
    """Which indicators are computed."""

    names: tuple[str, ...] | None = None
    """Indicators with their parameters, such as `sma_20`, `macd_12_26_9`, `bollinger_20_1p5`, in
    the order of their columns; nothing for those of the [indicators page](indicators.md). Another
    list is another layout of the state: begin a lake with it."""


class MicrostructureSettings(Section):
    """What trades and quotes say of order flow and liquidity."""

    interval: Interval = "1m"
    """Bars of ``gold/microstructure``."""


class AnomalySettings(Section):
    """The detectors and what makes a run."""

    detectors: tuple[Literal["zscore", "ewma", "robust", "seasonal"], ...] = (
        "zscore",
        "ewma",
        "robust",
        "seasonal",
    )
    """Detectors of single series that run; each metric and bar goes through all of them."""
    window_bars: int = Field(60, ge=5, le=10_000)
    """Bars before a value that the rolling z-score judges it by."""
    min_bars: int = Field(30, ge=3, le=10_000)
    """Bars needed before the first score."""
    half_life_bars: int = Field(30, ge=1, le=10_000)
    """Bars after which a value counts half in the exponentially weighted score."""
    robust_window_bars: int = Field(40, ge=3, le=1_000)
    """Bars before a value whose median and MAD the robust detector judges it by."""
    seasonal_slots: int = Field(24, ge=1, le=288)
    """Parts of a day that the seasonal detector tells apart; a divisor of 1440."""
    enter_score: float = Field(5.0, gt=0)
    """Absolute score that begins a run."""
    exit_score: float = Field(3.0, gt=0)
    """A run lasts while the absolute score is at least this."""
    robust_enter_score: float = Field(8.0, gt=0)
    """The same of the robust detector, whose scores have heavier tails."""
    robust_exit_score: float = Field(5.0, gt=0)
    """The same of the robust detector."""
    second_scale: float = Field(1.6, ge=1)
    """Bars of a second have heavier tails: their scales are so many times wider."""
    max_run_bars: int = Field(60, ge=1)
    """A longer run is cut, so that it is seen while it lasts."""
    venue_enter_score: float = Field(8.0, gt=0)
    """Excursion, over its usual size, at which a listing is compared with other venues."""
    venue_min_move_bps: float = Field(50.0, gt=0)
    """Least excursion of which that is done."""
    venue_tiny_volume: float = Field(0.05, ge=0)
    """Part of the usual volume of a bar up to which a price away from the others is a bad print."""
    silence_factor: float = Field(15.0, gt=1)
    """A feed is silent once it paused this many times its usual pause …"""
    min_silence_ms: int = Field(10_000, ge=1)
    """… and at least this long; stale, if others spoke on all the while."""

    @model_validator(mode="after")
    def _consistent(self) -> AnomalySettings:
        if 1_440 % self.seasonal_slots:
            raise ValueError(f"seasonal_slots {self.seasonal_slots} does not divide 1440 minutes")
        if len(set(self.detectors)) < len(self.detectors):
            raise ValueError("detectors names one twice")
        return self

    def thresholds(self, detector: str) -> tuple[float, float]:
        """Scores at which runs of a detector begin, and while which they last."""
        if detector == "robust":
            return self.robust_enter_score, self.robust_exit_score
        return self.enter_score, self.exit_score


class SpreadSettings(Section):
    """Arbitrage: cross-venue spreads, triangles within a venue, and the basis of perpetuals."""

    max_quote_age_ms: int = Field(2_000, gt=0)
    """A quote that old is no longer executable, nor are the levels of a book that old."""
    max_close_age_ms: int = Field(300_000, gt=0)
    """A close that old is no longer shown in a study row."""
    max_clock_skew_ms: int = Field(1_000, ge=0)
    """How far reception less event time may differ between the legs of one opportunity, where
    both are known: beyond it the quotes were not there at one time."""
    depth_levels: int = Field(10, ge=1, le=20)
    """Levels of a book, a side, that quantities are found in; 1 for the best prices only."""
    min_net_bps: float = Field(0.0, allow_inf_nan=False)
    """What has to be left after all costs for an opportunity to open, exclusive; also what each
    further unit has to bring to count to its quantity."""
    min_notional: float = Field(10.0, ge=0)
    """Smallest notional of an opportunity, in units of the buy's quote currency, or of the asset
    that a triangle begins with."""
    min_notional_of: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default_factory=lambda: {"BTC": 0.0001, "ETH": 0.003, "BNB": 0.015}
    )
    """The same by currency, where a unit is not of the order of a dollar."""
    slippage_bps: float = Field(0.0, ge=0, allow_inf_nan=False)
    """Allowance a leg, conversions included, for what prices do while an order is on its way."""
    transfer_cost_bps: float = Field(0.0, ge=0, allow_inf_nan=False)
    """Cost of bringing holdings on two venues back into balance, on the notional."""
    withdrawal_fees: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """Flat fees by venue and asset (`"kraken/BTC" = 0.0002`), in units of the asset, once an
    opportunity: for the base from the venue that buys, for the proceeds from the one that sells."""
    taker_fee_bps: dict[str, float] = Field(default_factory=dict)
    """Taker fee a venue, in place of the reference table's."""
    uniform_taker_fee_bps: float | None = Field(None, ge=0)
    """One taker fee for every venue, in place of all others."""
    max_cycle_legs: int = Field(3, ge=3, le=4)
    """Legs of the longest way round a venue; with 4 their number grows fast."""
    triangle_intervals: tuple[Interval, ...] = ("1m",)
    """Bars whose closes triangles are studied on."""
    min_close_notional: float = Field(1_000.0, ge=0)
    """What each bar of a studied triangle must have traded, reckoned in the asset it begins with;
    a hundred times `min_notional_of` where that asset stands there."""
    basis_interval: Interval = "1m"
    """How often the basis of perpetuals is taken."""

    def smallest_notional(self, currency: str) -> float:
        """Give the smallest notional of an opportunity, in units of a currency."""
        return self.min_notional_of.get(currency, self.min_notional)

    def smallest_close_notional(self, currency: str) -> float:
        """Give what a close must stand for to be studied, in units of a currency."""
        own = self.min_notional_of.get(currency)
        return self.min_close_notional if own is None else 100.0 * own
