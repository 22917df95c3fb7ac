"""One event for each run of unusual bars, instead of one alarm for each bar."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from marketlake.analytics.kernel import (
    Float64,
    Int64,
    check_states,
    column_rows,
    require_positive,
    series_rows,
)

# Words of a state; all of them 0 where no run is open.
_SIGN, _BARS, _START, _END, _VALUE, _EXPECTED, _SCALE, _SCORE, _PEERS, _PEERS_VALUE = range(10)
WIDTH = 10


@dataclass(frozen=True, slots=True, eq=False)
class RunEvents:
    """Closed runs, as columns of one length.

    Parameters
    ----------
    series
        Number of the series, int64.
    start_us, end_us
        Time of the run's first and of its last bar, as ``step`` was given them, int64. The end is
        inclusive.
    value, expected, scale, score
        Of the bar with the largest ``|z|`` in the run, the first of them on a tie; ``score`` is its
        ``z``, with the sign.
    bars
        Bars in the run, int64.
    peers, peers_value
        How many others were observed at the peak, int64, and what they showed; NaN if none.
    """

    series: Int64
    start_us: Int64
    end_us: Int64
    value: Float64
    expected: Float64
    scale: Float64
    score: Float64
    bars: Int64
    peers: Int64
    peers_value: Float64

    def __len__(self) -> int:
        return len(self.series)

    def take(self, chosen: npt.NDArray[np.bool_], series: Int64) -> RunEvents:
        """Give some of the runs, their series numbered anew by ``series``, one for each run."""
        columns = {name: getattr(self, name)[chosen] for name in self.__slots__}
        return RunEvents(**{**columns, "series": series[chosen]})


@njit(cache=True, nogil=True, error_model="numpy")
def _emit(states: Float64, k: int, events: Float64, numbers: Int64, count: int) -> int:
    numbers[count] = k
    for word in range(WIDTH):
        events[count, word] = states[k, word]
        states[k, word] = 0.0
    return count + 1


@njit(cache=True, nogil=True, error_model="numpy")
def _exceedance_runs(
    states: Float64,
    series: Int64,
    time_us: Float64,
    value: Float64,
    expected: Float64,
    scale: Float64,
    z: Float64,
    peers: Float64,
    peers_value: Float64,
    events: Float64,
    numbers: Int64,
    enter: float,
    leave: float,
    max_bars: int,
) -> int:
    # A row closes one run at most: where it closes an open one and starts another, the new one
    # has a single bar, and with max_bars = 1 no run is ever open across rows.
    count = 0
    for i in range(series.size):
        k = series[i]
        size = abs(z[i])
        sign = math.copysign(1.0, z[i])
        if states[k, _SIGN] != 0.0 and not (size >= leave and sign == states[k, _SIGN]):
            count = _emit(states, k, events, numbers, count)
        if states[k, _SIGN] == 0.0:
            if not size >= enter:
                continue
            states[k, _SIGN] = sign
            states[k, _START] = time_us[i]
        states[k, _BARS] += 1.0
        states[k, _END] = time_us[i]
        if states[k, _BARS] == 1.0 or size > abs(states[k, _SCORE]):
            states[k, _VALUE] = value[i]
            states[k, _EXPECTED] = expected[i]
            states[k, _SCALE] = scale[i]
            states[k, _SCORE] = z[i]
            states[k, _PEERS] = peers[i]
            states[k, _PEERS_VALUE] = peers_value[i]
        if states[k, _BARS] >= max_bars:
            count = _emit(states, k, events, numbers, count)
    return count


@dataclass(frozen=True, slots=True)
class ExceedanceRuns:
    """Keyed fold from the score of each bar to one event for each run of bars.

    ::

        z       0.4  3.1  4.2  2.2  1.1  0.3      enter = 3, exit = 2
        run          [----------]                 3 bars, peak 4.2

    A run starts with a bar of ``|z| >= enter`` and holds the bars after it while ``|z| >= exit``
    with the same sign. The first bar for which that fails ends the run and is not in it; it may
    start the next one, with the other sign. A NaN score ends a run too: a feed that falls silent
    must not keep its last alarm back. A run of ``max_bars`` is emitted there and then, and the next
    bar starts another if it is beyond ``enter``. Gaps in time do not end a run: it counts bars.

    Parameters
    ----------
    enter, exit
        Sizes of a score, ``0 < exit <= enter``.
    max_bars
        Bars after which a run is cut, at least 1.
    """

    enter: float
    exit: float
    max_bars: int = 60

    def __post_init__(self) -> None:
        require_positive("exceedance runs", max_bars=self.max_bars)
        if not 0 < self.exit <= self.enter:
            msg = (
                "exceedance runs need exit above 0 and at most enter, "
                f"not exit {self.exit} and enter {self.enter}"
            )
            raise ValueError(msg)

    @property
    def width(self) -> int:
        """Words of state for one series."""
        return WIDTH

    def initial(self) -> Float64:
        """State, shape ``(width,)``, of a series without an open run."""
        return np.zeros(WIDTH)

    def step(
        self,
        states: Float64,
        series: Int64,
        time_us: Int64 | Float64,
        value: Float64,
        expected: Float64,
        scale: Float64,
        z: Float64,
        peers: Float64 | None = None,
        peers_value: Float64 | None = None,
    ) -> RunEvents:
        """Take the scores of ``n`` bars and give the runs that they close.

        Parameters
        ----------
        states
            Shape ``(k, width)``, float64, writable. CHANGED IN PLACE.
        series
            Shape ``(n,)``: bar ``i`` belongs to series ``series[i]``, in ``[0, k)``. The bars of
            one series are in order of their time.
        time_us
            Microseconds since the epoch, below ``2**53``.
        value, expected, scale, z
            What was seen, what was expected, its scale and the score (NaN: no score).
        peers, peers_value
            How many others were observed in the same bar and what they showed; told with the
            peak. None: no others are known.

        Returns
        -------
        RunEvents
            In the order of the rows that closed them.

        Raises
        ------
        ValueError
            If a shape, a type or a series number does not fit; the states are then untouched.
        """
        name = "exceedance runs"
        check_states(name, states, WIDTH)
        rows = series_rows(name, series, len(states))
        if peers is None or peers_value is None:
            peers, peers_value = np.zeros(len(rows)), np.full(len(rows), np.nan)
        given = {
            "time_us": time_us, "value": value, "expected": expected, "scale": scale, "z": z,
            "peers": peers, "peers_value": peers_value,
        }  # fmt: skip
        columns = [column_rows(name, c, v, len(rows)) for c, v in given.items()]
        events = np.empty((len(rows), WIDTH))
        numbers = np.empty(len(rows), dtype=np.int64)
        count = _exceedance_runs(
            states, rows, *columns, events, numbers,
            float(self.enter), float(self.exit), self.max_bars,
        )  # fmt: skip
        return _run_events(numbers[:count], events[:count])

    def any_open(self, states: Float64, series: Int64) -> bool:
        """Tell whether any of these series is in a run: if none is, small scores change nothing."""
        return bool((states[series, _SIGN] != 0.0).any())

    def flush(self, states: Float64, series: Int64 | None = None) -> RunEvents:
        """Close the open runs: the input has ended.

        Parameters
        ----------
        states
            Shape ``(k, width)``. CHANGED IN PLACE: no run is open afterwards in those series.
        series
            The series to close, each once; all of them by default.

        Returns
        -------
        RunEvents
            In ascending order of start, then of series.
        """
        check_states("exceedance runs", states, WIDTH)
        among = np.arange(len(states)) if series is None else np.unique(series)
        among = series_rows("exceedance runs", among, len(states))
        open_ = among[states[among, _SIGN] != 0]
        order = open_[np.lexsort((open_, states[open_, _START]))]
        events = states[order]
        states[order] = 0.0
        return _run_events(order, events)


def _run_events(numbers: Int64, events: Float64) -> RunEvents:
    return RunEvents(
        series=numbers.copy(),
        start_us=events[:, _START].astype(np.int64),
        end_us=events[:, _END].astype(np.int64),
        value=events[:, _VALUE].copy(),
        expected=events[:, _EXPECTED].copy(),
        scale=events[:, _SCALE].copy(),
        score=events[:, _SCORE].copy(),
        bars=events[:, _BARS].astype(np.int64),
        peers=events[:, _PEERS].astype(np.int64),
        peers_value=events[:, _PEERS_VALUE].copy(),
    )


def severity(score: Float64, medium: float = 6.0, high: float = 10.0) -> npt.NDArray[np.str_]:
    """Name scores: ``low`` below ``medium``, then ``medium``, and ``high`` from ``high`` on.

    Parameters
    ----------
    score
        Scores of either sign, any shape; never NaN (a run's score is a number).
    medium, high
        Sizes of a score where the next name begins, ``medium <= high``.
    """
    size = np.abs(score)
    if np.isnan(size).any():
        msg = "severity needs scores that are numbers, and one is NaN: score runs, not bars"
        raise ValueError(msg)
    return np.where(size < medium, "low", np.where(size < high, "medium", "high"))
