"""All indicators of a pipeline in one call, over one matrix of states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from marketlake.analytics.indicators.registry import DEFAULT
from marketlake.analytics.indicators.registry import columns as columns_of
from marketlake.analytics.kernel import Float64, Int64, Kernel, check_states


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

    kernels: tuple[Kernel, ...] = DEFAULT

    def __post_init__(self) -> None:
        twice = {column for column in self.columns if self.columns.count(column) > 1}
        if twice:
            msg = f"the kernels of a bank give these columns more than once: {sorted(twice)}"
            raise ValueError(msg)

    @property
    def width(self) -> int:
        """Words of state for one series: the kernels' together."""
        return sum(kernel.width for kernel in self.kernels)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns of the bars that the kernels take, each once, in order of first use."""
        return tuple(dict.fromkeys(name for kernel in self.kernels for name in kernel.inputs))

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that ``step`` gives, in order."""
        return columns_of(self.kernels)

    def initial(self) -> Float64:
        """State, shape ``(width,)``, of a series that has seen nothing."""
        return np.concatenate([np.empty(0), *(kernel.initial() for kernel in self.kernels)])

    def step(self, states: Float64, series: Int64, bars: Mapping[str, Float64]) -> Float64:
        """Take bars of many series, update ``states`` in place and return all indicators.

        Parameters
        ----------
        states
            Shape ``(k, width)``, float64, writable. CHANGED IN PLACE.
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
        check_states("the bank", states, self.width)
        missing = [name for name in self.inputs if name not in bars]
        if missing:
            msg = f"the bars lack the columns {missing}, which the indicators take"
            raise ValueError(msg)
        lengths = {name: np.shape(bars[name]) for name in self.inputs}
        wrong = {name: shape for name, shape in lengths.items() if shape != np.shape(series)}
        if wrong:
            msg = f"these columns do not have the {len(series)} rows of series: {wrong}"
            raise ValueError(msg)
        out = np.empty((len(self.columns), len(series)))
        word = row = 0
        for kernel in self.kernels:
            part = states[:, word : word + kernel.width]
            values = kernel.step(part, series, *(bars[name] for name in kernel.inputs))
            out[row : row + len(values)] = values
            word += kernel.width
            row += len(values)
        return out
