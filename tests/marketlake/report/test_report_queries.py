from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from marketlake.contracts.tables import GOLD_BARS
from marketlake.lake.query import open_lake, table_overview
from marketlake.report import quality_queries, queries, spread_queries

from . import sample_lake


@pytest.fixture
def lake(sample: str) -> Iterator[duckdb.DuckDBPyConnection]:
    with open_lake(sample) as connection:
        yield connection


def milliseconds(minute: int) -> int:
    return int((sample_lake.START + timedelta(minutes=minute)).timestamp() * 1000)


def test_plots_show_the_widest_instruments_then_the_worst_anomaly(lake) -> None:
    chosen = queries.price_sources(lake, by_venues=1, by_anomaly=1)
    assert [source.instrument for source in chosen] == ["BTC-USDT", "USDC-USD"]
    assert chosen[0].interval == "1m"
    assert chosen[0].origin_of == dict.fromkeys(sample_lake.VENUES["BTC-USDT"], "venue")


def test_without_anomalies_the_next_instruments_fill_up(tmp_path: Path, lake) -> None:
    rows = lake.sql("SELECT * FROM gold.bars WHERE date = '2023-03-10'").to_arrow_table()
    sample_lake.write(tmp_path, GOLD_BARS, rows)
    with open_lake(str(tmp_path)) as connection:
        chosen = queries.price_sources(connection, by_venues=1, by_anomaly=1)
    assert [source.instrument for source in chosen] == ["BTC-USDT", "ETH-USDT"]


def test_the_interval_on_most_venues_wins_and_then_the_finest(tmp_path: Path) -> None:
    def bars(venue: str, interval: str, origin: str, count: int) -> list[dict]:
        return [
            GOLD_BARS.row(
                venue=venue,
                instrument="BTC-USD",
                interval=interval,
                origin=origin,
                open_time=sample_lake.START + timedelta(minutes=i),
                market="spot",
                date=sample_lake.START.date(),
            )
            for i in range(count)
        ]

    rows = bars("kraken", "1s", "trades", 9)
    for interval in ("5m", "1m"):
        rows += bars("kraken", interval, "venue", 2) + bars("coinbase", interval, "venue", 2)
    rows += bars("kraken", "1m", "trades", 3)
    sample_lake.write(tmp_path, GOLD_BARS, rows)
    with open_lake(str(tmp_path)) as connection:
        (source,) = queries.price_sources(connection)
    assert source.interval == "1m"
    assert source.origin_of == {"coinbase": "venue", "kraken": "trades"}


def test_the_depeg_low_is_on_the_line_of_lows(lake) -> None:
    (source,) = [s for s in queries.price_sources(lake) if s.instrument == "USDC-USD"]
    lines = queries.price_lines(lake, source)
    (low,) = lines["low"]
    assert low.name == "kraken"
    assert low.x_ms[low.y.index(sample_lake.DEPEG_LOW)] == milliseconds(1155)
    assert all(len(line.y) <= 2_000 for column in lines.values() for line in column)


def test_a_gap_of_ninety_minutes_breaks_only_that_venue(lake) -> None:
    lines = queries.price_lines(lake, queries.price_sources(lake)[0])["close"]
    assert {line.name: line.y.count(None) for line in lines} == {
        "binanceus": 0,
        "bybit": 0,
        "coinbase": 0,
        "kraken": 1,
    }


def test_an_excursion_is_marked_at_the_low_of_its_bar(lake) -> None:
    (source,) = [s for s in queries.price_sources(lake) if s.instrument == "USDC-USD"]
    marks = queries.anomaly_marks(lake, source)
    (mark,) = [mark for mark in marks if mark["metric"] == "excursion"]
    assert (mark["x_ms"], mark["y"]) == (milliseconds(1155), sample_lake.DEPEG_LOW)
    assert mark["severity"] == "high"


def test_the_strongest_anomalies_come_first_whatever_their_sign(lake) -> None:
    top = queries.top_anomalies(lake, limit=10)
    assert top[0]["score"] == -41.5
    sizes = [abs(row["score"]) for row in top]
    assert len(sizes) == 10
    assert sizes == sorted(sizes, reverse=True)


def test_indicators_are_shown_around_the_worst_anomaly(lake) -> None:
    window = queries.indicator_window(lake, "USDC-USD", bars=100)
    assert window is not None
    assert (window.venue, window.total, window.around_anomaly) == ("kraken", 2880, True)
    times = window.columns["open_time_ms"]
    assert times == [milliseconds(1155 + i) for i in range(-50, 50)]
    assert set(sample_lake.INDICATORS) <= window.columns.keys()


