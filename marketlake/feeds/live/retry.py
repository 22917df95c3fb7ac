"""When to try again: waits that grow and are spread, and a breaker that leaves a venue alone."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Literal

BreakerState = Literal["closed", "open", "half_open"]


class Backoff:
    """Waits that double, each drawn between half of itself and all of it.

    The spread keeps feeds that lost one venue at the same moment from coming back all at once.

    Parameters
    ----------
    first_s, max_s : float
        The first wait, and the longest.
    draw : callable
        Gives numbers in [0, 1).
    """

    def __init__(
        self, first_s: float, max_s: float, draw: Callable[[], float] = random.random
    ) -> None:
        self._first_s = min(first_s, max_s)
        self._max_s = max_s
        self._draw = draw
        self._next_s = self._first_s

    def next_s(self) -> float:
        """Give the next wait, in seconds."""
        wait_s = self._next_s
        self._next_s = min(2.0 * wait_s, self._max_s)
        return wait_s * (0.5 + 0.5 * self._draw())

    def reset(self) -> None:
        """Begin with the first wait again."""
        self._next_s = self._first_s


class CircuitBreaker:
    """Counts failures within a window; at too many it opens, and later lets one attempt through.

    Parameters
    ----------
    failures : int
        Failures within ``window_s`` that open it.
    open_s : float
        How long it stays open. Then it is half open: the next failure opens it again, a success
        closes it.
    clock : callable
        Seconds that only grow.
    """

    def __init__(
        self, failures: int, window_s: float, open_s: float, clock: Callable[[], float]
    ) -> None:
        self._limit = failures
        self._window_s = window_s
        self._open_s = open_s
        self._clock = clock
        self._failures: deque[float] = deque()
        self._open_until_s: float | None = None

    @property
    def state(self) -> BreakerState:
        """``open`` while no attempt is to be made, ``half_open`` while one is being tried."""
        if self._open_until_s is None:
            return "closed"
        return "open" if self._clock() < self._open_until_s else "half_open"

    @property
    def wait_s(self) -> float:
        """Seconds until an attempt may be made; 0 where it may be made now."""
        if self._open_until_s is None:
            return 0.0
        return max(0.0, self._open_until_s - self._clock())

    def failed(self) -> None:
        """Note a failure."""
        now_s = self._clock()
        if self._open_until_s is not None:
            self._open_until_s = now_s + self._open_s
            return
        self._failures.append(now_s)
        while self._failures[0] < now_s - self._window_s:
            self._failures.popleft()
        if len(self._failures) >= self._limit:
            self._failures.clear()
            self._open_until_s = now_s + self._open_s

    def succeeded(self) -> None:
        """Note that the venue gives events: a half-open breaker closes.

        A closed one keeps its failures: a venue that gives an event and falls each time is broken.
        """
        if self._open_until_s is not None and self._clock() >= self._open_until_s:
            self._open_until_s = None
