"""Checks what the pipeline left in a lake against DuckDB's own reckoning from its silver table.

``python benchmarks/verify.py LAKE --rows N``; exit 1 where a figure differs.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Final

import duckdb
from workload import CONVERSIONS, Workload, add_workload_arguments, workload_of

from marketlake.lake.query import open_lake

_VOLUME_TOLERANCE: Final = 1e-9
_INTERVALS: Final = {"1s": "1 second", "1m": "1 minute"}

_RECKONED: Final = """
    CREATE TEMP TABLE reckoned AS
    SELECT venue, instrument, time_bucket(INTERVAL {length}, event_time) AS open_time,
        min_by(price, event_time) AS open, max(price) AS high, min(price) AS low,
        max_by(price, event_time) AS close, sum(quantity) AS volume, count(*) AS trade_count
    FROM silver.trades GROUP BY ALL
"""
_COMPARED: Final = """
    SELECT
        (SELECT count(*) FROM reckoned),
        (SELECT count(*) FROM gold.bars WHERE interval = '{name}'),
        count(*) FILTER (b.open = r.open AND b.high = r.high AND b.low = r.low
            AND b.close = r.close AND b.trade_count = r.trade_count
            AND abs(b.volume - r.volume) <= {tolerance} * r.volume)
    FROM reckoned r JOIN gold.bars b USING (venue, instrument, open_time)
    WHERE b.interval = '{name}'
"""


def problems(lake: Path, workload: Workload, source: str = "kafka") -> list[str]:
    """Give every figure that is not as it must be; none is the good case.

    Parameters
    ----------
    source : str
        Where the messages came from, as bronze names it.
    """
    lines = []
    with open_lake(str(lake)) as sql:
        for table in (f"bronze.events WHERE source = '{source}'", "silver.trades"):
            rows = _one(sql, f"SELECT count(*) FROM {table}")
            if rows != workload.rows:
                lines.append(f"{table}: {rows} rows, not {workload.rows}")
        for name, length in _INTERVALS.items():
            lines += _bar_problems(sql, name, length)
        bars, indicators = (
            _one(sql, f"SELECT count(*) FROM gold.{t}") for t in ("bars", "indicators")
        )
        if bars != indicators:
            lines.append(f"gold.indicators: {indicators} rows for {bars} bars")
        lines += _spread_problems(sql)
    return lines


def _bar_problems(sql: duckdb.DuckDBPyConnection, name: str, length: str) -> list[str]:
    sql.execute("DROP TABLE IF EXISTS reckoned")
    sql.execute(_RECKONED.format(length=f"'{length}'"))
    compared = sql.execute(_COMPARED.format(name=name, tolerance=_VOLUME_TOLERANCE)).fetchone()
    assert compared is not None
    reckoned, built, equal = compared
    if reckoned == built == equal:
        return []
    return [f"gold.bars {name}: {built} bars, {equal} of them equal to the {reckoned} reckoned"]


def _spread_problems(sql: duckdb.DuckDBPyConnection) -> list[str]:
    """Look for a spread whose two quote currencies needed a conversion from other partitions."""
    crossed = _one(
        sql,
        "SELECT count(*) FROM gold.spreads WHERE base = 'BTC' "
        "AND buy_instrument <> sell_instrument AND conversion_rate <> 1",
    )
    if crossed:
        return []
    return [f"gold.spreads: none of BTC across quote currencies, though {list(CONVERSIONS)} trade"]


def _one(sql: duckdb.DuckDBPyConnection, query: str) -> int:
    row = sql.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def main() -> int:
    """Check one lake; give the exit status."""
    parser = argparse.ArgumentParser(description="Check a lake that the benchmark filled.")
    parser.add_argument("lake", type=Path)
    add_workload_arguments(parser)
    options = parser.parse_args()
    found = problems(options.lake, workload_of(options))
    print(json.dumps({"lake": str(options.lake), "problems": found}))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
