"""What kernels with parameters have in common: names made of them, and one way to be run.

They are the indicators, over bars, and the microstructure, over quotes and trades. A compiled loop
of one has the arguments ``(states, word, series, starts, *inputs, out, row, *parameters)``: it owns
the words of ``states[k]`` from ``word`` on and fills the rows of ``out`` from ``row`` on. So a bank
hands the same two matrices to all of its kernels, and nothing is sliced, copied or compiled twice.

Rows come in runs of one series: run ``j`` is of ``series[j]``, from row ``starts[j]`` up to
``starts[j + 1]``. A loop reads the state of a series where a run begins, writes it where it ends,
and has it in registers in between.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
from numba import njit

from marketlake.analytics.compiled import LOOP
from marketlake.analytics.kernel import (
    Float64,
    Int64,
    KeyedKernel,
    require_positive,
    series_rows,
)

Loop = Callable[..., None]

_FLOAT64 = np.dtype(np.float64)
_INT64 = np.dtype(np.int64)


@dataclass(frozen=True, slots=True)
class RowKernel(KeyedKernel):
    """Base of them: a frozen dataclass whose fields are the parameters.

    Attributes
    ----------
    base
        Name without the parameters: ``macd``.
    parts
        Names of the outputs without the parameters; by default the one named ``base``.
    loop
        The compiled loop, as a static method.
    """

    base: ClassVar[str]
    parts: ClassVar[tuple[str, ...]] = ()
    loop: ClassVar[Loop]
    inputs: ClassVar[tuple[str, ...]]

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "int":
                require_positive(self.name, **{field.name: value})
            elif not 0.0 < value < np.inf:
                msg = f"{self.name} needs {field.name} above 0, not {value}"
                raise ValueError(msg)
        self._check()

    def _check(self) -> None:
        """Refuse parameters that do not fit together; each of them is positive."""

    @property
    @abstractmethod
    def width(self) -> int: ...

    @property
    @abstractmethod
    def warm_up(self) -> int: ...

    @property
    def suffix(self) -> str:
        """Parameters as they stand in names: ``_12_26_9``, ``_20_1p5``."""
        values = (getattr(self, field.name) for field in fields(self))
        texts = (str(v) if isinstance(v, int) else f"{v:g}" for v in values)
        return "".join(f"_{text}" for text in texts).replace(".", "p")

    @property
    def name(self) -> str:
        return self.base + self.suffix

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(part + self.suffix for part in self.parts or (self.base,))

    @property
    def arguments(self) -> tuple[float, ...]:
        """Parameters as the compiled loop takes them, each of the type that it stands under."""
        return tuple(
            (int if field.type == "int" else float)(getattr(self, field.name))
            for field in fields(self)
        )

    def _advance(
        self, states: Float64, series: Int64, columns: Sequence[Float64], out: Float64
    ) -> None:
        own = np.ascontiguousarray(states)
        runs = series_runs(self.name, series, len(states))
        values = (
            loop_column(self.name, name, column, len(series))
            for name, column in zip(self.inputs, columns, strict=True)
        )
        type(self).loop(own, 0, *runs, *values, out, 0, *self.arguments)
        if own is not states:
            states[...] = own


def loop_column(name: str, column: str, values: Float64, count: int) -> Float64:
    """Give a column as the compiled loops take it: float64, row after row, writable.

    The loops write to none, but they are compiled for one type only, and numba takes several
    times as long to recognise an array that is read-only (those from Arrow are): it is copied.
    """
    if not (type(values) is np.ndarray and values.dtype is _FLOAT64 and values.flags.carray):
        values = np.array(values, dtype=np.float64, order="C")
    if values.shape != (count,):
        msg = f"{name} got {column} in shape {values.shape} for {count} rows of series"
        raise ValueError(msg)
    return values


def series_runs(name: str, series: Int64, count: int) -> tuple[Int64, Int64]:
    """Cut rows into runs of one series; check that all are in ``[0, count)``.

    Returns
    -------
    tuple
        The series of each run, and where the runs start, with the number of rows as the last.
    """
    rows = series
    if not (type(rows) is np.ndarray and rows.dtype is _INT64 and rows.flags.carray):
        rows = np.array(rows, dtype=np.int64, order="C")
    if rows.ndim != 1:
        series_rows(name, rows, count)
    runs, starts = np.empty(len(rows), np.int64), np.empty(len(rows) + 1, np.int64)
    found = _cut(rows, count, runs, starts)
    if found < 0:
        series_rows(name, rows, count)
    return runs[:found], starts[: found + 1]


@njit(**LOOP)
def _cut(rows: Int64, count: int, runs: Int64, starts: Int64) -> int:
    """Write the runs and their starts; give their number, -1 where a row has no state."""
    found, held = 0, -1
    for i in range(rows.size):
        k = rows[i]
        if k != held:
            if k < 0 or k >= count:
                return -1
            runs[found] = held = k
            starts[found] = i
            found += 1
    starts[found] = rows.size
    return found


def require_at_least(name: str, least: int, **values: int) -> None:
    """Refuse a parameter below the least that makes sense."""
    for parameter, value in values.items():
        if value < least:
            msg = f"{name} needs {parameter} of at least {least}, not {value}"
            raise ValueError(msg)


@njit(forceinline=True, **LOOP)
def load2(states: Float64, k: int, word: int) -> tuple[float, float]:
    """Read two words."""
    return states[k, word], states[k, word + 1]


@njit(forceinline=True, **LOOP)
def load3(states: Float64, k: int, word: int) -> tuple[float, float, float]:
    """Read three words."""
    return states[k, word], states[k, word + 1], states[k, word + 2]


@njit(forceinline=True, **LOOP)
def load4(states: Float64, k: int, word: int) -> tuple[float, float, float, float]:
    """Read four words."""
    return states[k, word], states[k, word + 1], states[k, word + 2], states[k, word + 3]


@njit(forceinline=True, **LOOP)
def save2(states: Float64, k: int, word: int, a: float, b: float) -> None:
    """Write two words."""
    states[k, word], states[k, word + 1] = a, b


@njit(forceinline=True, **LOOP)
def save3(states: Float64, k: int, word: int, a: float, b: float, c: float) -> None:
    """Write three words."""
    states[k, word], states[k, word + 1], states[k, word + 2] = a, b, c


@njit(forceinline=True, **LOOP)
def save4(states: Float64, k: int, word: int, a: float, b: float, c: float, d: float) -> None:
    """Write four words."""
    states[k, word], states[k, word + 1] = a, b
    states[k, word + 2], states[k, word + 3] = c, d


@njit(forceinline=True, **LOOP)
def averaged(count: float, average: float, x: float, span: int, alpha: float) -> float:
    """Take a value into an exponential average that starts from the mean of the first ``span``.

    ``count`` is how many values there were before; the result is their sum while there are fewer
    than ``span`` with this one, then the average. With ``alpha = 1 / span`` it is Wilder's.
    """
    if count >= span:
        return average + alpha * (x - average)
    total = average + x
    return total / span if count + 1.0 >= span else total
