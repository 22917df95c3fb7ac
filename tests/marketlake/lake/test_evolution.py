"""Tables of an older release get new columns; what does not fit is refused with one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from marketlake.contracts.tables import SILVER_TRADES, Column, Table
from marketlake.contracts.types import DOUBLE, LEVELS, LONG, STRING
from marketlake.lake.datafiles import DataFile, DataFileWriter, is_from_files
from marketlake.lake.delta import DeltaTables
from marketlake.lake.errors import LakeError
from marketlake.lake.query import open_lake
from marketlake.lake.storage import Storage
from marketlake.lake.upkeep import Upkeep
from marketlake.settings.model import MaintainSettings

FLAG = Column("liquidation", STRING, "as a later release may have it", nullable=True)
DEPTH = Column("levels", LEVELS, "nested", nullable=True)
NEWER = replace(SILVER_TRADES, columns=(*SILVER_TRADES.columns, FLAG, DEPTH))


@pytest.fixture(params=["local", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "s3":
        return Storage(f"s3a://{request.getfixturevalue('s3_bucket')}/lake")
    return Storage(str(tmp_path / "lake"))


def written(storage: Storage, table: Table, label: str, **values: object) -> list[DataFile]:
    rows = pa.Table.from_pylist([table.row(venue=label, **values)], table.arrow_schema)
    writer = DataFileWriter(storage, table, label)
    writer.add(("spot", "2025-01-15"), rows.select(table.file_schema.names))
    return writer.close()


def tables_of(storage: Storage, table: Table) -> DeltaTables:
    tables = DeltaTables(storage, [table])
    tables.create_all()
    return tables


def found(storage: Storage) -> list[tuple[object, ...]]:
    query = "SELECT venue, liquidation, levels FROM silver.trades ORDER BY venue"
    return open_lake(storage.uri).execute(query).fetchall()


def test_a_column_that_may_be_null_is_added_and_older_rows_have_none(storage):
    old = tables_of(storage, SILVER_TRADES)
    old.commit(SILVER_TRADES.path, "app", 0, written(storage, SILVER_TRADES, "a"))
    new = tables_of(storage, NEWER)
    levels = [{"price": 1.0, "quantity": 2.0}]
    files = written(storage, NEWER, "b", liquidation="yes", levels=levels)
    # Decided by the release before, and committed by this one.
    left = written(storage, SILVER_TRADES, "c")
    new.commit(NEWER.path, "app", 1, [*files, *left])
    rows = [("a", None, None), ("b", "yes", levels), ("c", None, None)]
    assert found(storage) == rows
    delta = DeltaTable(storage.path(NEWER.path), storage_options=storage.delta_options)
    assert (delta.protocol().min_reader_version, delta.protocol().reader_features) == (1, None)
    assert delta.transaction_version("app") == 1
    version = delta.version()
    tables_of(storage, NEWER)
    delta.update_incremental()
    assert delta.version() == version
    # Joined, too.
    settings = MaintainSettings(min_files=2)
    keeper = Upkeep(storage, settings, is_from_files, set, dry_run=False)
    assert keeper.keep(NEWER.path, lambda: None).files_after == 1
    assert found(storage) == rows


def test_a_release_that_lacks_a_column_goes_on_writing(storage):
    tables_of(storage, NEWER)
    old = tables_of(storage, SILVER_TRADES)
    old.commit(SILVER_TRADES.path, "app", 0, written(storage, SILVER_TRADES, "a"))
    assert found(storage) == [("a", None, None)]


def changed(name: str, **changes: object) -> Table:
    columns = tuple(replace(c, **changes) if c.name == name else c for c in SILVER_TRADES.columns)
    return replace(SILVER_TRADES, columns=columns)


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (changed("price", type=LONG), "has column price as double, not as long"),
        (changed("venue", nullable=True), "has column venue, which may not be null there"),
        (
            replace(
                SILVER_TRADES, columns=(*SILVER_TRADES.columns, Column("fee", DOUBLE, "", False))
            ),
            "has no column fee, which may not be null",
        ),
        (
            replace(
                SILVER_TRADES, columns=tuple(c for c in SILVER_TRADES.columns if c.name != "price")
            ),
            "has column price, which this release does not know and may not be null",
        ),
        (replace(SILVER_TRADES, partition_by=("date",)), "is partitioned by market, date, not by"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path, table, problem):
    storage = Storage(str(tmp_path))
    tables_of(storage, SILVER_TRADES)
    with pytest.raises(LakeError, match=f"silver/trades {problem}") as e:
        tables_of(storage, table)
    assert "\n" not in str(e.value)
    assert "start on a new lake" in str(e.value)
    assert DeltaTable(storage.path(table.path)).version() == 0
