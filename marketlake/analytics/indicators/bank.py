"""All indicators of a pipeline in one call, over one matrix of states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from marketlake.analytics.indicators.base import Loop, RowKernel, loop_column, series_runs
from marketlake.analytics.indicators.registry import DEFAULT
from marketlake.analytics.indicators.registry import columns as columns_of
from marketlake.analytics.kernel import Float64, Int64, check_states

Call = tuple[Loop, int, tuple[int, ...], int, tuple[float, ...]]
"""A compiled loop, its first word, which inputs it takes, its first row, its parameters."""


@dataclass(frozen=True)
class IndicatorBank:
    """Several kernels side by side: each has its stretch of the columns of the states.

    Parameters
    ----------
    kernels
        In the order of their columns and of their words of state; names of outputs are unique.

    Raises
    ------
    ValueError
        If two kernels give a column of the same name.
    """

    kernels: tuple[RowKernel, ...] = DEFAULT

    def __post_init__(self) -> None:
        twice = {column for column in self.columns if self.columns.count(column) > 1}
        if twice:
            msg = f"the kernels of a bank give these columns more than once: {sorted(twice)}"
            raise ValueError(msg)

    @cached_property
    def width(self) -> int:
        """Words of state for one series: the kernels' together."""
        return sum(kernel.width for kernel in self.kernels)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Columns of the bars that the kernels take, each once, in order of first use."""
        return tuple(dict.fromkeys(name for kernel in self.kernels for name in kernel.inputs))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Columns that ``step`` gives, in order."""
        return columns_of(self.kernels)

    @cached_property
    def _height(self) -> int:
        return len(self.columns)

    @cached_property
    def _calls(self) -> tuple[Call, ...]:
        calls: list[Call] = []
        word = row = 0
        for kernel in self.kernels:
            taken = tuple(self.inputs.index(name) for name in kernel.inputs)
            calls.append((type(kernel).loop, word, taken, row, kernel.arguments))
            word += kernel.width
            row += len(kernel.outputs)
        return tuple(calls)

    def initial(self) -> Float64:
        """State, shape ``(width,)``, of a series that has seen nothing."""
        return np.concatenate([np.empty(0), *(kernel.initial() for kernel in self.kernels)])

    def step(self, states: Float64, series: Int64, bars: Mapping[str, Float64]) -> Float64:
        """Take bars of many series, update ``states`` in place and return all indicators.

        Everything is checked once, then each compiled loop is called on the arrays as they are.

        Parameters
        ----------
        states
            Shape ``(k, width)``, float64, writable, row after row in memory. CHANGED IN PLACE.
        series
            Shape ``(n,)``: bar ``i`` belongs to series ``series[i]``, in ``[0, k)``. The bars of
            one series are in order of their open time.
        bars
            The columns named by ``inputs``, each of shape ``(n,)``; others are ignored.

        Returns
        -------
        Float64
            Shape ``(len(columns), n)``, NaN where a kernel has no value.

        Raises
        ------
        ValueError
            If a shape, a type or a series number does not fit, or a column is missing; the states
            are then untouched.
        """
        runs, starts = self._runs(states, series)
        count = len(series)
        values = self._values(bars, count)
        out = np.empty((self._height, count))
        for loop, word, taken, row, arguments in self._calls:
            loop(states, word, runs, starts, *[values[j] for j in taken], out, row, *arguments)
        return out

    def peek(self, states: Float64, series: Int64, bars: Mapping[str, Float64]) -> Float64:
        """Give the indicators of unfinished bars, as if they ended now, and leave ``states`` be.

        Each row is a bar of its own on top of the closed bars of its series, so the same bar may be
        asked about again and again while trades come in, early or late: :meth:`step` takes it once,
        when it is closed.

        Parameters
        ----------
        states, series, bars
            As for :meth:`step`; rows of one series are versions of the same bar.

        Returns
        -------
        Float64
            Shape ``(len(columns), n)``: what ``step`` would give for each row alone.

        Raises
        ------
        ValueError
            As :meth:`step`.
        """
        self._runs(states, series)
        return self.step(states[series], np.arange(len(series)), bars)

    def _runs(self, states: Float64, series: Int64) -> tuple[Int64, Int64]:
        if not states.flags.carray or states.dtype != np.float64 or states.ndim != 2:
            check_states("the bank", states, self.width)
            raise ValueError("the bank needs states that lie row after row in memory")
        if states.shape[1] != self.width:
            check_states("the bank", states, self.width)
        return series_runs("the bank", series, len(states))

    def _values(self, bars: Mapping[str, Float64], count: int) -> list[Float64]:
        try:
            return [loop_column("the bank", name, bars[name], count) for name in self.inputs]
        except KeyError:
            missing = [name for name in self.inputs if name not in bars]
            msg = f"the bars lack the columns {missing}, which the indicators take"
            raise ValueError(msg) from None
