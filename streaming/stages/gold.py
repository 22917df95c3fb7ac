"""Outputs of the folds as rows of gold tables, by partition."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from marketlake.analytics.arrays import Columns, Float64Array, Int64Array, distinct, row_count
from marketlake.analytics.bars import vwap
from marketlake.analytics.indicators.registry import DEFAULT
from marketlake.contracts.events import INTERVAL_US
from marketlake.contracts.tables import (
    GOLD_ANOMALIES,
    GOLD_BARS,
    GOLD_SPREADS,
    Table,
    indicators_table,
)
from marketlake.lake.datafiles import day_text
from streaming.stages.catalog import InstrumentCatalog, Markets
from streaming.stages.detectors import Anomaly
from streaming.stages.families import INTERVALS, FoldOutput
from streaming.stages.merge_fold import MergeOutput
from streaming.stages.series_folds import BANK
from streaming.stages.silver import dictionary, timestamps

GOLD_INDICATORS: Final = indicators_table(
    {
        column: (inspect.getdoc(type(kernel)) or kernel.name).split("\n", 1)[0]
        for kernel in DEFAULT
        for column in kernel.outputs
    }
)
DAY_US: Final = INTERVAL_US["1d"]
_STATUS: Final = pa.array(["open", "update", "close"], pa.string())

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
    output: FoldOutput, catalog: InstrumentCatalog, origin: str
) -> tuple[pa.Table, pa.Table]:
    """Rows of ``gold/bars`` and of ``gold/indicators``."""
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
    values["quote_volume"] = _nullable(bars["quote_volume"])
    values["vwap"] = _nullable(vwap(bars["quote_volume"], bars["volume"]))
    values["trade_count"] = _nullable(bars["trade_count"]).cast(pa.int64())
    assert output.indicators is not None
    indicators = {
        name: _nullable(column)
        for name, column in zip(BANK.columns, output.indicators, strict=True)
    }
    return (
        _table(GOLD_BARS, {**key, **values}),
        _table(GOLD_INDICATORS, {**key, **indicators}),
    )


def anomaly_rows(anomalies: list[Anomaly]) -> pa.Table:
    """Rows of ``gold/anomalies``."""
    names = (
        "venue", "instrument", "metric", "detector", "interval", "value", "expected", "scale",
        "score", "severity", "kind", "evidence",
    )  # fmt: skip
    columns: dict[str, Any] = {n: pa.array([getattr(a, n) for a in anomalies]) for n in names}
    for name, field in (("event_time", "start_us"), ("end_time", "end_us")):
        columns[name] = timestamps(np.array([getattr(a, field) for a in anomalies], np.int64))
    return _table(GOLD_ANOMALIES, columns)


def spread_rows(output: MergeOutput) -> Iterator[tuple[pa.Table, Columns]]:
    """Rows of ``gold/spreads`` of both worlds, with the columns they came from."""
    if row_count(output.indicative):
        columns = output.indicative
        # A close counts in the last microsecond of its bar; the row stands at the bar's end.
        columns = {**columns, "time_us": columns["time_us"] + 1}
        base = _bases(output, columns["buy"])
        interval = pa.array(INTERVALS, pa.string()).take(pa.array(columns["interval"]))
        ids = _join("study:", base, ":", interval)
        n = len(ids)
        yield _spread_table(output, columns, ids, ["update"] * n, "indicative", None), columns
    if row_count(output.executable):
        columns = output.executable
        ids = pa.array([_opportunity_id(output, columns, i) for i in range(row_count(columns))])
        status = _STATUS.take(pa.array(columns["status"]))
        quantity = columns["quantity"]
        yield _spread_table(output, columns, ids, status, "executable", quantity), columns


def _opportunity_id(output: MergeOutput, columns: Columns, row: int) -> str:
    buy = output.instruments[int(columns["buy"][row])]
    sell = output.instruments[int(columns["sell"][row])]
    return (
        f"{buy.base}:{buy.venue}/{buy.instrument}>{sell.venue}/{sell.instrument}"
        f"@{int(columns['since_us'][row])}"
    )


def _spread_table(
    output: MergeOutput,
    columns: Columns,
    ids: pa.Array,
    status: Any,
    price_basis: str,
    quantity: Float64Array | None,
) -> pa.Table:
    n = row_count(columns)
    venues = pa.array([i.venue for i in output.instruments], pa.string())
    names = pa.array([i.instrument for i in output.instruments], pa.string())
    values: dict[str, Any] = {
        "opportunity_id": ids,
        "event_time": timestamps(columns["time_us"]),
        "status": status,
        "base": _bases(output, columns["buy"]),
        "quantity": pa.nulls(n, pa.float64()) if quantity is None else pa.array(quantity),
        "notional": pa.nulls(n, pa.float64())
        if quantity is None
        else pa.array(quantity * columns["buy_price"]),
        "net_bps": pa.array(columns["gross_bps"] - columns["fees_bps"]),
        "price_basis": pa.array([price_basis] * n, pa.string()),
    }
    for side in ("buy", "sell"):
        codes = columns[side]
        values[f"{side}_venue"] = dictionary(codes, venues)
        values[f"{side}_instrument"] = dictionary(codes, names)
        values[f"{side}_price"] = pa.array(columns[f"{side}_price"])
        values[f"{side}_age_ms"] = pa.array(columns[f"{side}_age_us"] / 1e3)
    for name in ("conversion_rate", "gross_bps", "fees_bps"):
        values[name] = pa.array(columns[name])
    return _table(GOLD_SPREADS, values)


def _bases(output: MergeOutput, codes: Int64Array) -> pa.Array:
    return pa.array([i.base for i in output.instruments], pa.string()).take(pa.array(codes))


def _join(*parts: Any) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "")


def _nullable(values: Float64Array) -> pa.Array:
    absent = np.isnan(values)
    return pa.array(values, mask=absent if absent.any() else None)


def _table(table: Table, columns: dict[str, Any]) -> pa.Table:
    return pa.table({name: columns[name] for name in table.file_schema.names})
