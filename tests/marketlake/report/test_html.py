import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from marketlake.contracts import tables
from marketlake.lake.errors import LakeNotFoundError
from marketlake.report.html import (
    evidence_text,
    number_text,
    script_json,
    span_text,
    write_report,
)

from . import sample_lake


class Page(HTMLParser):
    """What a browser would load, and the texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.texts: list[str] = []
        self.policy = ""
        self._inside = ""
        self.figures = "{}"
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        values = dict(attrs)
        self._inside = tag if tag in ("script", "style") else ""
        if values.get("id") == "figures-data":
            self._inside = "figures"
        if "id" in values:
            self.ids.append(values["id"])
        self.loads += [
            values[name]
            for name in ("src", "href", "data", "action", "srcset", "poster")
            if values.get(name) and not values[name].startswith("#")
        ]
        if values.get("http-equiv") == "Content-Security-Policy":
            self.policy = values["content"]

    def handle_endtag(self, tag) -> None:
        self._inside = ""

    def handle_data(self, data) -> None:
        if self._inside == "figures":
            self.figures = data
        elif not self._inside:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def report(sample: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "folder" / "report.html"
    assert write_report(sample, path, "Depeg <week>") == path
    return path


@pytest.fixture(scope="module")
def page(report: Path) -> Page:
    return Page(report.read_text(encoding="utf-8"))


def test_nothing_outside_the_file_is_loaded(report: Path, page: Page) -> None:
    text = report.read_text(encoding="utf-8")
    assert page.loads == []
    assert page.policy.startswith("default-src 'none';")
    assert "http" not in page.policy
    styles = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert len(styles) == 1
    assert "url(" not in styles[0]
    assert "@import" not in styles[0]
    assert text.count("plotly.js v") == 1
    assert report.stat().st_size < 8_000_000


def test_headline_and_sections_are_there(page: Page) -> None:
    assert "Depeg <week>" in page.text
    assert (
        "The counts add up: 20,070 accepted and 30 quarantined make the 20,100 read." in page.text
    )
    assert {"figures", "prices", "indicators", "anomalies", "spreads", "quality"} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert "2023-03-11 07:15:00 kraken USDC-USD 1m excursion high −41.5" in page.text
    assert "bars 2, origin venue" in page.text
    assert "kraken USDT → BTC → ETH → USDT executable 1" in page.text
    assert "binance BTC-USDT BTC-USDT-PERP 3 5.5 −7.0 5.5 −21.9" in page.text


def test_each_figure_has_its_place_and_no_line_is_long(page: Page) -> None:
    figures = json.loads(page.figures)
    assert set(figures) == {
        "price-0",
        "price-1",
        "price-2",
        "indicator-plot",
        "spread-0",
        "spread-1",
    }
    assert set(figures) <= set(page.ids)
    traces = [trace for figure in figures.values() for trace in figure["data"]]
    # A break of the line takes a point of its own: one for the gap.
    assert max(len(trace["x"]) for trace in traces) <= 2_001
    lowest = min(y for trace in figures["price-2"]["data"] for y in trace["y"] if y is not None)
    assert lowest == sample_lake.DEPEG_LOW


def test_empty_tables_give_sentences(empty: str, tmp_path: Path) -> None:
    page = Page(write_report(empty, tmp_path / "r.html", "Empty").read_text(encoding="utf-8"))
    for sentence in (
        "The lake holds no accepted events yet.",
        "There are no bars yet.",
        "There are no indicators yet.",
        "No anomaly was found.",
        "There are no spreads yet",
        "Nothing is in quarantine.",
        "No event was accepted yet.",
    ):
        assert sentence in page.text
    assert page.figures == "{}"
    assert "None" not in page.text


@pytest.mark.parametrize("table", [tables.GOLD_BARS, tables.GOLD_ANOMALIES, tables.BRONZE_EVENTS])
def test_one_table_alone_is_enough(table: tables.Table, tmp_path: Path) -> None:
    partition = {"market": "spot", "date": sample_lake.START.date()}
    row = table.row(**{name: partition[name] for name in table.partition_by})
    sample_lake.write(tmp_path, table, [row])
    assert "<h1>One</h1>" in write_report(str(tmp_path), tmp_path / "r.html", "One").read_text()


def test_lost_messages_are_told(tmp_path: Path) -> None:
    row = tables.BRONZE_EVENTS.row(source="kafka", value=b"{}", date=sample_lake.START.date())
    sample_lake.write(tmp_path, tables.BRONZE_EVENTS, [row])
    page = Page(write_report(str(tmp_path), tmp_path / "r.html", "Lost").read_text())
    assert "The counts do not add up: 1 read, but 0 accepted and 0 quarantined (1 missing)" in (
        page.text
    )


def test_text_from_the_wire_stays_text(tmp_path: Path) -> None:
    hostile = "<img src=x onerror=alert(1)></script>"
    row = tables.GOLD_BARS.row(
        venue=hostile, instrument=hostile, interval="1m", date=sample_lake.START.date()
    )
    sample_lake.write(tmp_path, tables.GOLD_BARS, [{**row, "market": "spot"}])
    text = write_report(str(tmp_path), tmp_path / "r.html", hostile).read_text()
    assert "<img" not in text
    assert "onerror" in Page(text).figures


def test_no_report_without_a_lake(tmp_path: Path) -> None:
    with pytest.raises(LakeNotFoundError):
        write_report(str(tmp_path / "absent"), tmp_path / "r.html", "None")
    assert not (tmp_path / "r.html").exists()


def test_script_json_cannot_end_its_element() -> None:
    text = script_json({"a": "</script>\u2028", "b": [float("nan"), 1.5]})
    assert "<" not in text
    assert json.loads(text) == {"a": "</script>\u2028", "b": [None, 1.5]}


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (None, None, "–"),
        (float("nan"), 1, "–"),
        (-41.5, 1, "−41.5"),
        (20500.126, None, "20,500.1"),
        (0.00012, None, "0.00012"),
        (1234.5, 0, "1,234"),
    ],
)
def test_numbers(value: float | None, digits: int | None, text: str) -> None:
    assert number_text(value, digits) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0, "0 s"),
        (59, "59 s"),
        (600, "10 min"),
        (5400, "1 h 30 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_spans(seconds: float | None, text: str) -> None:
    assert span_text(seconds) == text


@pytest.mark.parametrize(
    ("evidence", "text"),
    [
        (None, ""),
        ('{"bars_in_run": 2, "x": 0.5}', "bars in run 2, x 0.5"),
        ("not json", "not json"),
        ("[1]", "[1]"),
    ],
)
def test_evidence(evidence: str | None, text: str) -> None:
    assert evidence_text(evidence) == text


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on this machine")
def test_a_browser_draws_every_plot(report: Path, page: Page) -> None:
    done = subprocess.run(
        [
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--virtual-time-budget=10000",
            "--dump-dom",
            report.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    for name in json.loads(page.figures):
        place = done.stdout.index(f'id="{name}"')
        assert "main-svg" in done.stdout[place : place + 2_000], f"{name} was not drawn"
