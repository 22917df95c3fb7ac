"""What the other venues did in the same bar."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import njit

from marketlake.analytics.kernel import Bool, Float64, Int64


@njit(cache=True, nogil=True, error_model="numpy")
def _median_of_others(values: Float64, begin: int, end: int, me: int, buffer: Float64) -> int:
    """Leave the finite values of ``begin`` to ``end`` but ``me`` in ``buffer``, ascending."""
    count = 0
    for j in range(begin, end):
        if j == me or not math.isfinite(values[j]):
            continue
        at = count
        while at > 0 and buffer[at - 1] > values[j]:
            buffer[at] = buffer[at - 1]
            at -= 1
        buffer[at] = values[j]
        count += 1
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _peer_values(
    group: Int64, time_us: Int64, asked: Bool, values: Float64, counts: Float64, medians: Float64
) -> None:
    n = group.size
    buffer = np.empty(n)
    begin = 0
    while begin < n:
        end = begin + 1
        while end < n and group[end] == group[begin] and time_us[end] == time_us[begin]:
            end += 1
        for i in range(begin, end):
            if not asked[i]:
                continue
            for m in range(values.shape[0]):
                count = _median_of_others(values[m], begin, end, i, buffer)
                counts[m, i] = count
                if count:
                    half = count // 2
                    medians[m, i] = buffer[half]
                    if count % 2 == 0:
                        medians[m, i] = 0.5 * buffer[half - 1] + 0.5 * buffer[half]
        begin = end


def peer_values(
    group: Int64, time_us: Int64, asked: npt.NDArray[np.bool_], values: Float64
) -> tuple[Float64, Float64]:
    """Give, for the rows asked for, the median of the others of the same group and time.

    The rows of one group and time must all be here: a caller that gives the bars up to a watermark
    does. Rows not asked for cost next to nothing, so ask for those that are part of an event.

    Parameters
    ----------
    group
        Shape ``(n,)``: rows of one group are comparable, one instrument's on several venues.
    time_us
        Shape ``(n,)``: time of each row.
    asked
        Shape ``(n,)``: rows to answer for.
    values
        Shape ``(m, n)``: several metrics of each row; a value that is not finite is no
        observation.

    Returns
    -------
    tuple
        How many others there are and their median, each of shape ``(m, n)``: 0 and NaN where
        there are none, and in rows not asked for.
    """
    counts = np.zeros(values.shape)
    medians = np.full(values.shape, np.nan)
    if not asked.any():
        return counts, medians
    near = np.flatnonzero(np.isin(time_us, np.unique(time_us[asked])))
    order = near[np.lexsort((time_us[near], group[near]))]
    some_counts = np.zeros((len(values), order.size))
    some_medians = np.full((len(values), order.size), np.nan)
    _peer_values(
        group[order], time_us[order], asked[order],
        np.ascontiguousarray(values[:, order]), some_counts, some_medians,
    )  # fmt: skip
    counts[:, order], medians[:, order] = some_counts, some_medians
    return counts, medians
