"""Fewer points for the same picture: the extremes of each stretch of time stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import duckdb

POINTS_MAX: Final = 2_000
"""Points that one line of a plot holds at most."""

# A bucket gives four rows: first, lowest, highest, last ("M4", Jugel et al., VLDB 2014), so a
# line over them touches every extreme. A short series keeps each of its points.
_M4: Final = """
WITH points AS ({points}),
finite AS (SELECT series, x, y FROM points WHERE isfinite(y)),
extent AS (SELECT min(epoch_us(x)) AS first_us, max(epoch_us(x)) AS last_us FROM finite),
placed AS (
    SELECT series, x, y,
           CASE WHEN count(*) OVER (PARTITION BY series) <= {limit}
                THEN row_number() OVER (PARTITION BY series ORDER BY x)
                ELSE (epoch_us(x) - first_us) * {buckets} // (last_us - first_us + 1)
           END AS bucket
    FROM finite, extent),
extremes AS (
    SELECT series, unnest([
        {{'x': min(x), 'y': arg_min(y, x)}}, {{'x': arg_min(x, y), 'y': min(y)}},
        {{'x': arg_max(x, y), 'y': max(y)}}, {{'x': max(x), 'y': arg_max(y, x)}}]) AS point
    FROM placed GROUP BY series, bucket)
SELECT DISTINCT series, epoch_ms(point.x) AS x_ms, point.y AS y
FROM extremes ORDER BY series, x_ms, y
"""


@dataclass(frozen=True)
class Line:
    """One line of a plot.

    Attributes
    ----------
    x_ms : list of int
        Milliseconds since the epoch, ascending.
    y : list of float or None
        None breaks the line.
    """

    name: str
    x_ms: list[int]
    y: list[float | None]


def read_lines(
    connection: duckdb.DuckDBPyConnection,
    points: str,
    parameters: Sequence[Any] | Mapping[str, Any] = (),
    *,
    limit: int = POINTS_MAX,
    break_after_ms: int | None = None,
) -> list[Line]:
    """Read lines, each of at most ``limit`` points, with every extreme they have.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    points : str
        A query with the columns ``series`` (text), ``x`` (timestamp) and ``y`` (number). Values
        that are null, NaN or infinite are left out.
    parameters : sequence or mapping
        Parameters of the query.
    limit : int
        Points a line, 4 or more.
    break_after_ms : int, optional
        A longer stretch without points breaks the line, so that a gap does not look like data;
        never shorter than three of the stretches that points are drawn together from.

    Returns
    -------
    list of Line
        By name.
    """
    buckets = max(1, limit // 4)
    sql = _M4.format(points=points, limit=limit, buckets=buckets)
    lines: dict[str, Line] = {}
    for series, x_ms, y in connection.execute(sql, parameters).fetchall():
        line = lines.setdefault(series, Line(series, [], []))
        line.x_ms.append(x_ms)
        line.y.append(y)
    if break_after_ms is None or not lines:
        return list(lines.values())
    extent = max(line.x_ms[-1] for line in lines.values()) - min(
        line.x_ms[0] for line in lines.values()
    )
    longest_ms = max(break_after_ms, 3 * extent // buckets)
    return [_broken(line, longest_ms) for line in lines.values()]


def _broken(line: Line, longest_ms: int) -> Line:
    x_ms: list[int] = []
    y: list[float | None] = []
    for at_ms, value in zip(line.x_ms, line.y, strict=True):
        if x_ms and at_ms - x_ms[-1] > longest_ms:
            x_ms.append(x_ms[-1] + 1)
            y.append(None)
        x_ms.append(at_ms)
        y.append(value)
    return Line(line.name, x_ms, y)
