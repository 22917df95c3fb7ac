"""The report: one HTML file that needs no network."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import duckdb
import jinja2
from plotly.offline import get_plotlyjs

from marketlake.lake.query import TableOverview, open_lake, table_overview
from marketlake.report import quality_queries, queries, spread_queries
from marketlake.report.figures import (
    Figure,
    indicator_figure,
    price_figure,
    spread_figure,
    venue_colours,
)

_TEMPLATES: Final = jinja2.Environment(
    loader=jinja2.PackageLoader("marketlake.report"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)


def write_report(lake: str, path: Path, title: str) -> Path:
    """Write the report of a lake as one self-contained HTML file.

    Parameters
    ----------
    lake : str
        Local path or ``file://`` URI.
    path : Path
        The file to write; its folder is made where absent.
    title : str
        Heading of the page.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    LakeNotFoundError
        If no table stands at ``lake``.
    """
    overview = table_overview(lake)
    with open_lake(lake) as connection:
        page = render_page(connection, overview, lake=lake, title=title, now=datetime.now(UTC))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def render_page(
    connection: duckdb.DuckDBPyConnection,
    overview: list[TableOverview],
    *,
    lake: str,
    title: str,
    now: datetime,
) -> str:
    """Render the report of an open lake as of ``now``."""
    figures: dict[str, Figure] = {}
    context = {
        "title": title,
        "lake": lake,
        "now": now,
        "headline": quality_queries.headline(connection, overview),
        "prices": _prices(connection, figures),
        "indicators": _indicators(connection, figures),
        "anomalies": [
            {**row, "evidence": evidence_text(row["evidence"])}
            for row in queries.top_anomalies(connection)
        ],
        "spreads": _spreads(connection, figures),
        "basis_counts": spread_queries.basis_counts(connection),
        "opportunities": spread_queries.opportunities(connection),
        "triangles": spread_queries.triangles(connection),
        "perpetuals": spread_queries.perpetuals(connection),
        "quarantine": quality_queries.quarantine_breakdown(connection),
        "venues": quality_queries.venue_counts(connection),
        "gaps": quality_queries.bar_gaps(connection),
        "tables": overview,
        "figures": script_json(figures),
        "plotly_js": get_plotlyjs(),
    }
    _TEMPLATES.filters.update(count=count_text, number=number_text, time=time_text, span=span_text)
    return _TEMPLATES.get_template("report.html.j2").render(context)


def _prices(
    connection: duckdb.DuckDBPyConnection, figures: dict[str, Figure]
) -> list[dict[str, Any]]:
    sources = queries.price_sources(connection)
    colours = venue_colours([*{venue for source in sources for venue in source.origin_of}])
    charts = []
    for i, source in enumerate(sources):
        lines = queries.price_lines(connection, source)
        marks = queries.anomaly_marks(connection, source)
        figures[f"price-{i}"] = price_figure(source, lines, marks, colours)
        charts.append({"id": f"price-{i}", "source": source, "marks": len(marks)})
    return charts


def _indicators(
    connection: duckdb.DuckDBPyConnection, figures: dict[str, Figure]
) -> queries.SeriesWindow | None:
    sources = queries.price_sources(connection, by_venues=1, by_anomaly=0)
    window = queries.indicator_window(connection, sources[0].instrument) if sources else None
    if window is not None:
        figures["indicator-plot"] = indicator_figure(window)
    return window


def _spreads(
    connection: duckdb.DuckDBPyConnection, figures: dict[str, Figure]
) -> list[dict[str, Any]]:
    charts = []
    for i, chart in enumerate(spread_queries.spread_charts(connection)):
        figures[f"spread-{i}"] = spread_figure(chart)
        charts.append({"id": f"spread-{i}", "chart": chart})
    return charts


def script_json(value: Any) -> str:
    """Encode as JSON that may stand in a script element: no text in it can end the element."""
    text = json.dumps(_without_nan(value), separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def evidence_text(evidence: str | None) -> str:
    """Write the JSON of ``gold/anomalies.evidence`` as ``name value, …``; other text as it is."""
    try:
        parsed = json.loads(evidence or "{}")
    except ValueError:
        return evidence or ""
    if not isinstance(parsed, dict):
        return str(parsed)
    return ", ".join(
        f"{name.replace('_', ' ')} {number_text(value) if isinstance(value, float) else value}"
        for name, value in parsed.items()
    )


def count_text(value: int | None) -> str:
    """Write a count with thousands separated; an en dash for None."""
    return "–" if value is None else f"{value:,}"


def number_text(value: float | None, digits: int | None = None) -> str:
    """Write a number with fixed decimals, else 6 significant digits; an en dash for None or NaN."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:,.6g}" if digits is None else f"{value:,.{digits}f}"
    return text.replace("-", "−") if text.startswith("-") else text


def time_text(value: datetime | None) -> str:
    """Write a UTC time to the second; an en dash for None."""
    return "–" if value is None else value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def span_text(seconds: float | None) -> str:
    """Write a span of time in its two largest units; an en dash for None."""
    if seconds is None:
        return "–"
    if abs(seconds) < 60:
        return f"{seconds:.0f} s"
    minutes, _ = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min")]
    start = next(i for i, (amount, _) in enumerate(parts) if amount)
    return " ".join(f"{amount} {unit}" for amount, unit in parts[start : start + 2] if amount)
