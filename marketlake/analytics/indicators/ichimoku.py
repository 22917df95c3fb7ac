"""Ichimoku's lines and its cloud."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from numba import njit

from marketlake.analytics.compiled import LOOP
from marketlake.analytics.indicators.base import (
    RowKernel,
    save2,
)
from marketlake.analytics.kernel import Float64, Int64
from marketlake.analytics.windows import (
    RANGE_HEADER,
    load_window4,
    push_range,
    range_width,
    save_window4,
)


@njit(**LOOP)
def _ichimoku(
    states: Float64,
    word: int,
    series: Int64,
    starts: Int64,
    high: Float64,
    low: Float64,
    out: Float64,
    row: int,
    conversion: int,
    base: int,
    span: int,
) -> None:
    # State: three windows of extremes; then [values in the rings; cursor; ring of the leading span
    # a; ring of the leading span b], the rings of `base` values each.
    b_at = word + RANGE_HEADER + 2 * conversion
    c_at = b_at + RANGE_HEADER + 2 * base
    rings = c_at + RANGE_HEADER + 2 * span
    for run in range(series.size):
        k = series[run]
        a_full, a_pos, a_top, a_bottom = load_window4(states, k, word)
        b_full, b_pos, b_top, b_bottom = load_window4(states, k, b_at)
        c_full, c_pos, c_top, c_bottom = load_window4(states, k, c_at)
        kept, at = states[k, rings], int(states[k, rings + 1])
        for i in range(starts[run], starts[run + 1]):
            top, bottom = high[i], low[i]
            out[row, i] = out[row + 1, i] = out[row + 2, i] = out[row + 3, i] = math.nan
            if not math.isfinite(top + bottom):
                continue
            a_full, a_pos, a_top, a_bottom, highest, lowest = push_range(
                states, k, word + RANGE_HEADER, conversion,
                a_full, a_pos, a_top, a_bottom, top, bottom,
            )  # fmt: skip
            fast = 0.5 * (highest + lowest)
            b_full, b_pos, b_top, b_bottom, highest, lowest = push_range(
                states, k, b_at + RANGE_HEADER, base, b_full, b_pos, b_top, b_bottom, top, bottom
            )
            slow = 0.5 * (highest + lowest)
            c_full, c_pos, c_top, c_bottom, highest, lowest = push_range(
                states, k, c_at + RANGE_HEADER, span, c_full, c_pos, c_top, c_bottom, top, bottom
            )
            if c_full == 0.0:
                continue
            slot = rings + 2 + at
            if kept >= base:
                out[row, i], out[row + 1, i] = fast, slow
                out[row + 2, i], out[row + 3, i] = states[k, slot], states[k, slot + base]
            else:
                kept += 1.0
            states[k, slot], states[k, slot + base] = 0.5 * (fast + slow), 0.5 * (highest + lowest)
            at = at + 1 if at + 1 < base else 0
        save_window4(states, k, word, a_full, a_pos, a_top, a_bottom)
        save_window4(states, k, b_at, b_full, b_pos, b_top, b_bottom)
        save_window4(states, k, c_at, c_full, c_pos, c_top, c_bottom)
        save2(states, k, rings, kept, at)


@dataclass(frozen=True, slots=True)
class Ichimoku(RowKernel):
    """Ichimoku's lines: conversion, base, and the cloud between the spans a and b.

    Conversion and base line are the middle of the highest high and the lowest low of the last
    ``conversion`` and ``base`` bars. Span a is the mean of the two, span b the middle of the last
    ``span`` bars, both of ``base`` bars ago: the cloud as it stands over this bar. The lagging span
    is the close drawn ``base`` bars back, so it adds nothing to a row. Source: G. Hosoda, Ichimoku
    Kinko Hyo, 1969, as in StockCharts ChartSchool, Ichimoku Cloud; TA-Lib has none. Warm-up:
    ``span - 1 + base`` bars for all four. A bar whose high or low is not finite is skipped: NaN for
    that bar.

    Parameters
    ----------
    conversion, base_line, span
        Bars, at least 1, ``conversion <= base_line <= span``; 9, 26 and 52 are usual.
    """

    conversion: int
    base_line: int
    span: int
    base: ClassVar = "ichimoku"
    parts: ClassVar = tuple(f"ichimoku_{part}" for part in ("conversion", "base", "a", "b"))
    inputs: ClassVar = ("high", "low")
    loop: ClassVar = staticmethod(_ichimoku)

    def _check(self) -> None:
        if not self.conversion <= self.base_line <= self.span:
            msg = f"{self.name} needs conversion, base_line and span in ascending order"
            raise ValueError(msg)

    @property
    def width(self) -> int:
        windows = (self.conversion, self.base_line, self.span)
        return sum(range_width(window) for window in windows) + 2 + 2 * self.base_line

    @property
    def warm_up(self) -> int:
        return self.span - 1 + self.base_line
