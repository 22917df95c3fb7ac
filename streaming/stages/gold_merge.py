"""Outputs of step two as rows of gold tables: spreads, triangles, basis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from marketlake.analytics.arrays import Columns, Int64Array, row_count
from marketlake.analytics.depth.opportunity import STATUS
from marketlake.contracts.tables import (
    GOLD_ANOMALIES,
    GOLD_BASIS,
    GOLD_SPREADS,
    GOLD_TRIANGLES,
    Table,
)
from streaming.stages.fold_output import INTERVALS
from streaming.stages.gold import anomaly_rows, nullable, rows_of
from streaming.stages.merge_fold import MergeOutput
from streaming.stages.silver import dictionary, timestamps

_STATUS: Final = pa.array(STATUS, pa.string())
_INTERVALS: Final = pa.array(INTERVALS, pa.string())


class MergeRows(NamedTuple):
    """Rows of one table, with what partitions them.

    Attributes
    ----------
    codes : int64[n]
        The instrument whose market a row belongs to.
    time_us : int64[n]
        Its time.
    """

    table: Table
    rows: pa.Table
    codes: Int64Array
    time_us: Int64Array


def merge_rows(output: MergeOutput) -> Iterator[MergeRows]:
    """Give the rows of every table that step two writes."""
    # A close counts in the last microsecond of its bar; the row stands at the bar's end.
    for columns in _filled(output.indicative):
        yield _spreads(output, {**columns, "time_us": columns["time_us"] + 1}, studies=True)
    for columns in _filled(output.executable):
        yield _spreads(output, columns, studies=False)
    for columns in _filled(output.triangle_studies):
        yield _triangles(output, {**columns, "time_us": columns["time_us"] + 1}, studies=True)
    for columns in _filled(output.triangles):
        yield _triangles(output, columns, studies=False)
    for columns in _filled(output.basis):
        yield _basis(output, columns)
    if output.anomalies:
        yield _anomalies(output)


def _anomalies(output: MergeOutput) -> MergeRows:
    found = output.anomalies
    codes = {(i.venue, i.instrument): code for code, i in enumerate(output.instruments)}
    return MergeRows(
        GOLD_ANOMALIES,
        anomaly_rows(found),
        np.array([codes[a.venue, a.instrument] for a in found], np.int64),
        np.array([a.start_us for a in found], np.int64),
    )


def _filled(columns: Columns) -> Iterator[Columns]:
    if row_count(columns):
        yield columns


def _spreads(output: MergeOutput, columns: Columns, *, studies: bool) -> MergeRows:
    venues, names = _names(output)
    base = _bases(output, columns["buy"])
    if studies:
        ids = _join("study:", base, ":", _INTERVALS.take(pa.array(columns["interval"])))
    else:
        ids = pa.array([_pair_id(output, columns, row) for row in range(row_count(columns))])
    values = _common(columns, ids, studies=studies)
    values["base"] = base
    for side in ("buy", "sell"):
        codes = columns[side]
        values[f"{side}_venue"] = dictionary(codes, venues)
        values[f"{side}_instrument"] = dictionary(codes, names)
        values[f"{side}_price"] = pa.array(columns[f"{side}_price"])
        values[f"{side}_age_ms"] = pa.array(columns[f"{side}_age_us"] / 1e3)
    values["conversion_rate"] = pa.array(columns["conversion_rate"])
    nothing = pa.nulls(row_count(columns), pa.float64())
    values["notional"] = values["capacity_notional"] = nothing
    if not studies:
        values["notional"] = pa.array(columns["quantity"] * columns["buy_price"])
        values["capacity_notional"] = pa.array(columns["capacity_notional"])
    rows = rows_of(GOLD_SPREADS, values)
    return MergeRows(GOLD_SPREADS, rows, columns["buy"], columns["time_us"])


def _triangles(output: MergeOutput, columns: Columns, *, studies: bool) -> MergeRows:
    cycle = columns["cycle"]
    texts = pa.array([one.text for one in output.cycles], pa.string())
    venues = pa.array([one.venue for one in output.cycles], pa.string())
    if studies:
        interval = _INTERVALS.take(pa.array(columns["interval"]))
        ids = _join("study:", _ways(output).take(pa.array(cycle >> 1)), ":", interval)
    else:
        since = pa.array(columns["since_us"]).cast(pa.string())
        way = _ways(output).take(pa.array(cycle >> 1))
        ids = _join(way, ":", texts.take(pa.array(cycle)), "@", since)
    values = _common(columns, ids, studies=studies)
    values["venue"] = dictionary(cycle, venues)
    values["cycle"] = dictionary(cycle, texts)
    age_us = np.zeros(cycle.size) if studies else columns["oldest_age_us"] / 1e3
    values["oldest_age_ms"] = pa.array(age_us)
    first = np.array([one.legs[0] >> 1 for one in output.cycles], np.int64)
    rows = rows_of(GOLD_TRIANGLES, values)
    return MergeRows(GOLD_TRIANGLES, rows, first[cycle], columns["time_us"])


def _basis(output: MergeOutput, columns: Columns) -> MergeRows:
    venues, names = _names(output)
    values: dict[str, Any] = {
        "venue": dictionary(columns["spot"], venues),
        "base": _bases(output, columns["spot"]),
        "spot_instrument": dictionary(columns["spot"], names),
        "perp_instrument": dictionary(columns["perp"], names),
        "event_time": timestamps(columns["time_us"]),
        "annualised_carry": nullable(columns["annualised_carry"]),
        "oldest_age_ms": pa.array(columns["oldest_age_us"] / 1e3),
    }
    for name in (
        "spot_price", "perp_price", "basis_bps", "conversion_rate", "spot_quantity",
        "perp_quantity",
    ):  # fmt: skip
        values[name] = pa.array(columns[name])
    rows = rows_of(GOLD_BASIS, values)
    return MergeRows(GOLD_BASIS, rows, columns["perp"], columns["time_us"])


def _common(columns: Columns, ids: pa.Array, *, studies: bool) -> dict[str, Any]:
    """Columns that spreads and triangles share."""
    n = row_count(columns)
    nothing = pa.nulls(n, pa.float64())
    net_bps = columns["gross_bps"] - columns["fees_bps"]
    values: dict[str, Any] = {
        "opportunity_id": ids,
        "event_time": timestamps(columns["time_us"]),
        "gross_bps": pa.array(columns["gross_bps"]),
        "fees_bps": pa.array(columns["fees_bps"]),
        "status": pa.array(["update"] * n),
        "price_basis": pa.array(["indicative" if studies else "executable"] * n),
    }
    values |= dict.fromkeys(
        ("quantity", "costs_bps", "duration_ms", "peak_net_bps", "capacity"), nothing
    )
    if not studies:
        net_bps -= columns["costs_bps"]
        values["status"] = _STATUS.take(pa.array(columns["status"]))
        values["duration_ms"] = pa.array((columns["time_us"] - columns["since_us"]) / 1e3)
        for name in ("quantity", "costs_bps", "peak_net_bps", "capacity"):
            values[name] = pa.array(columns[name])
    values["net_bps"] = pa.array(net_bps)
    return values


def _pair_id(output: MergeOutput, columns: Columns, row: int) -> str:
    buy = output.instruments[int(columns["buy"][row])]
    sell = output.instruments[int(columns["sell"][row])]
    return (
        f"{buy.base}:{buy.venue}/{buy.instrument}>{sell.venue}/{sell.instrument}"
        f"@{int(columns['since_us'][row])}"
    )


def _ways(output: MergeOutput) -> pa.Array:
    """Name each cycle by its instruments: two may lie between the same assets."""
    return pa.array(
        [
            f"{one.venue}/" + "/".join(output.instruments[leg >> 1].instrument for leg in one.legs)
            for one in output.cycles[::2]
        ],
        pa.string(),
    )


def _names(output: MergeOutput) -> tuple[pa.Array, pa.Array]:
    return (
        pa.array([i.venue for i in output.instruments], pa.string()),
        pa.array([i.instrument for i in output.instruments], pa.string()),
    )


def _bases(output: MergeOutput, codes: Int64Array) -> pa.Array:
    return pa.array([i.base for i in output.instruments], pa.string()).take(pa.array(codes))


def _join(*parts: Any) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "")
