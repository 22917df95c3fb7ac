"""Every table of the lake: columns, key, partitioning; each stands here and nowhere else.

Spark, Arrow and DDL forms, the documentation page and the row factories of tests are derived.
"""

from __future__ import annotations

from typing import Final

from marketlake.contracts.tables.bronze import BRONZE_EVENTS
from marketlake.contracts.tables.gold import (
    GOLD_ANOMALIES,
    GOLD_BARS,
    GOLD_MICROSTRUCTURE,
    INDICATORS_PATH,
    indicators_table,
)
from marketlake.contracts.tables.gold_venues import GOLD_BASIS, GOLD_SPREADS, GOLD_TRIANGLES
from marketlake.contracts.tables.silver import (
    SILVER_BARS,
    SILVER_BOOKS,
    SILVER_QUARANTINE,
    SILVER_QUOTES,
    SILVER_TRADES,
)
from marketlake.contracts.tables.state import STATE_FOLDS
from marketlake.contracts.tables.summary import (
    GOLD_MARKET_LINKS,
    GOLD_MARKET_SUMMARY,
    SUMMARY_TABLES,
)
from marketlake.contracts.tables.table import Column, Table

STREAM_TABLES: Final = (
    BRONZE_EVENTS,
    SILVER_TRADES,
    SILVER_QUOTES,
    SILVER_BOOKS,
    SILVER_BARS,
    SILVER_QUARANTINE,
    GOLD_BARS,
    GOLD_MICROSTRUCTURE,
    GOLD_ANOMALIES,
    GOLD_SPREADS,
    GOLD_TRIANGLES,
    GOLD_BASIS,
)
"""Tables with a fixed schema that the stream writes; ``gold/indicators`` follows the registry."""

__all__ = [
    "BRONZE_EVENTS",
    "GOLD_ANOMALIES",
    "GOLD_BARS",
    "GOLD_BASIS",
    "GOLD_MARKET_LINKS",
    "GOLD_MARKET_SUMMARY",
    "GOLD_MICROSTRUCTURE",
    "GOLD_SPREADS",
    "GOLD_TRIANGLES",
    "INDICATORS_PATH",
    "SILVER_BARS",
    "SILVER_BOOKS",
    "SILVER_QUARANTINE",
    "SILVER_QUOTES",
    "SILVER_TRADES",
    "STATE_FOLDS",
    "STREAM_TABLES",
    "SUMMARY_TABLES",
    "Column",
    "Table",
    "indicators_table",
]
