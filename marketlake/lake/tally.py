"""Two lakes in figures: rows, sums and content by table, day, venue and instrument.

Rows are compared as :mod:`marketlake.lake.compare` does, but for the two ways in which floats of
equal value differ; what is told is where they differ, in how many rows, and which sums moved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import duckdb

from marketlake.contracts.tables import BRONZE_EVENTS, Table
from marketlake.lake.compare import EVENTS_OF_ANY_CUT
from marketlake.lake.errors import LakeError
from marketlake.lake.query import open_lake
from marketlake.lake.storage import Storage

_SUMS: Final[Mapping[str, Mapping[str, str]]] = {
    "silver.trades": {"quantity": "quantity", "notional": "price * quantity"},
    "silver.quotes": {"bid": "bid_price * bid_quantity", "ask": "ask_price * ask_quantity"},
    "silver.bars": {"volume": "volume"},
    "gold.bars": {"volume": "volume", "quote_volume": "quote_volume", "trades": "trade_count"},
    "gold.indicators": {"close": "close"},
    "gold.anomalies": {"score": "abs(score)"},
    "gold.spreads": {"notional": "notional", "net_bps": "net_bps"},
    "gold.triangles": {"quantity": "quantity", "net_bps": "net_bps"},
    "gold.basis": {"basis_bps": "basis_bps"},
}
"""The sums that matter, by table."""

_VENUE: Final = ("venue", "buy_venue", "topic")
_INSTRUMENT: Final = ("instrument", "buy_instrument", "cycle", "base", "partition")
"""Columns that name the venue and the instrument of a row; the first that a table has counts."""

_SAME: Final = 1e-9
"""Sums are taken in any order: a difference of this part of them is none."""

_NOTHING: Final = (0, 0, ())

_Key = tuple[str, str, str]
_Figures = dict[_Key, tuple[int, int, tuple[float, ...]]]


@dataclass(frozen=True)
class TallyDifference:
    """A group of rows that is not the same in both lakes.

    Attributes
    ----------
    day : str
        UTC, as ``YYYY-MM-DD``.
    old_rows, new_rows : int
        Rows of the group on each side.
    what : str
        Sums that moved; ``content`` where only other columns differ.
    """

    table: str
    day: str
    venue: str
    instrument: str
    old_rows: int
    new_rows: int
    what: str


@dataclass(frozen=True)
class Tally:
    """One table of both lakes.

    Attributes
    ----------
    old_rows, new_rows, groups : int
        Rows that were compared, and the groups that they fall into.
    added, gone : tuple of str
        Columns that only the new lake has, or only the old one: not compared.
    """

    table: str
    old_rows: int
    new_rows: int
    groups: int
    added: tuple[str, ...]
    gone: tuple[str, ...]
    differences: list[TallyDifference]


def tally(
    old: Storage,
    new: Storage,
    tables: Iterable[Table],
    rest: Callable[[Table], str] = lambda _table: "true",
) -> list[Tally]:
    """Compare tables of two lakes, but for what the wall clock or the cut into batches decides.

    Parameters
    ----------
    rest : callable
        SQL condition of the rows of a table that are compared.

    Raises
    ------
    LakeError
        If a lake cannot be read.
    """
    with open_lake(old) as left, open_lake(new) as right:
        try:
            return [_tally(left, right, table, rest(table)) for table in tables]
        except duckdb.Error as error:
            reason = " ".join(str(error).split())
            raise LakeError(
                f"a table of {old.uri} or {new.uri} cannot be read: {reason}"
            ) from error


def _tally(
    left: duckdb.DuckDBPyConnection, right: duckdb.DuckDBPyConnection, table: Table, rest: str
) -> Tally:
    name = f"{table.layer}.{table.name}"
    before, after = _columns(left, name), _columns(right, name)
    common = [column for column in before if column in after]
    if table is BRONZE_EVENTS:
        rest = f"({rest}) AND {EVENTS_OF_ANY_CUT}"
        common.remove("ingest_time")
    sums = _SUMS.get(name, {})
    old, new = (_figures(side, name, common, sums, rest) for side in (left, right))
    return Tally(
        name,
        sum(rows for rows, _, _ in old.values()),
        sum(rows for rows, _, _ in new.values()),
        len(old.keys() | new.keys()),
        tuple(column for column in after if column not in before),
        tuple(column for column in before if column not in after),
        [
            _difference(name, key, list(sums), old, new)
            for key in sorted(old.keys() | new.keys())
            if old.get(key, _NOTHING)[:2] != new.get(key, _NOTHING)[:2]
        ],
    )


def _columns(connection: duckdb.DuckDBPyConnection, name: str) -> list[str]:
    return list(connection.table(name).columns)


def _figures(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    columns: list[str],
    sums: Mapping[str, str],
    rest: str,
) -> _Figures:
    """Give rows, a sum over the hashes of all rows, and the sums of each group."""
    day, venue, instrument = (
        next((f"coalesce(\"{c}\"::VARCHAR, '')" for c in names if c in columns), "''")
        for names in (("date",), _VENUE, _INSTRUMENT)
    )
    content = ", ".join(f'"{column}"' for column in columns)
    wanted = "".join(f", sum({sql})" for sql in sums.values())
    found = connection.execute(
        f"SELECT {day}, {venue}, {instrument}, count(*), "  # noqa: S608 - names of our tables
        f"sum(hash({content})::HUGEINT){wanted} "
        f"FROM (SELECT * FROM {name} WHERE {rest}) GROUP BY ALL"
    ).fetchall()
    return {
        (row[0], row[1], row[2]): (row[3], row[4], tuple(value or 0.0 for value in row[5:]))
        for row in found
    }


def _difference(
    name: str, key: _Key, labels: list[str], old: _Figures, new: _Figures
) -> TallyDifference:
    none = (0.0,) * len(labels)
    rows, _, before = old.get(key, (0, 0, none))
    again, _, after = new.get(key, (0, 0, none))
    moved = [
        f"{label} {one:.12g} → {other:.12g}"
        for label, one, other in zip(labels, before, after, strict=True)
        if not math.isclose(one, other, rel_tol=_SAME)
    ]
    what = ", ".join(moved) or ("rows" if rows != again else "content")
    return TallyDifference(name, *key, rows, again, what)
