"""Writes the reference pages from the code: tables, indicators, venues, live venues, settings.

``python docs/generate.py`` writes them, ``--check`` says which are out of date and exits 1.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from marketlake.analytics.anomalies.registry import reference as detectors_reference
from marketlake.analytics.indicators.registry import reference_page
from marketlake.contracts.tables import (
    STATE_FOLDS,
    STREAM_TABLES,
    SUMMARY_TABLES,
    Table,
)
from marketlake.contracts.venues import MARKETS, VENUES
from marketlake.feeds.live.ports import CHANNELS
from marketlake.feeds.live.venues import LIVE_NAMES, LIVE_VENUES
from marketlake.settings import model
from streaming.stages.indicators import table_of

FOLDER: Final = Path(__file__).resolve().parent
_MADE: Final = "<!-- Made by docs/generate.py: change the code, then run it. -->"
_LIMITS: Final = MappingProxyType(
    {"ge": "at least", "gt": "above", "le": "at most", "lt": "below", "pattern": "like"}
)


def tables_page() -> str:
    """Write the page of all tables: key, partitions, columns."""
    by_layer: dict[str, list[Table]] = {}
    for table in (
        *STREAM_TABLES,
        table_of(model.IndicatorSettings()),
        *SUMMARY_TABLES,
        STATE_FOLDS,
    ):
        by_layer.setdefault(table.layer, []).append(table)
    tables = [table for listed in by_layer.values() for table in listed]
    overview = [
        [f"[`{t.path}`](#{t.layer}{t.name})", _names(t.partition_by), _cell(t.doc)] for t in tables
    ]
    intro = (
        "Delta tables at `<lake>/<layer>/<table>`, and `layer.table` in SQL. Plain Delta: no "
        "deletion vectors, no column mapping. Times are UTC, in microseconds; a name ending in "
        "`_bps` is in basis points, in `_ms` in milliseconds. No two rows of a table share the "
        "values of its key."
    )
    sections = [
        "# Tables",
        _MADE,
        intro,
        _grid(["table", "partitions", "holds"], overview),
        *(_table_section(table) for table in tables),
    ]
    return "\n\n".join(sections) + "\n"


def _table_section(table: Table) -> str:
    rows = [
        [f"`{c.name}`", f"`{c.type.ddl}`", "yes" if c.nullable else "", _cell(c.doc)]
        for c in table.columns
    ]
    return (
        f"## {table.path}\n\n{table.doc}\n\nKey: {_names(table.key)}  \n"
        f"Partitions: {_names(table.partition_by)}\n\n"
        + _grid(["column", "type", "null", "meaning"], rows)
    )


def indicators_page() -> str:
    """Write the page of the indicators, from their docstrings."""
    title, body = reference_page().replace("``", "`").split("\n", 1)
    intro = (
        "Columns of `gold/indicators`, on closed bars of each interval and origin. An indicator "
        "counts bars, not minutes: a gap does not reset it. Null while it warms up."
    )
    return f"{title}\n\n{_MADE}\n\n{intro}\n{body}"


def detectors_page() -> str:
    """Write the page of the detectors of single series, from their docstrings."""
    text = detectors_reference(model.AnomalySettings()).replace("``", "`")
    intro = "What they are for, and what they found, stands in [anomalies.md](anomalies.md)."
    return f"# Detectors\n\n{_MADE}\n\n{intro}\n\n{text}"


def venues_page() -> str:
    """Write the page of the venues and their fees."""
    rows = []
    for venue in VENUES.values():
        fees = [
            f"{market} {venue.taker_fee_bps[market]:g}" for market in MARKETS if venue.has(market)
        ]
        rows.append([f"`{venue.name}`", ", ".join(fees), _cell(venue.source), str(venue.as_of)])
    intro = (
        f"{len(VENUES)} venues, with the markets each has and what its lowest tier charges for "
        "taking liquidity, in basis points of the notional. Written down by hand from the "
        "schedule named, on the day named; venues change them. `spreads.taker_fee_bps` in the "
        "[settings](settings.md) replaces one venue's fee, `spreads.uniform_taker_fee_bps` all. "
        "An event of a venue that is not listed goes to quarantine as `unknown_instrument`."
    )
    table = _grid(["venue", "taker fee, bps", "source", "as of"], rows)
    funding = [
        [
            f"`{venue.name}`",
            *(f"{getattr(rate, name):g}" for name in ("hours", "interest_bps", "damper_bps")),
            _cell(rate.source),
        ]
        for venue in VENUES.values()
        if (rate := venue.funding) is not None
    ]
    carry = (
        "What perpetuals cost to hold is taken from the venue's formula, `premium + clamp(interest "
        "- premium, -damper, damper)`, for `annualised_carry` in "
        "[`gold/basis`](tables.md#goldbasis); caps are left out. A venue that is absent has no "
        "carry there. A lake of older data has the formula of today."
    )
    rates = _grid(["venue", "hours", "interest, bps", "damper, bps", "source"], funding)
    return (
        f"# Venues and fees\n\n{_MADE}\n\n{intro}\n\n{table}\n\n## Funding\n\n{carry}\n\n{rates}\n"
    )


_CHECKS: Final = MappingProxyType(
    {
        "sequence": "sequence numbers",
        "checksum": "checksum",
        "whole": "each message is the whole book",
        "none": "none: a message that cannot be read costs the connection",
    }
)


def live_venues_page() -> str:
    """Write the page of the venues that are watched live."""
    rows = [
        [
            f"`{venue.name}`",
            ", ".join(market for market in VENUES[venue.name].markets if market in venue.classes),
            _names(list(dict.fromkeys(venue.classes.values()))),
            _names([channel for channel in CHANNELS if venue.publishes(channel)]),
            _CHECKS[venue.book_check],
            "yes" if venue.trade_ids == "contiguous" else "",
        ]
        for venue in LIVE_VENUES.values()
    ]
    rows.append(["`alpaca`", "equity", "", "`trades`, `quotes`, `bars`", "", ""])
    intro = (
        f"{len(LIVE_NAMES)} venues for `marketlake feed`, {len(LIVE_VENUES)} of them through ccxt. "
        "What the columns mean, and how a venue is added, stands in [feeds.md](feeds.md)."
    )
    head = ["venue", "markets", "ccxt class", "channels", "lost change of a book", "ids in a row"]
    return f"# Live venues\n\n{_MADE}\n\n{intro}\n\n{_grid(head, rows)}\n"


def settings_page() -> str:
    """Write the page of the settings: name, values, default, meaning."""
    intro = (
        "From the defaults below, then a TOML file with a table a section, then the environment: "
        "`MARKETLAKE_<SECTION>__<FIELD>`, such as `MARKETLAKE_STREAM__LATENESS_MS=5000`; the later "
        'wins. Lists and tables are JSON there: `MARKETLAKE_BARS__INTERVALS=\'["1s","5m"]\'`. '
        "An unknown section or field is an error. No setting holds a secret."
    )
    sections = ["# Settings", _MADE, intro]
    for section, info in model.Settings.model_fields.items():
        kind = info.annotation
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            raise TypeError(f"settings.{section} is no section")
        docs = _field_docs(kind)
        rows = [
            [f"`{name}`", _values(field), _default(field), _cell(docs.get(name, ""))]
            for name, field in kind.model_fields.items()
        ]
        about = (inspect.getdoc(kind) or "").strip()
        grid = _grid(["field", "values", "default", "meaning"], rows)
        sections.append(f"## {section}\n\n{about}\n\n{grid}")
    return "\n\n".join(sections) + "\n"


def _field_docs(section: type[BaseModel]) -> dict[str, str]:
    """Give the string that stands under each field of a section."""
    (node,) = ast.parse(inspect.getsource(section)).body
    if not isinstance(node, ast.ClassDef):
        raise TypeError(f"{section.__name__} is no class")
    return {
        statement.target.id: inspect.cleandoc(str(after.value.value))
        for statement, after in zip(node.body, node.body[1:], strict=False)
        if isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
    }


def _values(field: FieldInfo) -> str:
    limits = [
        f"{word} {_code(getattr(rule, name))}"
        for rule in field.metadata
        for name, word in _LIMITS.items()
        if getattr(rule, name, None) is not None
    ]
    return ", ".join([_kind(field.annotation), *limits])


def _kind(annotation: object) -> str:
    if isinstance(annotation, type) and not get_args(annotation):
        names = {"int": "integer", "float": "number", "bool": "true or false"}
        return (names | {"str": "text", "Path": "path"})[annotation.__name__]
    inner = [a for a in get_args(annotation) if a is not Ellipsis]
    origin = get_origin(annotation)
    if origin is Literal:
        return "one of " + ", ".join(f"`{value}`" for value in inner)
    if origin is tuple:
        return f"list, each {_kind(inner[0])}"
    if origin is dict:
        return f"table of {_kind(inner[0])} to {_kind(inner[1])}"
    return " or ".join("nothing" if a is type(None) else _kind(a) for a in inner)


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "nothing"
    if isinstance(value, tuple):
        return ", ".join(_code(item) for item in value)
    if isinstance(value, bool):
        return _code(str(value).lower())
    return _code(value) if value not in ({}, "") else "empty"


def _code(value: object) -> str:
    # As TOML writes it.
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _cell(text: str) -> str:
    return " ".join(text.replace("``", "`").replace("|", "\\|").split())


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


PAGES: Final[MappingProxyType[str, Callable[[], str]]] = MappingProxyType(
    {
        "tables.md": tables_page,
        "indicators.md": indicators_page,
        "detectors.md": detectors_page,
        "venues.md": venues_page,
        "live-venues.md": live_venues_page,
        "settings.md": settings_page,
    }
)


def stale(folder: Path = FOLDER) -> list[str]:
    """Name the pages in a folder that are absent or not what the code says."""
    return [
        name
        for name, page in PAGES.items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != page()
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the pages; give the exit status."""
    parser = argparse.ArgumentParser(description="Write the reference pages from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if one differs")
    if parser.parse_args(arguments).check:
        behind = stale()
        if behind:
            sys.stderr.write(
                f"docs: {', '.join(behind)} differ from the code; run python docs/generate.py\n"
            )
        return 1 if behind else 0
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
