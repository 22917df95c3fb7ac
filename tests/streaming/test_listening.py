"""From the manifest of a batch, with files as the stream writes them, to figures and snapshots."""

import io
import logging
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest
from rich.console import Console

from marketlake.analytics.admission import NO_TIME_US
from marketlake.contracts.tables import (
    BRONZE_EVENTS,
    GOLD_ANOMALIES,
    GOLD_BARS,
    GOLD_SPREADS,
    SILVER_TRADES,
)
from marketlake.lake.datafiles import DataFileWriter
from marketlake.lake.manifests import Manifest, ManifestInput
from marketlake.lake.storage import Storage
from marketlake.report.live import LiveView
from streaming.listening import fan_out, figures_of, with_figures
from streaming.live_progress import LiveProgress

T = datetime(2023, 3, 11, 7, 15, tzinfo=UTC)
T_US = 1_678_518_900_000_000


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path / "lake"))


def written(storage, table, rows, partition=("spot", "2023-03-11")):
    """Write rows as the stream does; give the file in a list."""
    values = [table.row(**row) for row in rows]
    columns = {n: pa.array([r[n] for r in values]) for n in table.file_schema.names}
    writer = DataFileWriter(storage, table, "00000000-test")
    writer.add(partition, pa.table(columns).cast(table.file_schema))
    return writer.close()


def manifest(files=(), sequence=0, inputs=None, **counts):
    return Manifest(
        sequence=sequence,
        kind="messages",
        spark_batch=sequence,
        source="kafka",
        ingest_time_us=T_US,
        inputs=inputs or {},
        files=list(files),
        state_files={},
        replaced_state_files=[],
        counts={
            "read": {"messages": counts.get("read", 0)},
            "silver": counts.get("silver", {}),
            "quarantine": {"messages": counts.get("quarantined", 0)},
            "reasons": counts.get("reasons", {}),
            "gold": counts.get("gold", {}),
        },
    )


def anomaly(minute, score=9.0, **values):
    time = T + timedelta(minutes=minute)
    return dict(
        venue="kraken",
        instrument="USDC-USD",
        metric="return",
        detector=values.pop("detector", "rolling_zscore:1m"),
        event_time=time,
        end_time=time,
        severity="high",
        score=score,
        **values,
    )


def spread(net_bps, base="BTC", status="open", price_basis="executable", sell_venue="kraken"):
    return {
        "opportunity_id": f"{base}{net_bps}",
        "event_time": T,
        "status": status,
        "base": base,
        "buy_venue": "okx",
        "sell_venue": sell_venue,
        "gross_bps": net_bps + 20,
        "net_bps": net_bps,
        "price_basis": price_basis,
    }


def test_a_manifest_becomes_figures(storage):
    inputs = {
        "market.trades-0": ManifestInput("market.trades", 0, 40, T_US, T_US + 5, active=True),
        "market.bars-1": ManifestInput("market.bars", 1, -1, NO_TIME_US, NO_TIME_US, active=False),
    }
    files = written(storage, BRONZE_EVENTS, [{"source_timestamp": T}], ("2023-03-11",))
    for day, times in (
        ("2023-03-11", [T + timedelta(microseconds=7), T]),
        ("2023-03-10", [T - timedelta(days=1)]),
    ):
        rows = [{"event_time": time, "price": 1.0} for time in times]
        files += written(storage, SILVER_TRADES, rows, ("spot", day))
    perp = [{"event_time": T + timedelta(microseconds=9), "price": 1.0}]
    files += written(storage, SILVER_TRADES, perp, ("perp", "2023-03-11"))
    files += written(storage, GOLD_BARS, [{"open_time": T - timedelta(minutes=1)}])
    figures = figures_of(
        manifest(
            files,
            sequence=3,
            inputs=inputs,
            read=10,
            silver={"silver/trades": 8},
            quarantined=2,
            reasons={"late": 2},
            gold={"gold/bars": 1},
        ),
        0.5,
        {"market.trades-0": 4},
    )
    assert (figures.sequence, figures.kind, figures.seconds) == (3, "messages", 0.5)
    assert (figures.read, figures.quarantined, figures.unaccounted) == (10, 2, 0)
    assert figures.silver == {"silver/trades": 8}
    assert figures.reasons == {"late": 2}
    assert figures.gold == {"gold/bars": 1}
    assert figures.rows_per_s == 20
    assert figures.watermark_us == T_US
    assert figures.lag == 4
    bars = figures.inputs["market.bars-1"]
    assert (bars.watermark_us, bars.latest_us, bars.active) == (None, None, False)
    assert figures.inputs["market.trades-0"].latest_us == T_US + 5
    # The latest over both markets, to the microsecond; bronze has no event time.
    assert figures.latest_event_us == {
        "silver/trades": T_US + 9,
        "gold/bars": T_US - 60_000_000,
    }


