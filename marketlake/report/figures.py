"""Plotly figures of the report as plain data; colours are names that the page's style resolves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from marketlake.report.downsample import Line
from marketlake.report.queries import PriceSource, SeriesWindow
from marketlake.report.spread_queries import SpreadChart

Figure = dict[str, Any]
"""``data`` and ``layout`` as plotly.js takes them; a colour may be ``var(--name)``."""

SERIES_COLOURS: Final = 8
"""Colours ``--series-1`` to ``--series-8`` of the page."""

_SEVERITIES: Final = {
    "high": ("var(--critical)", "diamond", 11),
    "medium": ("var(--serious)", "triangle-up", 9),
    "low": ("var(--muted)", "circle", 6),
}
"""Colour, shape and size: shape and size carry the meaning where colours do not."""
_PRICE_FORMAT: Final = ",.6~g"


def venue_colours(venues: Sequence[str]) -> dict[str, str]:
    """Give each venue one colour for the whole report; the ninth begins anew."""
    return {
        venue: f"var(--series-{i % SERIES_COLOURS + 1})" for i, venue in enumerate(sorted(venues))
    }


def _axis(title: str = "", **more: Any) -> dict[str, Any]:
    return {"title": {"text": title}, **more}


def _line(line: Line, colour: str, name: str, *, width: float = 1.6, **more: Any) -> dict[str, Any]:
    style = {"color": colour, "width": width, "dash": more.pop("dash", "solid")}
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": line.x_ms,
        "y": [None if value is None else float(f"{value:.9g}") for value in line.y],
        "line": style,
        "connectgaps": False,
        **more,
    }


def price_figure(
    source: PriceSource,
    lines: Mapping[str, Sequence[Line]],
    marks: Sequence[Mapping[str, Any]],
    colours: Mapping[str, str],
) -> Figure:
    """Draw closes of an instrument, one line a venue, with lows, highs and anomalies.

    Lows and highs are thin: a price that a venue touched and left within a bar stays visible.
    """
    quote = source.instrument.split("-")[1] if "-" in source.instrument else "price"
    data = [
        _line(
            line,
            colours[line.name],
            line.name,
            width=0.8,
            opacity=0.45,
            legendgroup=line.name,
            showlegend=False,
            hovertemplate=f"{line.name} {column} %{{y}}<extra></extra>",
        )
        for column in ("low", "high")
        for line in lines[column]
    ]
    data += [
        _line(
            line,
            colours[line.name],
            line.name,
            legendgroup=line.name,
            hovertemplate=f"{line.name} close %{{y}}<br>%{{x}}<extra></extra>",
        )
        for line in lines["close"]
    ]
    for severity, (colour, symbol, size) in reversed(_SEVERITIES.items()):
        chosen = [mark for mark in marks if mark["severity"] == severity]
        if chosen:
            data.append(_marks(chosen, f"{severity} anomaly", colour, symbol, size))
    return {
        "data": data,
        "layout": {"xaxis": _axis(type="date"), "yaxis": _axis(quote, tickformat=_PRICE_FORMAT)},
    }


def _marks(
    marks: Sequence[Mapping[str, Any]], name: str, colour: str, symbol: str, size: int
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [mark["x_ms"] for mark in marks],
        "y": [mark["y"] for mark in marks],
        "text": [
            f"{m['venue']} {m['metric']}: score {m['score']:.1f}<br>"
            f"value {m['value']:.4g}, expected {m['expected']:.4g}<br>{m['detector']}"
            for m in marks
        ],
        "hovertemplate": "%{text}<br>%{x}<extra></extra>",
        "marker": {
            "color": colour,
            "symbol": symbol,
            "size": size,
            "line": {"color": "var(--surface)", "width": 1.5},
        },
    }


def indicator_figure(window: SeriesWindow) -> Figure:
    """Draw close with its overlays, RSI and MACD, one under the other over the same time."""
    x_ms = window.columns["open_time_ms"]

    def line(column: str, name: str, colour: str, **more: Any) -> list[dict[str, Any]]:
        values = window.columns.get(column)
        if values is None:
            return []
        return [_line(Line(name, x_ms, values), colour, name, **more)]

    band = {"width": 1.0, "legendgroup": "bollinger", "hoverinfo": "skip"}
    data = [
        *line("bollinger_upper_20_2", "Bollinger upper", "var(--band)", showlegend=False, **band),
        *line(
            "bollinger_lower_20_2",
            "Bollinger 20, 2",
            "var(--band)",
            fill="tonexty",
            fillcolor="var(--band-fill)",
            **band,
        ),
        *line("sma_50", "SMA 50", "var(--series-2)", dash="dash"),
        *line("sma_20", "SMA 20", "var(--series-3)"),
        *line("close", "close", "var(--series-1)", width=1.8),
        *line("rsi_14", "RSI 14", "var(--series-7)", yaxis="y2", showlegend=False),
        *_histogram(window, x_ms),
        *line("macd_12_26_9", "MACD", "var(--series-1)", yaxis="y3", showlegend=False),
        *line("macd_signal_12_26_9", "signal", "var(--series-2)", yaxis="y3", showlegend=False),
    ]
    layout = {
        "xaxis": _axis(type="date", anchor="y3"),
        "yaxis": _axis("price", domain=[0.46, 1.0], tickformat=_PRICE_FORMAT),
        "yaxis2": _axis("RSI 14", domain=[0.25, 0.41], range=[0, 100], tickvals=[30, 70]),
        "yaxis3": _axis("MACD", domain=[0.0, 0.2], zeroline=True),
        "shapes": [_level(70, "y2"), _level(30, "y2")],
        "height": 560,
    }
    return {"data": data, "layout": layout}


def _histogram(window: SeriesWindow, x_ms: Sequence[int]) -> list[dict[str, Any]]:
    values = window.columns.get("macd_hist_12_26_9")
    if values is None:
        return []
    return [
        {
            "type": "bar",
            "name": "MACD less signal",
            "x": x_ms,
            "y": values,
            "yaxis": "y3",
            "showlegend": False,
            "marker": {"color": "var(--band)", "line": {"width": 0}},
        }
    ]


def _level(y: float, axis: str) -> dict[str, Any]:
    return {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "yref": axis,
        "y0": y,
        "y1": y,
        "line": {"color": "var(--axis)", "width": 1, "dash": "dot"},
    }


def spread_figure(chart: SpreadChart) -> Figure:
    """Draw gross and net of the best pair over time, the zero line, opens and closes."""
    mode: dict[str, Any] = (
        {"mode": "lines+markers", "marker": {"size": 4}} if len(chart.net.x_ms) < 60 else {}
    )
    hover = "%{y:.1f} bps %{x}<extra>"
    data = [
        _line(
            chart.gross,
            "var(--series-2)",
            "gross",
            width=1.2,
            hovertemplate=f"{hover}gross</extra>",
            dash="dot",
            **mode,
        ),
        _line(chart.net, "var(--series-1)", "net", hovertemplate=f"{hover}net</extra>", **mode),
    ]
    for status, symbol, colour in (
        ("open", "triangle-up", "var(--good)"),
        ("close", "x", "var(--ink-2)"),
    ):
        chosen = [event for event in chart.events if event["status"] == status]
        if chosen:
            data.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": f"opportunity {status}",
                    "x": [event["x_ms"] for event in chosen],
                    "y": [event["net_bps"] for event in chosen],
                    "text": [event["pair"] for event in chosen],
                    "hovertemplate": "%{text}<br>%{y:.1f} bps net<br>%{x}<extra></extra>",
                    "marker": {
                        "color": colour,
                        "symbol": symbol,
                        "size": 10,
                        "line": {"color": "var(--surface)", "width": 1.5},
                    },
                }
            )
    layout = {"xaxis": _axis(type="date"), "yaxis": _axis("bps", zeroline=True, rangemode="tozero")}
    return {"data": data, "layout": layout}
