import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from marketlake.report.live import AnomalyLine, LiveView, Progress, SpreadLine, plain_line, render

AT = datetime(2023, 3, 11, 7, 15, tzinfo=UTC)
PROGRESS = Progress(
    stage="replaying",
    elapsed_s=3_725.9,
    batch=41,
    rows_in=1_204_332,
    rows_per_s=48_231.4,
    lag_rows=120,
    batch_ms=2_110.2,
    silver_rows={"trades": 0, "bars": 207_900},
    quarantined={"inconsistent_bar": 12, "duplicate": 3},
    event_time=AT,
    anomalies=[AnomalyLine(AT, "kraken", "USDC-USD", "excursion", "high", -41.5)] * 7,
    spreads=[SpreadLine("BTC", "binanceus", "kraken", 91.2, 31.2, "indicative")],
)


def recorded(progress: Progress, width: int = 120) -> str:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(render(progress))
    return console.export_text()


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_snapshot_shows_all_its_figures() -> None:
    text = recorded(PROGRESS)
    for part in (
        "marketlake: replaying",
        "1:02:05",
        "1,204,332",
        "48,231",
        "120",
        "2,110 ms",
        "2023-03-11 07:15:00",
        "bars 207,900",
        "inconsistent bar 12  ·  duplicate 3",
        "-41.5",
        "indicative",
        "+31.2",
    ):
        assert part in text
    assert "trades" not in text
    assert text.count("excursion") == 5
    assert recorded(PROGRESS) == text


def test_a_snapshot_before_the_first_batch() -> None:
    text = recorded(Progress("starting"), width=80)
    assert "marketlake: starting" in text
    assert text.count("nothing") == 2
    assert "anomalies" not in text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_names_from_the_wire_are_no_markup() -> None:
    line = SpreadLine("[/red]", "[bold]x", "y", 1.0, -1.0, "executable")
    anomaly = AnomalyLine(AT, "[/b]", "[i]", "[/]", "low", 1.0)
    progress = Progress("[/stage]", spreads=[line], anomalies=[anomaly])
    text = recorded(progress)
    for part in ("[/red]", "[bold]x", "[/b]", "[/stage]"):
        assert part in text
    assert "[/stage]" in plain_line(progress)


def view(clock: Clock, *, terminal: bool) -> tuple[LiveView, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100)
    return LiveView(console, plain_every_s=5.0, clock=clock), out


def test_without_a_terminal_a_line_comes_every_few_seconds(clock: Clock) -> None:
    shown, out = view(clock, terminal=False)
    with shown:
        for second in range(13):
            clock.now_s = float(second)
            shown.update(Progress("reading", elapsed_s=second, batch=second, rows_in=second))
    lines = out.getvalue().splitlines()
    assert [line.split(" | ")[2] for line in lines] == [
        "batch 0",
        "batch 5",
        "batch 10",
        "batch 12",
    ]
    assert "\x1b" not in out.getvalue()


def test_without_a_terminal_a_new_stage_shows_at_once(clock: Clock) -> None:
    shown, out = view(clock, terminal=False)
    with shown:
        shown.update(Progress("starting"))
        shown.update(PROGRESS)
    assert [line.split(" | ")[1] for line in out.getvalue().splitlines()] == [
        "starting",
        "replaying",
    ]
    assert out.getvalue().splitlines()[1] == plain_line(PROGRESS)


def test_on_a_terminal_the_panel_is_drawn(clock: Clock) -> None:
    shown, out = view(clock, terminal=True)
    with shown:
        shown.update(PROGRESS)
    assert "marketlake: replaying" in out.getvalue()
    assert " | " not in out.getvalue()
    # The cursor, hidden while the panel lives, is given back.
    assert out.getvalue().rindex("\x1b[?25h") > out.getvalue().rindex("\x1b[?25l")
