"""The settings of the pipeline: typed, complete with defaults, and closed to unknown keys.

They come, the later winning, from the defaults here, a TOML file, ``MARKETLAKE_…`` variables
(``MARKETLAKE_STREAM__LATENESS_MS=5000``) and the command line. No setting holds a secret.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableVariableError

from marketlake.contracts.errors import MarketlakeError
from marketlake.settings.environment import unknown_variables

_PREFIX: Final = "MARKETLAKE_"

Interval = Literal["1s", "1m", "5m", "15m", "1h", "4h", "1d"]


class SettingsError(MarketlakeError):
    """A setting is unknown or has a value outside its domain."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StreamSettings(_Section):
    """How the stream reads and when it considers an input complete."""

    lateness_ms: int = Field(60_000, ge=0, le=86_400_000)
    """Allowed lateness of trades and bars: bars close that long after their end."""
    quote_lateness_ms: int = Field(10_000, ge=0, le=86_400_000)
    """Allowed lateness of quotes and books."""
    ahead_of_source_ms: int = Field(10_000, ge=0)
    """How far an event's time may run ahead of the source's timestamp (clock skew)."""
    idle_ms: int = Field(120_000, ge=1_000)
    """A partition without a message for so long is idle: it no longer holds others back."""
    settle_ms: int = Field(600_000, ge=0)
    """Partitions that were found to share instruments are folded by one task, until for so long, in
    event time, each instrument came from one of them only."""
    max_offsets_per_batch: int = Field(500_000, ge=1)
    """Messages a batch over all partitions."""
    kafka_reader: Literal["workers", "spark"] = "workers"
    """Who fetches messages: the Python workers, straight from the broker, or Spark's own reader,
    which passes them through the JVM. The lake is the same."""
    trigger_ms: int = Field(1_000, ge=0)
    """Pause between batches of a continuous run."""
    merge_buckets: int = Field(1, ge=1, le=1_024)
    """Tasks of step two; each takes the base assets that hash to it."""


class KinesisSettings(_Section):
    """How the stream reads Kinesis. Credentials are found as the AWS tools find them."""

    reader: Literal["marketlake", "aws"] = "marketlake"
    """Who reads the shards: our own source, or the connector that AWS ships with EMR, as
    `aws-kinesis`. Both give the same columns."""
    starting_position: str = "trim_horizon"
    """Where a new lake begins: `trim_horizon`, the oldest record there is; `latest`; or a time, as
    `2025-01-31T12:00:00Z`."""
    starting_sequences: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Record that a shard is read from on a new lake, by stream and shard, where that is not
    `starting_position`."""
    max_records_per_shard: int = Field(100_000, ge=1)
    """Most records of a shard in a batch; `stream.max_offsets_per_batch` holds for all together."""
    max_bytes_per_shard: int = Field(33_554_432, ge=1)
    """Most bytes of a shard in a batch; they are held in memory."""
    max_read_ms_per_shard: int = Field(10_000, ge=1)
    """A batch asks a shard for no more after so long."""
    poll_ms: int = Field(500, ge=1)
    """Least time between two looks at a shard that had nothing."""
    pause_ms: int = Field(200, ge=0)
    """Least time between two calls of one shard: it takes five a second from all its readers."""
    give_up_s: int = Field(60, ge=1)
    """The stream fails when Kinesis has not answered for so long, throttling included."""
    fail_on_data_loss: bool = True
    """Records that expired before they were read end the stream; else it goes on without them."""
    role_arn: str = ""
    """Role to assume, as for streams of another account; it must be their account's."""
    external_id: str = ""
    """What that role asks for beside our identity."""


class BarSettings(_Section):
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


class IndicatorSettings(_Section):
    """Which indicators are computed."""

    names: tuple[str, ...] | None = None
    """Indicators with their parameters, such as `sma_20`, `macd_12_26_9`, `bollinger_20_1p5`, in
    the order of their columns; nothing for those of the [indicators page](indicators.md). Another
    list is another layout of the state: begin a lake with it."""