def test_indicators_without_an_anomaly_are_the_latest(tmp_path: Path, lake) -> None:
    table = sample_lake.tables.indicators_table(sample_lake.INDICATORS)
    rows = lake.sql("SELECT * FROM gold.indicators WHERE instrument = 'USDC-USD'").to_arrow_table()
    sample_lake.write(tmp_path, table, rows)
    with open_lake(str(tmp_path)) as connection:
        window = queries.indicator_window(connection, "USDC-USD", bars=100)
        few = queries.indicator_window(connection, "USDC-USD", bars=5_000)
    assert window is not None
    assert window.columns["open_time_ms"] == [milliseconds(i) for i in range(2780, 2880)]
    assert not window.around_anomaly
    assert few is not None
    assert len(few.columns["close"]) == 2880
    assert few.columns["sma_20"][:20].count(None) == 19


def test_spreads_keep_executable_and_indicative_apart(lake) -> None:
    executable, indicative = spread_queries.spread_charts(lake)
    assert (executable.price_basis, executable.net.y) == ("executable", [4.0, 11.0, -1.0])
    assert executable.gross.y == [24.0, 31.0, 19.0]
    assert [(e["x_ms"], e["status"]) for e in executable.events] == [
        (milliseconds(1150), "open"),
        (milliseconds(1160), "close"),
    ]
    assert (indicative.price_basis, len(indicative.net.y), indicative.events) == (
        "indicative",
        576,
        [],
    )
    assert spread_queries.basis_counts(lake) == {"executable": 3, "indicative": 576}


def test_ways_round_a_venue_executable_first(lake) -> None:
    executable, study = spread_queries.triangles(lake)
    assert (executable["price_basis"], executable["times"]) == ("executable", 1)
    assert (executable["net_bps"], executable["gross_bps"]) == (14.0, 44.0)
    assert executable["capacity"] == 2_500.0
    assert (study["price_basis"], study["times"], study["net_bps"]) == ("indicative", 2, -21.0)
    assert study["capacity"] is None


def test_basis_of_a_perpetual(lake) -> None:
    (row,) = spread_queries.perpetuals(lake)
    assert (row["latest_bps"], row["least_bps"], row["most_bps"]) == (5.5, -7.0, 5.5)
    # The latest that there is: of the last row it is not known.
    assert (row["rows"], row["annualised_carry"]) == (3, -0.219)


def test_an_opportunity_lasts_from_open_to_close(lake) -> None:
    (row,) = spread_queries.opportunities(lake)
    assert row["closed"] - row["opened"] == timedelta(minutes=10)
    assert (row["net_bps"], row["gross_bps"], row["notional"]) == (11.0, 31.0, 8_200.0)


def test_the_headline_adds_up_without_control_events(sample: str, lake) -> None:
    figures = quality_queries.headline(lake, table_overview(sample))
    # Seven series of 2,880 minutes, less the gap; 30 messages refused.
    assert figures.accepted == figures.silver["bars"] == 7 * 2880 - 90
    assert figures.quarantined == 30
    assert figures.events_read == figures.accepted + 30
    assert figures.unaccounted == 0
    assert figures.reasons == {
        "duplicate": 10,
        "inconsistent_bar": 10,
        "too_late": 10,
        "non_positive_price": 3,
    }
    assert figures.first_event == sample_lake.START
    assert figures.last_event == sample_lake.START + timedelta(minutes=2879)


def test_quarantine_is_broken_down_by_reason_type_and_venue(lake) -> None:
    rows = quality_queries.quarantine_breakdown(lake)
    counts = {(r["reason"], r["type"], r["venue"]): r["rows"] for r in rows}
    assert counts["duplicate", "bar", "kraken"] == 5
    assert counts["duplicate", "bar", "unknown"] == 5
    assert counts["non_positive_price", "bar", "unknown"] == 3
    assert sum(counts.values()) == 33


def test_gaps_name_the_longest_stretch_without_a_bar(lake) -> None:
    worst, *others = quality_queries.bar_gaps(lake)
    assert (worst["venue"], worst["instrument"], worst["missing"]) == ("kraken", "BTC-USDT", 90)
    assert worst["longest_s"] == 90 * 60
    assert worst["longest_from"] == sample_lake.START + timedelta(minutes=sample_lake.GAP.start)
    assert worst["missing_share"] == pytest.approx(90 / 2880)
    assert [row["missing"] for row in others] == [0] * 6


def test_accepted_rows_are_counted_by_venue(lake) -> None:
    rows = {(r["venue"], r["type"]): r for r in quality_queries.venue_counts(lake)}
    assert rows["kraken", "bars"]["rows"] == 2 * 2880 - 90
    assert rows["kraken", "bars"]["instruments"] == 2
