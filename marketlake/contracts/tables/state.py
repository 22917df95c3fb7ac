"""Tables of the stream's state."""

from __future__ import annotations

from typing import Final

from marketlake.contracts.tables.table import Table, column
from marketlake.contracts.types import BINARY, BOOLEAN, INT, LONG, STRING

STATE_FOLDS: Final = Table(
    "state",
    "folds",
    (
        column("step", STRING, "instruments (step one) or merge (step two)"),
        column("input", STRING, "lane of inputs (market.trades-0) or bucket of step two (merge-0)"),
        column("venue", STRING, "empty for state of the whole lane"),
        column("instrument", STRING, "empty for state of the whole lane"),
        column("kind", STRING, "what the payload holds"),
        column("delta", BOOLEAN, "payload is the exclusive or with that of the batch before"),
        column("state_version", INT, "layout of the payload"),
        column("batch", LONG, "batch after which this state holds"),
        column("payload", BINARY, "packed state"),
    ),
    ("input", "venue", "instrument", "kind", "batch"),
    "State of every fold after the latest batch, as a whole and the changes since; older versions "
    "by time travel.",
    ("input",),
)
