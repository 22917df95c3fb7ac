"""What the report shows of cross-venue spreads, asked of DuckDB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb

from marketlake.report.downsample import Line, read_lines
from marketlake.report.queries import columns_of, records


@dataclass(frozen=True)
class SpreadChart:
    """Spreads of one base asset on one price basis.

    Attributes
    ----------
    gross, net : Line
        Of the best pair at each time, in basis points.
    events : list of dict
        Opens and closes of opportunities: ``x_ms``, ``status``, ``net_bps``, ``pair``; empty
        for indicative prices, which are never an opportunity.
    """

    base: str
    price_basis: str
    gross: Line
    net: Line
    events: list[dict[str, Any]]


def spread_charts(connection: duckdb.DuckDBPyConnection, limit: int = 6) -> list[SpreadChart]:
    """Read the spreads of the bases with most rows, executable prices first."""
    if not columns_of(connection, "gold.spreads"):
        return []
    pairs = connection.execute(
        "SELECT base, price_basis FROM gold.spreads GROUP BY ALL "
        "ORDER BY price_basis, count(*) DESC, base LIMIT ?",
        [limit],
    ).fetchall()
    charts = []
    for base, basis in pairs:
        gross, net = _lines(connection, base, basis)
        charts.append(SpreadChart(base, basis, gross, net, _events(connection, base, basis)))
    return charts


def _lines(connection: duckdb.DuckDBPyConnection, base: str, basis: str) -> tuple[Line, Line]:
    lines = read_lines(
        connection,
        """SELECT unnest(['gross', 'net']) AS series, x, unnest([gross, net]) AS y FROM (
               SELECT event_time AS x, arg_max(gross_bps, net_bps) AS gross, max(net_bps) AS net
               FROM gold.spreads WHERE base = ? AND price_basis = ? AND isfinite(net_bps)
               GROUP BY event_time)""",
        [base, basis],
    )
    by_name = {line.name: line for line in lines}
    return by_name.get("gross", Line("gross", [], [])), by_name.get("net", Line("net", [], []))


def _events(connection: duckdb.DuckDBPyConnection, base: str, basis: str) -> list[dict[str, Any]]:
    if basis != "executable":
        return []
    return records(
        connection,
        """SELECT epoch_ms(event_time) AS x_ms, status, net_bps,
                  buy_venue || ' → ' || sell_venue AS pair
           FROM gold.spreads WHERE base = ? AND price_basis = ? AND status IN ('open', 'close')
           ORDER BY x_ms, status LIMIT 400""",
        [base, basis],
    )


def opportunities(connection: duckdb.DuckDBPyConnection, limit: int = 15) -> list[dict[str, Any]]:
    """List the executable opportunities with the best net spread; ``closed`` None while open."""
    if not columns_of(connection, "gold.spreads"):
        return []
    return records(
        connection,
        """SELECT base, any_value(buy_venue) AS buy_venue, any_value(sell_venue) AS sell_venue,
                  any_value(buy_instrument) AS buy_instrument,
                  any_value(sell_instrument) AS sell_instrument,
                  min(event_time) AS opened, max(event_time) FILTER (status = 'close') AS closed,
                  max(net_bps) AS net_bps, arg_max(gross_bps, net_bps) AS gross_bps,
                  coalesce(max(capacity_notional), max(notional)) AS notional
           FROM gold.spreads WHERE price_basis = 'executable'
           GROUP BY base, opportunity_id ORDER BY net_bps DESC, opened LIMIT ?""",
        [limit],
    )


def triangles(connection: duckdb.DuckDBPyConnection, limit: int = 15) -> list[dict[str, Any]]:
    """List the ways round a venue, the best net first, executable ones before studies.

    Each with ``price_basis``, ``times`` (opportunities, or moments that were studied), the best
    ``net_bps`` with its time and gross, and the largest ``capacity`` in units of the first asset.
    """
    if not columns_of(connection, "gold.triangles"):
        return []
    return records(
        connection,
        """SELECT price_basis, venue, cycle, arg_max(event_time, net_bps) AS event_time,
                  CASE WHEN price_basis = 'executable' THEN count(DISTINCT opportunity_id)
                       ELSE count(*) END AS times,
                  max(net_bps) AS net_bps, arg_max(gross_bps, net_bps) AS gross_bps,
                  max(capacity) AS capacity
           FROM gold.triangles GROUP BY price_basis, venue, cycle
           ORDER BY price_basis, net_bps DESC, venue, cycle LIMIT ?""",
        [limit],
    )


def perpetuals(connection: duckdb.DuckDBPyConnection, limit: int = 15) -> list[dict[str, Any]]:
    """List the basis of each perpetual to spot: latest, least and most, and the latest carry."""
    if not columns_of(connection, "gold.basis"):
        return []
    return records(
        connection,
        """SELECT venue, spot_instrument, perp_instrument, count(*) AS rows,
                  arg_max(basis_bps, event_time) AS latest_bps, min(basis_bps) AS least_bps,
                  max(basis_bps) AS most_bps,
                  arg_max(annualised_carry, event_time) AS annualised_carry
           FROM gold.basis GROUP BY venue, spot_instrument, perp_instrument
           ORDER BY rows DESC, venue, perp_instrument, spot_instrument LIMIT ?""",
        [limit],
    )


def basis_counts(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Rows of ``gold.spreads`` by price basis."""
    if not columns_of(connection, "gold.spreads"):
        return {}
    rows = connection.execute(
        "SELECT price_basis, count(*) FROM gold.spreads GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    return dict(rows)
