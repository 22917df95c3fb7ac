"""Keyed kernels: calculations as folds over the interleaved rows of many series.

A kernel keeps one row of float64 words for each series (a venue, instrument, interval and origin)
and takes rows of all series in one call. However the rows are cut into calls (one at a time, empty
calls, other series in between, the state written to bytes and read back), outputs and states are
the same bit for bit: a word of state depends on the rows of its own series and on nothing else.

NaN rule of every kernel here: a row with an input that is not finite gives NaN and leaves the
state as it was, unless the kernel says otherwise. NaN also stands for "still warming up"; tables
write it as null.

Where a loop keeps the words of the series at hand in locals, it writes them back when a row of
another series comes: a series alone then runs at the speed of registers, and mixed ones lose
nothing. No fastmath, so that each row is the same operations whatever is around it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

STATE_DTYPE = np.dtype("<f8")
"""A word of state on disk, whatever the processor: a little-endian IEEE double."""


class Kernel(Protocol):
    """What a caller may ask of a keyed kernel."""

    @property
    def name(self) -> str:
        """Name in the registry, parameters included: ``macd_12_26_9``."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns that ``step`` takes, in order."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Columns that ``step`` gives, in order."""

    @property
    def width(self) -> int:
        """Words of state for one series."""

    @property
    def warm_up(self) -> int:
        """Rows of a series that give NaN before its first value."""

    def initial(self) -> Float64:
        """State, shape ``(width,)``, of a series that has seen nothing."""

    def step(self, states: Float64, series: Int64, *columns: Float64) -> Float64:
        """Take the rows and give the outputs; see :meth:`KeyedKernel.step`."""


class KeyedKernel(ABC):
    """Base of the kernels: checks the arrays, then hands them to the compiled loop."""

    __slots__ = ()

    @property
    @abstractmethod
    def name(self) -> str: ...

    @property
    @abstractmethod
    def inputs(self) -> tuple[str, ...]: ...

    @property
    @abstractmethod
    def outputs(self) -> tuple[str, ...]: ...

    @property
    @abstractmethod
    def width(self) -> int: ...

    @property
    @abstractmethod
    def warm_up(self) -> int: ...

    @abstractmethod
    def _advance(
        self, states: Float64, series: Int64, columns: Sequence[Float64], out: Float64
    ) -> None:
        """Update ``states`` and fill ``out``, shape ``(len(outputs), n)``."""

    def initial(self) -> Float64:
        return np.zeros(self.width)

    def step(self, states: Float64, series: Int64, *columns: Float64) -> Float64:
        """Take ``n`` rows, update ``states`` in place and return the outputs.

        Parameters
        ----------
        states
            Shape ``(k, width)``, float64, writable; row ``j`` is the state of series ``j``.
            A slice of the columns of a wider matrix will do. CHANGED IN PLACE.
        series
            Shape ``(n,)``: row ``i`` belongs to series ``series[i]``, in ``[0, k)``. The rows of
            one series are in bar order; those of different series may be mixed anyhow.
        columns
            The arrays named by ``inputs``, each of shape ``(n,)``.

        Returns
        -------
        Float64
            Shape ``(len(outputs), n)``; NaN while warming up and where an input is missing.

        Raises
        ------
        ValueError
            If a shape, a type or a series number does not fit; the states are then untouched.
        """
        if len(columns) != len(self.inputs):
            msg = f"{self.name} takes the columns {self.inputs}, not {len(columns)} arrays"
            raise ValueError(msg)
        check_states(self.name, states, self.width)
        rows = series_rows(self.name, series, len(states))
        values = [
            column_rows(self.name, c, v, len(rows))
            for c, v in zip(self.inputs, columns, strict=True)
        ]
        out = np.empty((len(self.outputs), len(rows)))
        self._advance(states, rows, values, out)
        return out


def fold(kernel: Kernel, state: Float64, *columns: Float64) -> tuple[Float64, Float64]:
    """Run a kernel over the rows of one series without touching the state given.

    Parameters
    ----------
    kernel
        Any keyed kernel.
    state
        Shape ``(width,)``: ``kernel.initial()`` or the state that an earlier call returned.
    columns
        The arrays named by ``kernel.inputs``, each of shape ``(n,)``.

    Returns
    -------
    tuple
        The new state, shape ``(width,)``, and the outputs, shape ``(len(outputs), n)``.

    Examples
    --------
    >>> from marketlake.analytics.indicators.averages import Sma
    >>> sma = Sma(2)
    >>> state, out = fold(sma, sma.initial(), np.array([1.0, 3.0]))
    >>> out
    array([[nan,  2.]])
    >>> fold(sma, state, np.array([5.0]))[1]
    array([[4.]])
    """
    states = np.array(state, dtype=np.float64, ndmin=2)
    rows = len(columns[0]) if columns else 0
    out = kernel.step(states, np.zeros(rows, dtype=np.int64), *columns)
    return states[0], out


def initial_states(initial: Float64, series: int) -> Float64:
    """Give a writable matrix, shape ``(series, width)``, with ``initial`` in every row."""
    return np.tile(initial, (series, 1))


def states_to_bytes(states: Float64) -> bytes:
    """Write states, row after row, as raw little-endian doubles: 8 bytes a word."""
    return states.astype(STATE_DTYPE, copy=False).tobytes(order="C")


def states_from_bytes(data: bytes, width: int) -> Float64:
    """Read what :func:`states_to_bytes` wrote, as a writable matrix of shape ``(k, width)``.

    Raises
    ------
    ValueError
        If the bytes are not a whole number of rows: written by a kernel of another width.
    """
    row_bytes = width * STATE_DTYPE.itemsize
    if len(data) % row_bytes:
        msg = (
            f"{len(data)} bytes of state are not a whole number of rows of {width} words: "
            "they were written by another version of the kernel; rebuild the state"
        )
        raise ValueError(msg)
    return np.frombuffer(data, dtype=STATE_DTYPE).reshape(-1, width).astype(np.float64)


def check_states(name: str, states: Float64, width: int) -> None:
    """Refuse a matrix of states that a compiled loop could not update in place."""
    if states.dtype != np.float64 or states.ndim != 2 or states.shape[1] != width:
        msg = (
            f"{name} needs states of shape (k, {width}) in float64, "
            f"not {states.shape} in {states.dtype}"
        )
        raise ValueError(msg)
    if not states.flags.writeable:
        msg = f"{name} updates its states in place, and these are read-only: pass a copy"
        raise ValueError(msg)


def series_rows(name: str, series: Int64, count: int) -> Int64:
    """Give the series numbers as a read-only int64 array, all of them in ``[0, count)``.

    The compiled loops do not check their indices, so this is where a wrong one is caught.
    """
    rows = np.ascontiguousarray(series, dtype=np.int64).view()
    rows.flags.writeable = False
    if rows.ndim != 1:
        msg = f"{name} needs the series as a vector, not in shape {rows.shape}"
        raise ValueError(msg)
    if rows.size and (rows.min() < 0 or rows.max() >= count):
        msg = f"{name} got series {rows.min()} to {rows.max()}, but has states for 0 to {count - 1}"
        raise ValueError(msg)
    return rows


def column_rows(name: str, column: str, values: npt.ArrayLike, count: int) -> Float64:
    """Give a column as a read-only float64 vector of ``count`` rows.

    Read-only whether or not the caller's array is (arrays that come from Arrow are), so that
    each loop is compiled for one type only.
    """
    rows = np.ascontiguousarray(values, dtype=np.float64).view()
    rows.flags.writeable = False
    if rows.shape != (count,):
        msg = f"{name} got {column} in shape {rows.shape} for {count} rows of series"
        raise ValueError(msg)
    return rows


def require_positive(name: str, **values: float) -> None:
    """Refuse a parameter below 1: windows, spans and intervals count something."""
    for parameter, value in values.items():
        if value < 1:
            msg = f"{name} needs {parameter} of at least 1, not {value}"
            raise ValueError(msg)