class MicrostructureSettings(_Section):
    """What trades and quotes say of order flow and liquidity."""

    interval: Interval = "1m"
    """Bars of ``gold/microstructure``."""


class AnomalySettings(_Section):
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


class SpreadSettings(_Section):
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


class FeedSettings(_Section):
    """Live feeds: when a connection counts as lost, how it is made again, and what may wait."""

    connect_timeout_ms: int = Field(10_000, ge=1_000)
    """How long a connection, or an answer over REST, may take."""
    silence_ms: int = Field(60_000, ge=100)
    """A connection without a message for so long is given up and made anew."""
    channel_silence_ms: int = Field(300_000, ge=0)
    """The same of the quotes or the book of one instrument, while others speak on; 0 for never."""
    stale_ms: int = Field(15_000, ge=1)
    """A channel without an event for so long is shown as stale."""
    backoff_first_ms: int = Field(500, ge=1)
    """Wait before the first new attempt; each one after it waits up to twice as long …"""
    backoff_max_ms: int = Field(60_000, ge=1)
    """… and at most this. The wait is drawn between half of it and all of it."""
    breaker_failures: int = Field(5, ge=1)
    """Failures of a venue within `breaker_window_ms` at which it is left alone …"""
    breaker_window_ms: int = Field(300_000, ge=1)
    """… the time in which failures add up …"""
    breaker_open_ms: int = Field(120_000, ge=1)
    """… and for how long, before one attempt is made to see whether it is back."""
    subscriptions_per_s: float = Field(5.0, gt=0, allow_inf_nan=False)
    """Subscriptions sent to a venue in a second."""
    queue_events: int = Field(10_000, ge=1)
    """Events that wait for the publisher; beyond it connections are not read, and of a book that
    waits only the newest state is kept."""
    batch_events: int = Field(1_000, ge=1)
    """Events handed to the publisher at once, and acknowledged before the next."""
    repeat_trades: int = Field(10_000, ge=1)
    """Latest trades of an instrument whose repetition, after a reconnect, is left out."""
    history_ms: int = Field(5_000, ge=0)
    """How far back from its start a feed publishes what venues send along of the past."""
    bar_interval: Literal["1m", "5m", "15m", "1h", "4h", "1d"] = "1m"
    """Bars asked for where a venue publishes them."""
    gateways: dict[str, str] = Field(default_factory=dict)
    """By venue, the address (`http://HOST:PORT`) that stands before it: every address of the venue
    is then asked there, its own host as the first part of the path."""
    alpaca_feed: Literal["iex", "sip", "delayed_sip"] = "iex"
    """Which of its data Alpaca sends: those of IEX, of all exchanges, or these 15 minutes late."""
    alpaca_lot_size: float = Field(100.0, gt=0, allow_inf_nan=False)
    """Shares that one unit of size in Alpaca's quotes stands for: it counts round lots; 1 for data
    that count shares."""

    @model_validator(mode="after")
    def _gateways(self) -> FeedSettings:
        for venue, address in self.gateways.items():
            if not re.fullmatch(r"https?://[^/@\s]+", address):
                raise ValueError(f"gateways.{venue} is no http://HOST:PORT")
        return self


class ObservabilitySettings(_Section):
    """Logs and metrics of a run."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that is logged; each batch is one line at info."""
    log_file: Path | None = None
    """JSON lines go there; to standard error where none is named."""
    metrics_port: int = Field(0, ge=0, le=65_535)
    """Port of the Prometheus endpoint; 0 for none."""
    metrics_host: str = "127.0.0.1"
    """Address that the endpoint listens on."""


