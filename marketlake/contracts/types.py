"""Column types: one definition each, and the forms that engines want derived from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pyarrow as pa


@dataclass(frozen=True)
class ColumnType:
    """One logical type in the spelling of each engine.

    Parameters
    ----------
    ddl : str
        Spark SQL and Delta spelling, for example ``TIMESTAMP``.
    arrow : pyarrow.DataType
        The type that workers write to Parquet.
    example : object
        A plausible value, used by the row factories of tests.
    """

    ddl: str
    arrow: pa.DataType
    example: object


_LEVEL: Final = pa.struct(
    [pa.field("price", pa.float64(), nullable=True), pa.field("quantity", pa.float64())]
)

STRING: Final = ColumnType("STRING", pa.string(), "")
LONG: Final = ColumnType("BIGINT", pa.int64(), 0)
INT: Final = ColumnType("INT", pa.int32(), 0)
DOUBLE: Final = ColumnType("DOUBLE", pa.float64(), 0.0)
BINARY: Final = ColumnType("BINARY", pa.binary(), b"")
BOOLEAN: Final = ColumnType("BOOLEAN", pa.bool_(), False)
DATE: Final = ColumnType("DATE", pa.date32(), 0)
TIMESTAMP: Final = ColumnType("TIMESTAMP", pa.timestamp("us", tz="UTC"), 0)
STRINGS: Final = ColumnType("ARRAY<STRING>", pa.list_(pa.field("element", pa.string())), [])
LEVELS: Final = ColumnType(
    "ARRAY<STRUCT<price: DOUBLE, quantity: DOUBLE>>",
    pa.list_(pa.field("element", _LEVEL)),
    [{"price": 1.0, "quantity": 1.0}],
)
