"""Tables of the bronze layer: what came, as it came."""

from __future__ import annotations

from typing import Final

from marketlake.contracts.tables.columns import POSITION, SOURCE_DATE
from marketlake.contracts.tables.table import Table, column
from marketlake.contracts.types import BINARY, TIMESTAMP

BRONZE_EVENTS: Final = Table(
    "bronze",
    "events",
    (
        *POSITION,
        column("key", BINARY, "message key as it came", null=True),
        column("value", BINARY, "message as it came", null=True),
        column("source_timestamp", TIMESTAMP, "the source's own timestamp"),
        column("ingest_time", TIMESTAMP, "start of the batch that wrote the row"),
        SOURCE_DATE,
    ),
    ("source", "topic", "partition", "offset"),
    "Every message as it came, and every control event: replayable.",
    ("date",),
)
