"""What a feed knows of itself: the state of each channel, and a count of everything left out.

Written by the event loop alone; a thread that serves metrics may read it at any time.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from marketlake.contracts.events import TOPICS, Event, EventType
from marketlake.feeds.live.ports import CHANNELS, Channel, Subscription
from marketlake.feeds.live.retry import BreakerState

ChannelState = Literal["connecting", "live", "stale", "degraded", "broken"]
STATES: Final[tuple[ChannelState, ...]] = ("live", "stale", "connecting", "degraded", "broken")
"""From best to worst."""


def channel_of(event: Event) -> Channel:
    """Name the channel that an event came by."""
    event_type = cast("EventType", event.__struct_config__.tag)
    return cast("Channel", TOPICS[event_type])


_BREAKERS: Final[tuple[BreakerState, ...]] = ("closed", "half_open", "open")


@dataclass(slots=True)
class _ChannelNotes:
    state: ChannelState = "connecting"
    last_s: float | None = None
    reason: str = ""


@dataclass(slots=True)
class VenueNotes:
    """What is known of a venue as a whole.

    Attributes
    ----------
    connects, failures : int
        Connections that were opened, and those that were lost or not made.
    breakers : dict of str to str
        State of the circuit breaker of each of its sources.
    refused : set of str
        Sources that will not be tried again.
    error : str
        The last failure, in one line; empty where there was none.
    """

    connects: int = 0
    failures: int = 0
    breakers: dict[str, BreakerState] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    error: str = ""

    @property
    def breaker(self) -> BreakerState:
        """The worst state of a breaker of the venue."""
        return max(self.breakers.copy().values(), key=_BREAKERS.index, default="closed")


class Ledger:
    """States and counts of one feed.

    Parameters
    ----------
    stale_s : float
        A live channel without an event for so long is stale. Bars are stale after that long
        beyond their interval.
    bar_s : float
        Length of the bars asked for, in seconds.

    Attributes
    ----------
    events : Counter
        Events handed on, by (venue, channel).
    skipped : Counter
        What gave no event, by (venue, reason).
    conflated : Counter
        States of a book or quote that a newer one replaced before they were handed on, by
        (venue, channel).
    gaps : Counter
        Breaks in a venue's numbers, by (venue, channel).
    missed_trades : Counter
        Trades that those breaks say never came, by venue.
    frames : Counter
        Messages received, by venue.
    failures : Counter
        Lost connections and failed attempts, by (venue, reason).
    published : Counter
        Events acknowledged by the target, by channel.
    """

    def __init__(
        self, stale_s: float, bar_s: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stale_s: dict[Channel, float] = dict.fromkeys(CHANNELS, stale_s)
        self._stale_s["bars"] = stale_s + 2 * bar_s
        self._clock = clock
        self._channels: dict[tuple[str, Channel, str], _ChannelNotes] = {}
        self.venues: dict[str, VenueNotes] = {}
        self.events: Counter[tuple[str, str]] = Counter()
        self.skipped: Counter[tuple[str, str]] = Counter()
        self.conflated: Counter[tuple[str, str]] = Counter()
        self.gaps: Counter[tuple[str, str]] = Counter()
        self.missed_trades: Counter[str] = Counter()
        self.frames: Counter[str] = Counter()
        self.failures: Counter[tuple[str, str]] = Counter()
        self.published: Counter[str] = Counter()
        self.waiting = 0
        """Events that wait for the publisher now."""
        self.blocked_s = 0.0
        """Seconds, summed over venues, that sources waited for room."""

    def venue(self, name: str) -> VenueNotes:
        """Give the notes of a venue, made where there are none yet."""
        return self.venues.setdefault(name, VenueNotes())

    def expect(self, subscriptions: Iterable[Subscription]) -> None:
        """Take up channels; those there already are connecting again."""
        for one in subscriptions:
            self._channel(one.venue, one.channel, one.instrument).state = "connecting"

    def _channel(self, venue: str, channel: Channel, instrument: str) -> _ChannelNotes:
        key = (venue, channel, instrument)
        notes = self._channels.get(key)
        if notes is None:
            notes = self._channels[key] = _ChannelNotes()
        return notes

    def handed_on(self, event: Event) -> None:
        """Count an event; its channel is live."""
        channel = channel_of(event)
        self.events[event.venue, channel] += 1
        notes = self._channel(event.venue, channel, event.instrument)
        notes.state, notes.last_s, notes.reason = "live", self._clock(), ""

    def trouble(self, one: Subscription, reason: str, *, broken: bool = False) -> None:
        """Note that a channel is being mended, or that the venue refuses it."""
        notes = self._channel(one.venue, one.channel, one.instrument)
        notes.state, notes.reason = "broken" if broken else "degraded", reason

    def lost(
        self,
        venue: str,
        reason: str,
        error: str,
        subscriptions: Iterable[Subscription] = (),
        *,
        broken: bool = False,
    ) -> None:
        """Note that a source was lost with its channels; broken where it is left alone now."""
        notes = self.venue(venue)
        notes.failures += 1
        notes.error = error
        self.failures[venue, reason] += 1
        for one in subscriptions:
            channel = self._channel(one.venue, one.channel, one.instrument)
            channel.state, channel.reason = "broken" if broken else "connecting", error

    def _state(self, channel: Channel, notes: _ChannelNotes) -> ChannelState:
        if (
            notes.state == "live"
            and notes.last_s is not None
            and self._clock() - notes.last_s > self._stale_s[channel]
        ):
            return "stale"
        return notes.state

    def channel_states(self) -> dict[tuple[str, Channel], Counter[ChannelState]]:
        """Count the instruments in each state, by (venue, channel)."""
        found: dict[tuple[str, Channel], Counter[ChannelState]] = {}
        for (venue, channel, _), notes in list(self._channels.items()):
            states = found.setdefault((venue, channel), Counter())
            states[self._state(channel, notes)] += 1
        return found

    def silent_s(self) -> dict[tuple[str, Channel], float]:
        """Give the seconds since the last event of each channel that ever gave one."""
        last: dict[tuple[str, Channel], float] = {}
        for (venue, channel, _), notes in list(self._channels.items()):
            if notes.last_s is not None:
                key = venue, channel
                last[key] = max(last.get(key, notes.last_s), notes.last_s)
        now_s = self._clock()
        return {key: now_s - seen_s for key, seen_s in last.items()}

    def venue_states(self) -> dict[str, ChannelState]:
        """Give the state of each venue: that of its channels where they agree, else degraded."""
        seen: dict[str, set[ChannelState]] = {name: set() for name in list(self.venues)}
        for (venue, _), states in self.channel_states().items():
            seen.setdefault(venue, set()).update(states)
        return {venue: self._venue_state(venue, states) for venue, states in seen.items()}

    def _venue_state(self, venue: str, states: set[ChannelState]) -> ChannelState:
        if not states:  # its markets could not be loaded yet
            notes = self.venue(venue)
            return "broken" if notes.refused or notes.breaker == "open" else "connecting"
        if len(states) == 1:
            return next(iter(states))
        # Quiet beside live is no fault: a market without trades for a while.
        return "live" if states == {"live", "stale"} else "degraded"

    def skip(self, venue: str, reason: str, count: int = 1) -> None:
        """Count what gave no event."""
        self.skipped[venue, reason] += count

    def as_json(self) -> dict[str, Any]:
        """Give everything as one JSON object."""
        states = self.venue_states()
        channels: dict[str, dict[str, Any]] = {venue: {} for venue in states}
        for (venue, channel), found in self.channel_states().items():
            channels[venue][channel] = {
                **dict(found),
                "events": self.events[venue, channel],
                "conflated": self.conflated[venue, channel],
                "gaps": self.gaps[venue, channel],
            }
        return {
            "venues": {
                venue: {
                    "state": states[venue],
                    "connects": notes.connects,
                    "failures": notes.failures,
                    "error": notes.error,
                    "frames": self.frames[venue],
                    "missed_trades": self.missed_trades[venue],
                    "skipped": {r: n for (v, r), n in self.skipped.copy().items() if v == venue},
                    "channels": channels[venue],
                }
                for venue, notes in list(self.venues.items())
            },
            "published": dict(self.published),
            "waiting": self.waiting,
            "blocked_s": round(self.blocked_s, 3),
        }
