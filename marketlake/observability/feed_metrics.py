"""Prometheus metrics of a live feed, read from its counts at each scrape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_BREAKER: Final = {"closed": 0, "half_open": 1, "open": 2}
_STATES: Final = ("connecting", "live", "stale", "degraded", "broken")


class VenueReadings(Protocol):
    """What is read of a venue as a whole."""

    connects: int

    @property
    def breaker(self) -> Any:
        """``closed``, ``half_open`` or ``open``."""
        ...


class FeedReadings(Protocol):
    """What is read of a feed; the counters' keys are the labels, in the order of the metric's."""

    events: Counter[tuple[str, str]]
    skipped: Counter[tuple[str, str]]
    conflated: Counter[tuple[str, str]]
    gaps: Counter[tuple[str, str]]
    missed_trades: Counter[str]
    frames: Counter[str]
    failures: Counter[tuple[str, str]]
    published: Counter[str]
    waiting: int
    blocked_s: float

    @property
    def venues(self) -> Mapping[str, VenueReadings]:
        """Each venue's own readings."""
        ...

    def channel_states(self) -> Mapping[tuple[str, Any], Mapping[Any, int]]:
        """Count instruments by state, of each (venue, channel)."""
        ...

    def venue_states(self) -> Mapping[str, Any]:
        """Give the state of each venue."""
        ...

    def silent_s(self) -> Mapping[tuple[str, Any], float]:
        """Give seconds since the last event of each (venue, channel)."""
        ...


class FeedMetrics(Collector):
    """What a feed's counts say, as metrics.

    Parameters
    ----------
    registry : CollectorRegistry
        Where it registers.
    feed : FeedReadings
        Read anew at each scrape, from another thread.
    """

    def __init__(self, registry: CollectorRegistry, feed: FeedReadings) -> None:
        self._feed = feed
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Give all metrics as they are now."""
        feed = self._feed
        yield _states("venue_state", "1 for the state that a venue is in.", ("venue",), {
            (venue,): {state: 1} for venue, state in feed.venue_states().items()
        })  # fmt: skip
        yield _states(
            "channel_instruments",
            "Instruments of a channel by the state they are in.",
            ("venue", "channel"),
            feed.channel_states(),
        )
        breakers = {(venue,): _BREAKER[n.breaker] for venue, n in list(feed.venues.items())}
        yield _gauge(
            "breaker_state", "0 closed, 1 half open, 2 open: left alone.", ("venue",), breakers
        )
        yield _gauge(
            "channel_silent_seconds",
            "Since the last event of a channel.",
            ("venue", "channel"),
            feed.silent_s(),
        )
        yield _gauge(
            "waiting_events", "Events that wait for the publisher.", (), {(): feed.waiting}
        )
        connects = {(venue,): notes.connects for venue, notes in list(feed.venues.items())}
        yield _counter("connects", "Connections begun.", ("venue",), connects)
        for name, text, labels, counts in (
            ("failures", "Connections lost or not made.", ("venue", "reason"), feed.failures),
            ("frames", "Messages received.", ("venue",), feed.frames),
            ("events", "Events handed on.", ("venue", "channel"), feed.events),
            ("skipped", "What gave no event.", ("venue", "reason"), feed.skipped),
            (
                "conflated",
                "States of books and quotes replaced by newer ones before they were handed on.",
                ("venue", "channel"),
                feed.conflated,
            ),
            ("gaps", "Breaks in a venue's numbers or checksums.", ("venue", "channel"), feed.gaps),
            ("missed_trades", "Trades that never came.", ("venue",), feed.missed_trades),
            ("published", "Events acknowledged by the target.", ("channel",), feed.published),
        ):
            yield _counter(name, text, labels, counts.copy())
        yield _counter(
            "blocked_seconds", "Waiting for room, summed over venues.", (), {(): feed.blocked_s}
        )


def _labels(key: Any) -> tuple[str, ...]:
    return key if isinstance(key, tuple) else (key,)


def _gauge(
    name: str, text: str, labels: tuple[str, ...], values: Mapping[Any, float]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"marketlake_feed_{name}", text, labels=labels)
    for key, value in values.items():
        family.add_metric(_labels(key), value)
    return family


def _counter(
    name: str, text: str, labels: tuple[str, ...], values: Mapping[Any, float]
) -> CounterMetricFamily:
    family = CounterMetricFamily(f"marketlake_feed_{name}", text, labels=labels)
    for key, value in values.items():
        family.add_metric(_labels(key), value)
    return family


def _states(
    name: str, text: str, labels: tuple[str, ...], values: Mapping[Any, Mapping[Any, int]]
) -> GaugeMetricFamily:
    """Give each state a series, those not taken with 0, so that an alert sees the change."""
    family = GaugeMetricFamily(f"marketlake_feed_{name}", text, labels=(*labels, "state"))
    for key, found in values.items():
        for state in _STATES:
            family.add_metric((*_labels(key), state), found.get(state, 0))
    return family