class S3Settings(_Section):
    """A lake on S3.

    Endpoint, region and credentials are not set here: they are found as the AWS tools find them
    (`AWS_ENDPOINT_URL_S3`, `AWS_REGION`, `AWS_PROFILE`, the role of the machine).
    """

    bucket_owner: str | None = Field(None, pattern=r"^\d{12}$")
    """Account that must own the bucket: else nothing is read or written there."""
    encryption: Literal["AES256", "aws:kms", "aws:kms:dsse"] | None = None
    """How objects are encrypted; nothing for what the bucket itself says."""
    kms_key_id: str | None = None
    """Key for `aws:kms`; nothing for the account's own for S3."""
    bucket_key: bool = False
    """One data key for many objects (an S3 bucket key): far fewer requests to KMS."""
    lease_s: int = Field(60, ge=3, le=3_600)
    """A writer that has not renewed its lease for so long has lost it, and another may write."""

    @model_validator(mode="after")
    def _key_of_kms(self) -> S3Settings:
        kms = self.encryption is not None and self.encryption.startswith("aws:kms")
        if (self.kms_key_id is not None or self.bucket_key) and not kms:
            raise ValueError("kms_key_id and bucket_key need encryption = 'aws:kms'")
        return self


class MaintainSettings(_Section):
    """Upkeep of the tables: which files are joined, and what is kept for how long."""

    target_mb: int = Field(128, ge=1, le=4_096)
    """Files of a partition are joined up to that size, in megabytes; larger ones stay."""
    min_files: int = Field(4, ge=2)
    """A partition with fewer small files stays as it is."""
    cluster: bool = False
    """Lay joined rows out by venue, instrument and time (Z-order), not in the order they came."""
    removed_hours: int = Field(168, ge=1)
    """Files that left a table stay so long for queries that began before; no query may take
    longer."""
    undecided_hours: int = Field(24, ge=1)
    """Files that nothing names stay so long: they may be those of a batch that is not decided
    yet. State that is no day's boundary stays as long."""
    manifest_days: int = Field(30, ge=1)
    """Manifests of all batches stay so long, older ones at the boundaries of days only."""
    boundary_days: int = Field(365, ge=1)
    """Manifests and state at the boundaries of days stay so long: a day can be computed again
    from where it began."""
    bronze_days: int | None = Field(None, ge=1)
    """Messages stay so long in bronze, by the date of the source's timestamp; nothing for ever.
    What is gone can be neither computed again nor reconciled."""
    log_days: int = Field(30, ge=1)
    """Commits stay so long in the tables' logs, behind a checkpoint."""


class Settings(BaseSettings):
    """All settings."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    stream: StreamSettings = StreamSettings()
    kinesis: KinesisSettings = KinesisSettings()
    bars: BarSettings = BarSettings()
    indicators: IndicatorSettings = IndicatorSettings()
    microstructure: MicrostructureSettings = MicrostructureSettings()
    anomalies: AnomalySettings = AnomalySettings()
    spreads: SpreadSettings = SpreadSettings()
    feed: FeedSettings = FeedSettings()
    observability: ObservabilitySettings = ObservabilitySettings()
    s3: S3Settings = S3Settings()
    maintain: MaintainSettings = MaintainSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file, whose values come by the constructor."""
        return env_settings, init_settings


def load_settings(file: Path | None = None, **sections: object) -> Settings:
    """Load and check the settings.

    Parameters
    ----------
    file : Path, optional
        TOML file with a table a section.
    **sections
        Values that replace the file's, by section.

    Raises
    ------
    SettingsError
        With one line a problem: where it stands, and what is allowed.
    """
    values: dict[str, object] = {}
    if file is not None:
        try:
            values = tomllib.loads(file.read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"settings file {file}: {error}") from error
    unknown = unknown_variables(_PREFIX, (*Settings.model_fields, "data", "cache", "jars"))
    if unknown:
        raise SettingsError(
            f"settings refused: unknown variable {', '.join(unknown)}; sections are "
            f"{', '.join(Settings.model_fields)}, as in {_PREFIX}STREAM__LATENESS_MS"
        )
    try:
        return Settings(**{**values, **sections})  # type: ignore[arg-type]
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg'].lower()}"
            for item in error.errors()
        )
        raise SettingsError(f"settings refused: {problems}") from error
    except UnreadableVariableError as error:
        # A variable of a list or a whole section, which is given as JSON.
        raise SettingsError(f"settings refused: {error}: {error.__cause__}") from error