def test_figures_go_to_every_listener_with_the_present_lag():
    heard, lag = [], {}
    listen = with_figures(heard.append, heard.append, lag=lambda: lag)
    listen(manifest(read=1), 1.0)
    lag["a-0"] = 7
    listen(manifest(read=2), 1.0)
    assert [(f.read, f.lag) for f in heard] == [(1, None), (1, None), (2, 7), (2, 7)]


def test_a_listener_that_fails_holds_up_neither_the_others_nor_the_stream(caplog):
    heard = []

    def broken(_manifest, _seconds):
        raise BrokenPipeError("no reader")

    batch = manifest(sequence=5)
    with caplog.at_level(logging.ERROR, "streaming"):
        fan_out(broken, lambda *given: heard.append(given))(batch, 2.0)
    assert heard == [(batch, 2.0)]
    (record,) = caplog.records
    assert record.sequence == 5
    assert "no reader" in str(record.exc_info[1])


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shown():
    return []


@pytest.fixture
def progress(storage, shown, clock):
    return LiveProgress(storage.uri, shown.append, "replaying", clock)


def test_snapshots_add_up_over_batches(progress, shown, clock):
    inputs = {"t-0": ManifestInput("t", 0, 40, T_US, T_US + 5, active=True)}
    clock.now_s += 3
    progress.batch(
        manifest(
            inputs=inputs,
            read=100,
            silver={"silver/trades": 90, "silver/bars": 5},
            quarantined=5,
            reasons={"late": 5},
        ),
        0.5,
    )
    clock.now_s += 4
    second = manifest(
        sequence=1,
        inputs=inputs,
        read=50,
        silver={"silver/trades": 48},
        quarantined=2,
        reasons={"late": 1, "duplicate": 1},
    )
    progress.batch(second, 0.25)
    first, last = shown
    assert (first.batch, first.rows_in, first.rows_per_s, first.batch_ms) == (0, 100, 200, 500)
    assert (first.stage, first.elapsed_s, first.lag_rows) == ("replaying", 3, None)
    assert first.silver_rows == {"trades": 90, "bars": 5}
    assert first.event_time == T
    assert (last.batch, last.rows_in, last.rows_per_s, last.elapsed_s) == (1, 150, 200, 7)
    assert last.silver_rows == {"trades": 138, "bars": 5}
    assert last.quarantined == {"late": 6, "duplicate": 1}
    # What was shown does not change behind the view's back.
    assert first.quarantined == {"late": 5}


def test_lag_and_stage_show_at_once_and_a_control_batch_keeps_the_rate(progress, shown):
    progress.batch(manifest(read=100), 0.5)
    progress.lag({"a-0": 3, "a-1": 4})
    progress.stage("closing the last bars")
    progress.batch(manifest(sequence=1), 0.1)
    progress.lag({})
    assert [s.lag_rows for s in shown] == [None, 7, 7, 7, None]
    assert [s.stage for s in shown] == ["replaying"] * 2 + ["closing the last bars"] * 3
    assert [s.rows_per_s for s in shown] == [200] * 5


def test_the_latest_anomalies_stay_newest_first(progress, shown, storage, clock):
    early = written(storage, GOLD_ANOMALIES, [anomaly(i) for i in (2, 0, 1)])
    progress.batch(manifest(early), 1.0)
    assert [a.event_time.minute for a in shown[-1].anomalies] == [17, 16, 15]
    clock.now_s += 60
    more = [anomaly(i) for i in range(3, 6)] + [anomaly(5, detector="other")]
    progress.batch(manifest(written(storage, GOLD_ANOMALIES, more), sequence=1), 1.0)
    lines = shown[-1].anomalies
    assert [a.event_time.minute for a in lines] == [20, 19, 18, 17, 16]
    assert (lines[0].venue, lines[0].metric, lines[0].severity) == ("kraken", "return", "high")
    clock.now_s += 60
    progress.batch(manifest(sequence=2), 1.0)
    assert shown[-1].anomalies == lines


