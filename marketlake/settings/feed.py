"""Settings of live feeds."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, model_validator

from marketlake.settings.section import Section


class FeedSettings(Section):
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
