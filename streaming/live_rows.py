"""A few rows of the newest gold files, for the live view, at a bounded cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from marketlake.contracts.tables import GOLD_ANOMALIES, GOLD_SPREADS
from marketlake.contracts.types import STRING
from marketlake.lake.datafiles import DataFile
from marketlake.lake.errors import LakeError
from marketlake.lake.storage import Storage
from marketlake.report.live import AnomalyLine, SpreadLine
from streaming.listening import latest_event_us

ROWS: Final = 5
"""Rows kept of each kind."""
_MAX_FILE_BYTES: Final = 4 << 20
"""Some 100,000 spreads, read in 20 ms; what is larger is not looked at."""
_TIME_SHARE: Final = 0.02
"""Part of the time that reading may take: a lake that answers slowly is looked at less often."""
_CANDIDATES: Final = 200
_ANOMALY_COLUMNS: Final = ["event_time", "venue", "instrument", "metric", "severity", "score"]
_SPREAD_COLUMNS: Final = [
    "base",
    "buy_venue",
    "sell_venue",
    "gross_bps",
    "net_bps",
    "price_basis",
    "status",
]
_TEXTS: Final = {
    column.name
    for table in (GOLD_ANOMALIES, GOLD_SPREADS)
    for column in table.columns
    if column.type is STRING
}


class LiveRows:
    """The latest anomalies and the best spreads, by the newest file of each table.

    Parameters
    ----------
    storage : Storage
        The lake.
    clock : callable
        Monotonic seconds.
    """

    def __init__(self, storage: Storage, clock: Callable[[], float] = time.monotonic) -> None:
        self._storage = storage
        self._clock = clock
        self._pending: dict[str, DataFile] = {}
        self._next_read_s = float("-inf")
        self.anomalies: tuple[AnomalyLine, ...] = ()
        self.spreads: tuple[SpreadLine, ...] = ()

    def take(self, files: Sequence[DataFile]) -> None:
        """Note the new files of a batch, and read one of each table if it is time to."""
        for table in (GOLD_ANOMALIES.path, GOLD_SPREADS.path):
            own = [f for f in files if f.table == table and f.size_bytes <= _MAX_FILE_BYTES]
            if own:
                self._pending[table] = max(own, key=lambda file: latest_event_us(file) or 0)
        started_s = self._clock()
        if not self._pending or started_s < self._next_read_s:
            return
        pending, self._pending = self._pending, {}
        try:
            self._read(pending)
        except (LakeError, pa.ArrowException):
            # The rows shown before stay; who needs every row asks the lake.
            return
        finally:
            ended_s = self._clock()
            self._next_read_s = ended_s + (ended_s - started_s) / _TIME_SHARE

    def _read(self, pending: dict[str, DataFile]) -> None:
        if GOLD_ANOMALIES.path in pending:
            rows = self._rows(pending[GOLD_ANOMALIES.path], _ANOMALY_COLUMNS)
            self.anomalies = latest_anomalies(rows, self.anomalies)
        if GOLD_SPREADS.path in pending:
            rows = self._rows(pending[GOLD_SPREADS.path], _SPREAD_COLUMNS)
            self.spreads = best_spreads(rows) or self.spreads

    def _rows(self, file: DataFile, columns: list[str]) -> pa.Table:
        data = self._storage.read(f"{file.table}/{file.path}")
        # Texts of few values stay dictionaries: a third of the time.
        texts = [name for name in columns if name in _TEXTS]
        return pq.read_table(
            pa.BufferReader(data), columns=columns, read_dictionary=texts, use_threads=False
        )


def latest_anomalies(rows: pa.Table, known: Iterable[AnomalyLine] = ()) -> tuple[AnomalyLine, ...]:
    """Give the latest anomalies of new rows and known lines, newest first.

    Parameters
    ----------
    rows : pa.Table
        Columns of ``gold/anomalies`` that a line shows.
    """
    newest = _top(rows, "event_time", ROWS)
    lines = [AnomalyLine(**row) for row in newest.to_pylist()]
    # Two detectors on one series look the same here: one line for both.
    every = dict.fromkeys((*lines, *known))
    return tuple(sorted(every, key=lambda line: line.event_time, reverse=True)[:ROWS])


def best_spreads(rows: pa.Table) -> tuple[SpreadLine, ...]:
    """Give the best spreads that are not closed, one a base and pair of venues, best first.

    Executable ones come before indicative ones, whatever their size: those are for study.

    Parameters
    ----------
    rows : pa.Table
        Columns of ``gold/spreads`` that a line shows, and ``status``.
    """
    alive = rows.filter(pc.not_equal(rows["status"], "close")).drop_columns(["status"])
    executable = pc.equal(alive["price_basis"], "executable")
    best: dict[tuple[str, str, str], SpreadLine] = {}
    for part in (alive.filter(executable), alive.filter(pc.invert(executable))):
        for row in _top(part, "net_bps", _CANDIDATES).to_pylist():
            line = SpreadLine(**row)
            best.setdefault((line.base, line.buy_venue, line.sell_venue), line)
    return tuple(best.values())[:ROWS]


def _top(rows: pa.Table, column: str, count: int) -> pa.Table:
    return rows.take(pc.select_k_unstable(rows, k=count, sort_keys=[(column, "descending")]))