def test_the_newest_file_of_a_batch_over_many_days_is_looked_at(progress, shown, storage):
    files = []
    for day in (1, 3, 2):
        partition = ("spot", (date(2023, 3, 11) + timedelta(days=day)).isoformat())
        files += written(storage, GOLD_ANOMALIES, [anomaly(1440 * day)], partition)
    progress.batch(manifest(files), 1.0)
    assert [a.event_time for a in shown[-1].anomalies] == [T + timedelta(days=3)]


def test_the_best_spreads_are_alive_and_executable_ones_come_first(progress, shown, storage):
    rows = [
        spread(5.0),
        spread(8.0),
        spread(90.0, status="close"),
        spread(70.0, price_basis="indicative", base="ETH"),
        spread(3.0, sell_venue="gemini", status="update"),
        spread(99.0, price_basis="indicative"),
    ]
    progress.batch(manifest(written(storage, GOLD_SPREADS, rows)), 1.0)
    lines = shown[-1].spreads
    assert [(s.base, s.sell_venue, s.net_bps, s.price_basis) for s in lines] == [
        ("BTC", "kraken", 8.0, "executable"),
        ("BTC", "gemini", 3.0, "executable"),
        ("ETH", "kraken", 70.0, "indicative"),
    ]
    assert (lines[0].buy_venue, lines[0].gross_bps) == ("okx", 28.0)


def test_at_most_five_rows_of_each(progress, shown, storage):
    files = written(storage, GOLD_SPREADS, [spread(float(i), base=f"B{i}") for i in range(20)])
    files += written(storage, GOLD_ANOMALIES, [anomaly(i) for i in range(20)])
    progress.batch(manifest(files), 1.0)
    assert [s.net_bps for s in shown[-1].spreads] == [19, 18, 17, 16, 15]
    assert [a.event_time.minute for a in shown[-1].anomalies] == [34, 33, 32, 31, 30]


def test_a_file_that_is_gone_or_damaged_leaves_the_rows_that_were_there(
    progress, shown, storage, clock
):
    progress.batch(manifest(written(storage, GOLD_SPREADS, [spread(5.0)])), 1.0)
    before = shown[-1].spreads
    for sequence, data in enumerate((b"no Parquet", None), start=1):
        clock.now_s += 60
        (file,) = written(storage, GOLD_SPREADS, [spread(50.0)])
        path = storage.local_root / file.table / file.path
        path.unlink()
        if data is not None:
            path.write_bytes(data)
        progress.batch(manifest([file], sequence=sequence), 1.0)
        assert shown[-1].batch == sequence
        assert shown[-1].spreads == before


def test_a_slow_lake_is_looked_at_less_often(progress, shown, storage, clock, monkeypatch):
    read, reads = Storage.read, []

    def slow(self, relative):
        clock.now_s += 0.2
        reads.append(relative)
        return read(self, relative)

    monkeypatch.setattr(Storage, "read", slow)
    for sequence in range(21):
        files = written(storage, GOLD_SPREADS, [spread(float(sequence))])
        progress.batch(manifest(files, sequence=sequence), 1.0)
        clock.now_s += 1.1
    # 0.2 s a look at 2 % of the time: one in 10 s; what was left out then is seen later.
    assert len(reads) == 3
    assert [s.spreads[0].net_bps for s in shown][::10] == [0.0, 10.0, 20.0]


def test_the_view_shows_what_the_manifests_say(storage):
    out = io.StringIO()
    console = Console(file=out, force_terminal=False, width=100)
    with LiveView(console) as view:
        progress = LiveProgress(storage.uri, view.update)
        progress.batch(manifest(read=1_000, silver={"silver/bars": 1_000}), 0.5)
    assert "batch 0 | 1,000 rows in | 2,000 rows/s | lag – | silver 1,000" in out.getvalue()
