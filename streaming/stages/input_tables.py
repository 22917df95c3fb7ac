"""The tables that one input fills in one batch: rows by partition, counted as they are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from marketlake.analytics.arrays import Columns, Int64Array, distinct
from marketlake.contracts.reasons import reason_names
from marketlake.contracts.tables import (
    BRONZE_EVENTS,
    GOLD_ANOMALIES,
    GOLD_BARS,
    GOLD_MICROSTRUCTURE,
    SILVER_QUARANTINE,
    Table,
)
from marketlake.lake.datafiles import DataFileWriter, SealedFile, day_text
from marketlake.lake.storage import Storage
from streaming.stages.catalog import InstrumentCatalog
from streaming.stages.detectors import Anomaly
from streaming.stages.fold_output import FoldOutput
from streaming.stages.gold import (
    DAY_US,
    Partitioned,
    anomaly_rows,
    bar_rows,
    by_market_and_day,
    microstructure_rows,
)
from streaming.stages.indicators import table_of
from streaming.stages.judging import Judged
from streaming.stages.messages import BatchPlan, Counts, input_name
from streaming.stages.silver import TABLE_OF, dictionary, silver_table, timestamps


class InputTables:
    """Data files of one input in one batch.

    Attributes
    ----------
    catalog : InstrumentCatalog
        Whose codes the rows have.
    counts : Counts
        Messages by what became of them, and rows of gold.
    """

    def __init__(
        self, plan: BatchPlan, topic: str, partition: int, catalog: InstrumentCatalog
    ) -> None:
        self._plan, self._topic, self._partition = plan, topic, partition
        self.catalog = catalog
        self._storage = Storage(plan.lake, plan.settings.s3)
        self._writers: dict[str, DataFileWriter] = {}
        self.counts = Counts()

    def count(self, source_time_us: Int64Array) -> None:
        """Count messages that were read."""
        self.counts.read += source_time_us.size
        self.counts.of_date += self._of_date(source_time_us)

    def bronze(self, source: str, rows: pa.Table, source_time_us: Int64Array) -> None:
        """Keep messages or control events as they came."""
        if not self._plan.writes(BRONZE_EVENTS.path):
            return
        n = rows.num_rows
        ingest_us = np.full(n, self._plan.ingest_time_us, np.int64)
        table = self._positions(source, rows, source_time_us)
        table |= {
            "key": rows["key"],
            "value": rows["value"],
            "ingest_time": timestamps(ingest_us),
        }
        self._add_by_source_day(BRONZE_EVENTS, pa.table(table), source_time_us)

    def silver(self, judged: Judged) -> None:
        """Write what was admitted."""
        rows = judged.rows
        if rows is None or not judged.admitted.any():
            return
        table = TABLE_OF[rows.event_type]
        count = int(judged.admitted.sum())
        self.counts.silver[table.path] = self.counts.silver.get(table.path, 0) + count
        if not self._plan.writes(table.path):
            return
        kept = judged.admitted
        silver = silver_table(rows, kept, judged.codes, self.catalog, judged.content)
        markets = self.catalog.markets()
        codes, time_us = judged.codes[kept], rows.event_time_us[kept]
        for partition, part in by_market_and_day(silver, markets, codes, time_us):
            if self._plan.takes_day(partition[1]):
                self._writer(table).add(partition, part)

    def quarantine(
        self,
        source: str,
        rows: pa.Table,
        judged: Judged,
        values: Callable[[pa.Table], pa.Array],
    ) -> None:
        """Write what was refused, with its reasons; ``values`` gives rows as messages."""
        time_us = rows["source_timestamp"].cast(pa.int64()).to_numpy()
        refused = np.flatnonzero(judged.reasons)
        self.counts.quarantined += refused.size
        if not refused.size:
            return
        reasons = [reason_names(int(mask)) for mask in judged.reasons[refused]]
        for names in reasons:
            for name in names:
                self.counts.reasons[name] = self.counts.reasons.get(name, 0) + 1
        if not self._plan.writes(SILVER_QUARANTINE.path):
            return
        known = _known_fields(judged)
        picked = rows.take(pa.array(refused))
        table = self._positions(source, picked, time_us[refused])
        table |= {"reasons": pa.array(reasons), "value": values(picked)}
        for i, name in enumerate(("type", "venue", "instrument")):
            table[name] = pa.array([_utf8(known[int(row)][i]) for row in refused], pa.string())
        self._add_by_source_day(SILVER_QUARANTINE, pa.table(table), time_us[refused])

    def bars(self, output: FoldOutput, origin: str) -> None:
        """Write closed bars and their indicators."""
        codes, time_us = output.bars["instrument"], output.bars["open_time_us"]
        indicators = table_of(self._plan.settings.indicators)
        tables = bar_rows(output, self.catalog, origin, indicators)
        for table, rows in zip((GOLD_BARS, indicators), tables, strict=True):
            parts = by_market_and_day(rows, self.catalog.markets(), codes, time_us)
            self._gold(table, parts)

    def microstructure(self, bars: Columns, origin: str) -> None:
        """Write what trades, quotes or books told of the bars that closed."""
        interval = self._plan.settings.microstructure.interval
        rows = microstructure_rows(bars, self.catalog, origin, interval)
        markets = self.catalog.markets()
        parts = by_market_and_day(rows, markets, bars["instrument"], bars["open_time_us"])
        self._gold(GOLD_MICROSTRUCTURE, parts)

    def anomalies(self, found: list[Anomaly]) -> None:
        """Write anomalies."""
        if not found:
            return
        catalog = self.catalog
        codes = np.array([catalog.code(a.venue, a.instrument) for a in found], np.int64)
        time_us = np.array([a.start_us for a in found], np.int64)
        rows = anomaly_rows(found)
        parts = by_market_and_day(rows, catalog.markets(), codes, time_us)
        self._gold(GOLD_ANOMALIES, parts)

    def seal(self) -> list[SealedFile]:
        """Complete all files."""
        return [file for writer in self._writers.values() for file in writer.seal()]

    def _gold(self, table: Table, parts: Partitioned) -> None:
        for partition, rows in parts:
            if not self._plan.takes_day(partition[1]):
                continue
            self.counts.gold[table.path] = self.counts.gold.get(table.path, 0) + rows.num_rows
            if self._plan.writes(table.path):
                self._writer(table).add(partition, rows)

    def _writer(self, table: Table) -> DataFileWriter:
        writer = self._writers.get(table.path)
        if writer is None:
            label = f"{self._plan.label}-{input_name(self._topic, self._partition)}"
            writer = self._writers[table.path] = DataFileWriter(self._storage, table, label)
        return writer

    def _positions(self, source: str, rows: pa.Table, source_time_us: Int64Array) -> dict[str, Any]:
        zeros = np.zeros(rows.num_rows, np.int64)
        return {
            "source": dictionary(zeros, pa.array([source])),
            "topic": dictionary(zeros, pa.array([self._topic])),
            "partition": pa.array(np.full(rows.num_rows, self._partition, np.int32)),
            "offset": rows["offset"],
            "source_timestamp": timestamps(source_time_us),
        }

    def _add_by_source_day(self, table: Table, rows: pa.Table, time_us: Int64Array) -> None:
        days = time_us // DAY_US
        for day in distinct(days):
            if not self._plan.takes_day(day_text(int(day))):
                continue
            chosen = days == day
            part = rows if chosen.all() else rows.filter(pa.array(chosen))
            self._writer(table).add((day_text(int(day)),), part)

    def _of_date(self, source_time_us: Int64Array) -> int:
        if self._plan.date is None:
            return source_time_us.size
        day = np.datetime64(self._plan.date, "D").astype(np.int64)
        return int(np.count_nonzero(source_time_us // DAY_US == day))


def _known_fields(judged: Judged) -> dict[int, tuple[str | None, str | None, str | None]]:
    """Type, venue and instrument of the messages refused, where they could be read."""
    known: dict[int, tuple[str | None, str | None, str | None]] = {}
    for rows in judged.decoded.rows.values():
        for row in np.flatnonzero(judged.reasons[rows.row]):
            known[int(rows.row[row])] = (rows.event_type, *rows.names[rows.name[row]])
    for position, problem in judged.decoded.undecoded.items():
        known[position] = (problem.event_type, problem.venue, problem.instrument)
    return known


def _utf8(text: str | None) -> str | None:
    """Keep a text only if it can be written: JSON may hold halves of surrogate pairs."""
    if text is None:
        return None
    return text.encode("utf-8", "replace").decode()
