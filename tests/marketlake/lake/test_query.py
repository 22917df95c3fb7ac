from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from marketlake.contracts.tables import GOLD_BARS, SILVER_QUARANTINE, Table
from marketlake.lake.errors import LakeError, LakeNotFoundError
from marketlake.lake.query import open_lake, table_overview

START = datetime(2023, 3, 10, 22, tzinfo=UTC)


def write(lake: Path, table: Table, rows: list[dict]) -> None:
    write_deltalake(
        lake / table.path,
        pa.Table.from_pylist(rows, schema=table.arrow_schema),
        mode="append",
        partition_by=list(table.partition_by),
    )


def bar(hour: int, close: float) -> dict:
    at = START + timedelta(hours=hour)
    return GOLD_BARS.row(
        venue="kraken",
        instrument="USDC-USD",
        interval="1h",
        origin="venue",
        open_time=at,
        close=close,
        market="spot",
        date=at.date(),
    )


@pytest.fixture
def lake(tmp_path: Path) -> str:
    """Five hourly bars over two days, and a quarantine without a row."""
    write(tmp_path, GOLD_BARS, [bar(h, 1.0 - h / 100) for h in range(5)])
    DeltaTable.create(
        tmp_path / SILVER_QUARANTINE.path,
        schema=SILVER_QUARANTINE.arrow_schema,
        partition_by=list(SILVER_QUARANTINE.partition_by),
    )
    return str(tmp_path)


def test_tables_are_views_by_layer_and_name(lake: str) -> None:
    with open_lake(lake) as connection:
        rows = connection.execute(
            "SELECT date, count(*), min(close) FROM gold.bars GROUP BY date ORDER BY date"
        ).fetchall()
        assert rows == [
            (date(2023, 3, 10), 2, pytest.approx(0.99)),
            (date(2023, 3, 11), 3, pytest.approx(0.96)),
        ]
        assert connection.execute("SELECT count(*) FROM silver.quarantine").fetchone() == (0,)


def test_times_are_utc_whatever_the_machine_says(
    lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    with open_lake(lake) as connection:
        text = connection.execute(
            "SELECT max(open_time)::VARCHAR, hour(max(open_time)) FROM gold.bars"
        ).fetchone()
    assert text == ("2023-03-11 02:00:00+00", 2)


def test_filters_and_columns_reach_the_scan(lake: str) -> None:
    with open_lake(lake) as connection:
        plan = connection.execute(
            "EXPLAIN SELECT close FROM gold.bars WHERE date = '2023-03-11' AND venue = 'kraken'"
        ).fetchall()[0][1]
    scan = plan[plan.index("ARROW_SCAN") :]
    assert "Projections: close" in scan
    assert "FILTER" not in plan[: plan.index("ARROW_SCAN")]
    assert "2023-03-11" in scan
    assert "kraken" in scan


def test_a_filter_on_a_partition_reads_no_file_of_another(lake: str) -> None:
    with open_lake(lake) as connection:
        for file in Path(lake).glob("gold/bars/*/date=2023-03-10/*.parquet"):
            file.unlink()
        sql = "SELECT count(close) FROM gold.bars WHERE date = '{}'"
        assert connection.execute(sql.format("2023-03-11")).fetchone() == (3,)
        with pytest.raises(duckdb.Error):
            connection.execute(sql.format("2023-03-10")).fetchone()


def test_a_view_reads_the_version_at_opening(lake: str) -> None:
    with open_lake(lake) as connection:
        write(Path(lake), GOLD_BARS, [bar(9, 1.0)])
        assert connection.execute("SELECT count(*) FROM gold.bars").fetchone() == (5,)


def test_overview_tells_rows_and_latest_event(lake: str) -> None:
    write(Path(lake), GOLD_BARS, [bar(6, 1.0)])
    before = datetime.now(UTC)
    quarantine, bars = table_overview(lake)
    assert (bars.name, bars.rows, bars.files, bars.version) == ("gold.bars", 6, 3, 1)
    assert bars.latest_event == START + timedelta(hours=6)
    assert bars.freshness_s(START + timedelta(hours=7)) == 3600.0
    assert before - timedelta(minutes=5) < bars.latest_commit <= datetime.now(UTC)
    assert (quarantine.name, quarantine.rows, quarantine.latest_event) == (
        "silver.quarantine",
        0,
        None,
    )
    assert quarantine.freshness_s(START) is None


def test_overview_without_statistics_reads_the_files(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([bar(h, 1.0) for h in range(5)], schema=GOLD_BARS.arrow_schema)
    write_deltalake(
        tmp_path / "gold/bars",
        table,
        configuration={"delta.dataSkippingNumIndexedCols": "0"},
    )
    actions = pa.table(DeltaTable(tmp_path / "gold/bars").get_add_actions(flatten=True))
    assert "max.open_time" not in actions.column_names
    (bars,) = table_overview(str(tmp_path))
    assert (bars.rows, bars.latest_event) == (5, START + timedelta(hours=4))


@pytest.mark.parametrize("read", [open_lake, table_overview])
def test_a_path_without_a_lake_is_named(tmp_path: Path, read) -> None:
    absent = tmp_path / "nowhere"
    with pytest.raises(LakeNotFoundError, match=f"no lake at {absent}: .* demo --lake {absent}"):
        read(str(absent))
    assert not absent.exists()


def test_a_broken_log_is_named(lake: str) -> None:
    log = Path(lake) / "gold/bars/_delta_log"
    next(log.glob("*.json")).unlink()
    with pytest.raises(LakeError, match=r"cannot open .*gold/bars"):
        open_lake(lake)
