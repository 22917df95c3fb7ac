"""Outputs of the folds as rows of gold tables, by partition."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa

from marketlake.analytics.arrays import Columns, Float64Array, Int64Array, distinct, row_count
from marketlake.analytics.bars import vwap
from marketlake.contracts.events import INTERVAL_US
from marketlake.contracts.tables import (
    GOLD_ANOMALIES,
    GOLD_BARS,
    GOLD_MICROSTRUCTURE,
    Table,
)
from marketlake.lake.datafiles import day_text
from streaming.stages.catalog import InstrumentCatalog, Markets
from streaming.stages.detectors import Anomaly
from streaming.stages.fold_output import INTERVALS, FoldOutput
from streaming.stages.silver import dictionary, timestamps

DAY_US: Final = INTERVAL_US["1d"]

Partitioned = Iterator[tuple[tuple[str, str], pa.Table]]


def by_market_and_day(
    rows: pa.Table, markets: Markets, codes: Int64Array, time_us: Int64Array
) -> Partitioned:
    """Split rows by market (of the instrument code) and UTC day of the time."""
    groups = markets.kind_of[codes] * (1 << 32) + time_us // DAY_US
    for group in distinct(groups):
        chosen = groups == group
        part = rows if chosen.all() else rows.filter(pa.array(chosen))
        yield (markets.kinds[int(group) >> 32], day_text(int(group) & 0xFFFFFFFF)), part


def bar_rows(
    output: FoldOutput, catalog: InstrumentCatalog, origin: str, table: Table
) -> tuple[pa.Table, pa.Table]:
    """Rows of ``gold/bars`` and of ``gold/indicators``, which ``table`` is."""
    bars = output.bars
    n = row_count(bars)
    key: dict[str, Any] = {
        "venue": dictionary(bars["instrument"], catalog.venues()),
        "instrument": dictionary(bars["instrument"], catalog.names()),
        "interval": dictionary(bars["interval"], pa.array(INTERVALS, pa.string())),
        "origin": dictionary(np.zeros(n, np.int64), pa.array([origin], pa.string())),
        "open_time": timestamps(bars["open_time_us"]),
        "close": pa.array(bars["close"]),
    }
    values = {name: pa.array(bars[name]) for name in ("open", "high", "low", "volume")}
    values["quote_volume"] = nullable(bars["quote_volume"])
    values["vwap"] = nullable(vwap(bars["quote_volume"], bars["volume"]))
    values["trade_count"] = nullable(bars["trade_count"]).cast(pa.int64())
    assert output.indicators is not None
    # In the table they stand between the bar they belong to and the columns of its partition.
    names = [n for n in table.file_schema.names if n not in key]
    indicators = {
        name: nullable(column) for name, column in zip(names, output.indicators, strict=True)
    }
    return (
        rows_of(GOLD_BARS, {**key, **values}),
        rows_of(table, {**key, **indicators}),
    )


def microstructure_rows(
    bars: Columns, catalog: InstrumentCatalog, origin: str, interval: str
) -> pa.Table:
    """Rows of ``gold/microstructure``; columns that the feed does not fill are null."""
    n = row_count(bars)
    nothing = pa.nulls(n, pa.float64())
    columns: dict[str, Any] = {
        "venue": dictionary(bars["instrument"], catalog.venues()),
        "instrument": dictionary(bars["instrument"], catalog.names()),
        "interval": pa.array([interval]).take(pa.array(np.zeros(n, np.int64))),
        "origin": pa.array([origin]).take(pa.array(np.zeros(n, np.int64))),
        "open_time": timestamps(bars["open_time_us"]),
        "rows": pa.array(bars["rows"].astype(np.int64)),
    }
    for name in GOLD_MICROSTRUCTURE.file_schema.names[len(columns) :]:
        columns[name] = nullable(bars[name]) if name in bars else nothing
    return rows_of(GOLD_MICROSTRUCTURE, columns)


def anomaly_rows(anomalies: list[Anomaly]) -> pa.Table:
    """Rows of ``gold/anomalies``."""
    names = (
        "venue", "instrument", "metric", "detector", "interval", "value", "expected", "scale",
        "score", "severity", "kind", "evidence",
    )  # fmt: skip
    columns: dict[str, Any] = {n: pa.array([getattr(a, n) for a in anomalies]) for n in names}
    for name, field in (("event_time", "start_us"), ("end_time", "end_us")):
        columns[name] = timestamps(np.array([getattr(a, field) for a in anomalies], np.int64))
    return rows_of(GOLD_ANOMALIES, columns)


def nullable(values: Float64Array) -> pa.Array:
    """Give values with null in the place of NaN."""
    absent = np.isnan(values)
    return pa.array(values, mask=absent if absent.any() else None)


def rows_of(table: Table, columns: dict[str, Any]) -> pa.Table:
    """Give columns in the order of a table's files."""
    return pa.table({name: columns[name] for name in table.file_schema.names})
