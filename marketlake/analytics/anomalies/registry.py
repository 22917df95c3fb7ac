"""The detectors that look at one series alone, by name.

The pipeline, the settings' check, the reference page and the property tests are all made from this
table: a new detector is one class and one line here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from marketlake.analytics.anomalies.exponential import ExponentialZScore
from marketlake.analytics.anomalies.robust import RobustZScore
from marketlake.analytics.anomalies.rolling_zscore import RollingZScore
from marketlake.analytics.anomalies.seasonal import SeasonalZScore
from marketlake.analytics.kernel import KeyedKernel


class DetectorParameters(Protocol):
    """What the detectors are set by; the anomaly section of the settings has these fields."""

    @property
    def window_bars(self) -> int: ...

    @property
    def min_bars(self) -> int: ...

    @property
    def half_life_bars(self) -> int: ...

    @property
    def robust_window_bars(self) -> int: ...

    @property
    def seasonal_slots(self) -> int: ...


DETECTORS: Final[dict[str, Callable[[DetectorParameters], KeyedKernel]]] = {
    "zscore": lambda given: RollingZScore(given.window_bars, given.min_bars),
    "ewma": lambda given: ExponentialZScore(given.half_life_bars, given.min_bars),
    "robust": lambda given: RobustZScore(
        given.robust_window_bars, min(given.min_bars, given.robust_window_bars)
    ),
    "seasonal": lambda given: SeasonalZScore(given.seasonal_slots, given.min_bars),
}
"""Each takes ``value`` (and ``open_time_us``, if it asks for it) and gives ``z``, ``expected`` and
``scale``: columns of the same meaning, so that what follows does not know which detector it was."""


def detectors(names: Iterable[str], given: DetectorParameters) -> tuple[KeyedKernel, ...]:
    """Make detectors by name.

    Raises
    ------
    KeyError
        If there is none of a name; the message lists those there are.
    """
    made = []
    for name in names:
        if name not in DETECTORS:
            msg = f"no detector {name!r}; there are {', '.join(DETECTORS)}"
            raise KeyError(msg)
        made.append(DETECTORS[name](given))
    return tuple(made)


def reference(given: DetectorParameters) -> str:
    """Write the reference of the detectors as Markdown, from their docstrings."""
    sections = []
    for name, make in DETECTORS.items():
        detector = make(given)
        body = (inspect.getdoc(type(detector)) or "").split("\n\nParameters\n", maxsplit=1)[0]
        sections.append(
            f"## {name}\n\nIn the column `detector`: `{detector.name}:ORIGIN:INTERVAL`  \n"
            f"Bars before the first score: {detector.warm_up}  \n"
            f"State: {detector.width} words of 8 bytes a metric and series\n\n{body}"
        )
    return "\n\n".join(sections) + "\n"
