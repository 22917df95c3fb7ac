"""The reference pages are what the code says."""

import importlib.util
from pathlib import Path

import pytest

from marketlake.contracts.tables import SILVER_TRADES
from marketlake.contracts.venues import VENUES

_SCRIPT = Path(__file__).parents[2] / "docs" / "generate.py"


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("docs_generate", _SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_are_up_to_date(generate):
    assert generate.main(["--check"]) == 0


def test_a_changed_and_an_absent_page_are_named(generate, tmp_path):
    for name, page in generate.PAGES.items():
        (tmp_path / name).write_text(page(), encoding="utf-8")
    assert generate.stale(tmp_path) == []
    (tmp_path / "venues.md").write_text("# Venues", encoding="utf-8")
    (tmp_path / "tables.md").unlink()
    assert generate.stale(tmp_path) == ["tables.md", "venues.md"]


def test_every_column_of_a_table_stands_on_the_page_with_its_meaning(generate):
    section = generate.tables_page().split("## silver/trades\n")[1].split("\n## ")[0]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]
    assert [row[0].strip("| `") for row in rows] == [c.name for c in SILVER_TRADES.columns]
    assert "| `price` | `DOUBLE` |  | in the quote currency |" in section
    assert "| `side` | `STRING` | yes | the aggressor: buy or sell |" in section


def test_a_setting_shows_values_default_and_the_text_under_it(generate):
    rows = [line.split(" | ") for line in generate.settings_page().splitlines()]
    row = next(row for row in rows if row[0] == "| `lateness_ms`")
    assert row[1:3] == ["integer, at least `0`, at most `86400000`", "`60000`"]
    assert row[3].startswith("Allowed lateness of trades and bars")


def test_every_venue_has_a_row(generate):
    page = generate.venues_page()
    assert all(f"| `{name}` |" in page for name in VENUES)
    assert "| `binance` | spot 10, perp 5 |" in page
