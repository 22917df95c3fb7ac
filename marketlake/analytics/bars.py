"""Time bars: from trades, and from finer bars, as keyed folds.

A bar of ``interval_us`` holds what happened in ``[open_time, open_time + interval_us)``, open times
being multiples of the interval since the epoch. A bar exists only where something happened: a
quiet interval leaves a gap. It is closed by the first row of its series in a later interval, or by
``advance`` once the watermark has passed its end, whichever comes first; the bar is the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from marketlake.analytics.kernel import (
    Bool,
    Float64,
    Int64,
    check_states,
    column_rows,
    require_positive,
    series_rows,
)

# Words of a state: the open bar, and the time before which all is closed: the start of the open
# bar, or the end of the last one while none is open.
_OPEN_TIME, _OPEN, _HIGH, _LOW, _CLOSE, _VOLUME, _QUOTE_VOLUME, _TRADE_COUNT, _CLOSED_TO = range(9)
WIDTH = 9
NO_BAR = -1.0
"""Open time in a state that holds no open bar."""
TIME_LIMIT_US = float(2**52)
"""Below this (the year 2112) the floor of a time over an interval is exact in float64: the quotient
just under a whole number is at least one part in 2**52 away from it."""


@dataclass(frozen=True, slots=True, eq=False)
class ClosedBars:
    """Bars that are complete, as columns of one length.

    Parameters
    ----------
    series
        Number of the series, int64.
    open_time_us
        Start of the interval, microseconds since the epoch, int64.
    open, high, low, close
        Prices.
    volume, quote_volume
        Sums of the quantity and of price times quantity; NaN where a finer bar did not tell.
    trade_count
        Trades: whole numbers in float64, NaN where a finer bar did not tell.
    """

    series: Int64
    open_time_us: Int64
    open: Float64
    high: Float64
    low: Float64
    close: Float64
    volume: Float64
    quote_volume: Float64
    trade_count: Float64

    def __len__(self) -> int:
        return len(self.series)


def vwap(quote_volume: Float64, volume: Float64) -> Float64:
    """Volume-weighted average price of bars: ``quote_volume / volume``.

    NaN where the volume is 0 or either is missing.
    """
    traded = np.asarray(volume, dtype=np.float64) > 0
    result = np.full(np.shape(volume), np.nan)
    np.divide(quote_volume, volume, out=result, where=traded)
    return result


@njit(cache=True, nogil=True, error_model="numpy")
def _late(states: Float64, series: Int64, time_us: Float64, interval: float, late: Bool) -> None:
    reached = states[:, _CLOSED_TO].copy()
    for i in range(series.size):
        start = np.floor(time_us[i] / interval) * interval
        late[i] = start < reached[series[i]]
        if not late[i]:
            reached[series[i]] = start


@njit(cache=True, nogil=True, error_model="numpy")
def _roll(
    states: Float64,
    series: Int64,
    time_us: Float64,
    open_: Float64,
    high: Float64,
    low: Float64,
    close: Float64,
    volume: Float64,
    quote_volume: Float64,
    trade_count: Float64,
    interval: float,
    bars: Float64,
    numbers: Int64,
) -> int:
    count = 0
    for i in range(series.size):
        k = series[i]
        start = np.floor(time_us[i] / interval) * interval
        if states[k, _OPEN_TIME] == start:
            states[k, _HIGH] = max(states[k, _HIGH], high[i])
            states[k, _LOW] = min(states[k, _LOW], low[i])
            states[k, _CLOSE] = close[i]
            states[k, _VOLUME] += volume[i]
            states[k, _QUOTE_VOLUME] += quote_volume[i]
            states[k, _TRADE_COUNT] += trade_count[i]
            continue
        if states[k, _OPEN_TIME] != NO_BAR:
            numbers[count] = k
            for word in range(_CLOSED_TO):
                bars[count, word] = states[k, word]
            count += 1
        states[k, _OPEN_TIME] = states[k, _CLOSED_TO] = start
        states[k, _OPEN] = open_[i]
        states[k, _HIGH] = high[i]
        states[k, _LOW] = low[i]
        states[k, _CLOSE] = close[i]
        states[k, _VOLUME] = volume[i]
        states[k, _QUOTE_VOLUME] = quote_volume[i]
        states[k, _TRADE_COUNT] = trade_count[i]
    return count


@dataclass(frozen=True, slots=True)
class _Bars:
    """What bars from trades and from finer bars have in common.

    Parameters
    ----------
    interval_us
        Length of a bar in microseconds, at least 1.
    """

    interval_us: int

    def __post_init__(self) -> None:
        require_positive("bars", interval_us=self.interval_us)

    @property
    def width(self) -> int:
        """Words of state for one series."""
        return WIDTH

    def initial(self) -> Float64:
        """State, shape ``(width,)``, of a series without a bar."""
        state = np.zeros(WIDTH)
        state[_OPEN_TIME] = NO_BAR
        return state

    def late(self, states: Float64, series: Int64, time_us: Int64) -> Bool:
        """Find the rows that come too late for their bar; ``step`` refuses them.

        A row is late when its bar is closed, or when its series has gone on to a later bar, in
        the states or earlier among these rows. Nothing is changed. Within the open bar there is
        no late: rows are taken in the order in which they stand.

        Returns
        -------
        Bool
            Shape ``(n,)``.
        """
        check_states("bars", states, WIDTH)
        rows = series_rows("bars", series, len(states))
        times = column_rows("bars", "time_us", time_us, len(rows))
        late = np.empty(len(rows), dtype=np.bool_)
        _late(states, rows, times, float(self.interval_us), late)
        return late

    def advance(self, states: Float64, watermark_us: int) -> ClosedBars:
        """Close every open bar that ends at or before the watermark.

        Parameters
        ----------
        states
            Shape ``(k, width)``. CHANGED IN PLACE.
        watermark_us
            Microseconds since the epoch: no row before it is still to come.

        Returns
        -------
        ClosedBars
            In ascending order of open time, then of series.
        """
        check_states("bars", states, WIDTH)
        ends = states[:, _OPEN_TIME] + self.interval_us
        due = np.flatnonzero((states[:, _OPEN_TIME] != NO_BAR) & (ends <= watermark_us))
        due = due[np.lexsort((due, states[due, _OPEN_TIME]))]
        closed = _closed_bars(due, states[due])
        states[due] = self.initial()
        states[due, _CLOSED_TO] = ends[due]
        return closed

    def _step(
        self, states: Float64, series: Int64, time_us: Int64, columns: dict[str, Float64]
    ) -> ClosedBars:
        times = column_rows("bars", "time_us", time_us, len(series))
        if times.size and not (times.min() >= 0 and times.max() < TIME_LIMIT_US):
            msg = (
                f"bars need times in microseconds from 0 to 2**52, not {times.min():.0f} to "
                f"{times.max():.0f}: are they in another unit?"
            )
            raise ValueError(msg)
        late = self.late(states, series, time_us)
        if late.any():
            row = int(late.argmax())
            msg = (
                f"{int(late.sum())} of {len(late)} rows belong to bars that are closed, first row "
                f"{row} (series {series[row]}, time {time_us[row]} us): put the rows of a series "
                "in order of time and take out those that late() marks"
            )
            raise ValueError(msg)
        rows = series_rows("bars", series, len(states))
        values = [column_rows("bars", c, v, len(rows)) for c, v in columns.items()]
        bars = np.empty((len(rows), _CLOSED_TO))
        numbers = np.empty(len(rows), dtype=np.int64)
        interval = float(self.interval_us)
        count = _roll(states, rows, times, *values, interval, bars, numbers)
        return _closed_bars(numbers[:count], bars[:count])


class TimeBars(_Bars):
    """Bars from trades."""

    __slots__ = ()

    def step(
        self, states: Float64, series: Int64, time_us: Int64, price: Float64, quantity: Float64
    ) -> ClosedBars:
        """Take ``n`` trades and give the bars that they close.

        Parameters
        ----------
        states
            Shape ``(k, width)``, float64, writable. CHANGED IN PLACE.
        series
            Shape ``(n,)``: trade ``i`` belongs to series ``series[i]``, in ``[0, k)``.
        time_us
            Event time in microseconds since the epoch, from 0 to ``2**52``; ascending within a
            series.
        price, quantity
            Finite; the quantity in the base currency.

        Returns
        -------
        ClosedBars
            In the order of the trades that closed them.

        Raises
        ------
        ValueError
            If a trade is late (see :meth:`late`), a price or quantity is not finite, or a shape,
            a type or a series number does not fit; the states are then untouched.
        """
        price = column_rows("bars", "price", price, len(series))
        quantity = column_rows("bars", "quantity", quantity, len(series))
        if not (np.isfinite(price).all() and np.isfinite(quantity).all()):
            msg = "bars need trades with finite price and quantity: quarantine the others before"
            raise ValueError(msg)
        columns = dict.fromkeys(("open", "high", "low", "close"), price)
        columns |= {
            "volume": quantity,
            "quote_volume": price * quantity,
            "trade_count": np.ones(len(series)),
        }
        return self._step(states, series, time_us, columns)


class RollupBars(_Bars):
    """Bars from closed bars of a finer interval, which divides this one."""

    __slots__ = ()

    def step(
        self,
        states: Float64,
        series: Int64,
        open_time_us: Int64,
        open: Float64,  # noqa: A002 - the column's name
        high: Float64,
        low: Float64,
        close: Float64,
        volume: Float64,
        quote_volume: Float64,
        trade_count: Float64,
    ) -> ClosedBars:
        """Take ``n`` finer bars and give the bars that they close.

        Parameters
        ----------
        states
            Shape ``(k, width)``, float64, writable. CHANGED IN PLACE.
        series
            Shape ``(n,)``: bar ``i`` belongs to series ``series[i]``, in ``[0, k)``.
        open_time_us
            Open time of the finer bars, ascending within a series.
        open, high, low, close
            Finite prices.
        volume, quote_volume, trade_count
            NaN where unknown, which makes the sum of the bar unknown.

        Returns
        -------
        ClosedBars
            In the order of the finer bars that closed them.

        Raises
        ------
        ValueError
            If a bar is late (see :meth:`late`), a price is not finite, or a shape, a type or a
            series number does not fit; the states are then untouched.
        """
        prices = {"open": open, "high": high, "low": low, "close": close}
        if not all(np.isfinite(price).all() for price in prices.values()):
            msg = "bars need finer bars with finite prices: quarantine the others before"
            raise ValueError(msg)
        sums = {"volume": volume, "quote_volume": quote_volume, "trade_count": trade_count}
        return self._step(states, series, open_time_us, prices | sums)


def _closed_bars(numbers: Int64, bars: Float64) -> ClosedBars:
    return ClosedBars(
        series=numbers.astype(np.int64),
        open_time_us=bars[:, _OPEN_TIME].astype(np.int64),
        open=bars[:, _OPEN].copy(),
        high=bars[:, _HIGH].copy(),
        low=bars[:, _LOW].copy(),
        close=bars[:, _CLOSE].copy(),
        volume=bars[:, _VOLUME].copy(),
        quote_volume=bars[:, _QUOTE_VOLUME].copy(),
        trade_count=bars[:, _TRADE_COUNT].copy(),
    )
