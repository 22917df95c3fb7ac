"""Silver rows, and the hashes by which duplicates are known."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from streaming.stages.catalog import UNKNOWN, InstrumentCatalog
from streaming.stages.decode import decode
from streaming.stages.scan import NO_LONG
from streaming.stages.silver import (
    TABLE_OF,
    content_hashes,
    identity_hashes,
    longs,
    silver_table,
    timestamps,
)

NOW = 1_736_949_600_000_000
HEADER = {"venue": "okx", "instrument": "BTC-USDT", "event_time_us": NOW}
TRADE = {**HEADER, "type": "trade", "price": 2.0, "quantity": 1.0, "trade_id": "7", "sequence": 3}
QUOTE = {
    **HEADER, "type": "quote", "bid_price": 1.0, "bid_quantity": 1.0, "ask_price": 2.0,
    "ask_quantity": 1.0, "sequence": 3,
}  # fmt: skip
BOOK = {**HEADER, "type": "book", "bids": [[2.0, 1.0]], "asks": [[3.0, 1.0]], "sequence": 3}
BAR = {
    **HEADER, "type": "bar", "interval": "1m", "open": 2.0, "high": 3.0, "low": 1.0, "close": 2.5,
    "volume": 1.0, "trade_count": 4,
}  # fmt: skip


def hashed(*events):
    [rows] = decode([json.dumps(e).encode() for e in events]).rows.values()
    catalog = InstrumentCatalog()
    codes = catalog.codes(rows.names)[rows.name]
    content = content_hashes(rows, codes, catalog)
    return rows, codes, catalog, content, identity_hashes(rows, codes, catalog, content)


def alike(one, other):
    """Whether two events share their key, and their content."""
    *_, content, identity = hashed(one, other)
    return bool(identity[0] == identity[1]), bool(content[0] == content[1])


@pytest.mark.parametrize(
    ("event", "changes", "expected"),
    [
        (TRADE, {"received_time_us": 5}, (True, True)),
        (TRADE, {"note": "x"}, (True, True)),
        (TRADE, {"price": "2.0"}, (True, True)),
        (TRADE, {"trade_id": 7}, (True, True)),
        (TRADE, {"price": 2.5}, (True, False)),
        (TRADE, {"side": "buy"}, (True, False)),
        (TRADE, {"sequence": 4}, (True, False)),
        (TRADE, {"trade_id": "8"}, (False, False)),
        (TRADE, {"venue": "kraken"}, (False, False)),
        (TRADE, {"instrument": "ETH-USDT"}, (False, False)),
        (TRADE, {"event_time_us": NOW + 1}, (False, False)),
        (QUOTE, {"bid_price": 1.5}, (True, False)),
        (QUOTE, {"sequence": 4}, (False, False)),
        (BOOK, {"bids": [["2.0", 1]]}, (True, True)),
        (BOOK, {"bids": [[2.0, 1.0], [1.0, 1.0]]}, (True, False)),
        (BOOK, {"bids": [], "asks": [[2.0, 1.0], [3.0, 1.0]]}, (True, False)),
        (BAR, {"close": 2.0}, (True, False)),
        (BAR, {"trade_count": None}, (True, False)),
        (BAR, {"sequence": 9}, (True, False)),
        (BAR, {"interval": "5m"}, (False, False)),
    ],
)  # fmt: skip
def test_key_and_content_are_what_the_table_says(event, changes, expected):
    assert alike(event, {**event, **changes}) == expected


@pytest.mark.parametrize(("event", "name"), [(TRADE, "trade_id"), (QUOTE, "sequence")])
def test_without_a_key_of_its_own_the_content_is_the_key(event, name):
    bare = {k: v for k, v in event.items() if k != name}
    assert alike(bare, bare) == (True, True)
    number = "quantity" if name == "trade_id" else "ask_quantity"
    assert alike(bare, {**bare, number: 9.0}) == (False, False)


def test_hashes_do_not_depend_on_the_neighbours_nor_on_codes():
    *_, content, identity = hashed({**TRADE, "venue": "kraken"}, {**TRADE, "trade_id": 9}, TRADE)
    *_, alone_content, alone_identity = hashed(TRADE)
    assert content[2] == alone_content[0]
    assert identity[2] == alone_identity[0]


def test_silver_holds_the_rows_kept_in_the_columns_of_the_contract():
    rows, codes, catalog, content, _ = hashed(
        TRADE, {**TRADE, "venue": "kraken"}, {**TRADE, "trade_id": None, "sequence": None}
    )
    table = silver_table(rows, np.array([True, False, True]), codes, catalog, content)
    assert table.schema.names == TABLE_OF["trade"].file_schema.names
    table.cast(TABLE_OF["trade"].file_schema)
    first, second = table.to_pylist()
    assert first == {
        "venue": "okx", "instrument": "BTC-USDT", "trade_id": "7", "price": 2.0, "quantity": 1.0,
        "event_time": datetime(2025, 1, 15, 14, tzinfo=UTC), "side": None, "sequence": 3,
        "received_time": None,
    }  # fmt: skip
    assert second["trade_id"] == f"{int(content[2]):016x}"
    assert second["sequence"] is None


def test_silver_books_and_quotes_have_a_sequence_always():
    for event in (QUOTE, BOOK):
        bare = {k: v for k, v in event.items() if k != "sequence"}
        rows, codes, catalog, content, _ = hashed(event, bare)
        table = silver_table(rows, np.array([True, True]), codes, catalog, content)
        assert table["sequence"].to_pylist() == [3, int(content[1:].view(np.int64)[0])]
        table.cast(TABLE_OF[event["type"]].file_schema)
    assert table["bids"].to_pylist()[0] == [{"price": 2.0, "quantity": 1.0}]


def test_an_absent_number_or_time_is_null():
    values = np.array([NO_LONG, 0, NOW], np.int64)
    assert longs(values).to_pylist() == [None, 0, NOW]
    times = timestamps(values).to_pylist()
    assert times[0] is None
    assert times[2] == datetime(2025, 1, 15, 14, tzinfo=UTC)


def test_codes_follow_the_order_of_appearance_and_junk_is_not_remembered():
    catalog = InstrumentCatalog()
    venues = ["okx", None, "mtgox", "binance", "okx", "okx"]
    names = ["BTC-USDT", "BTC-USDT", "BTC-USD", "BTC-USDT", "BTC-USDT", "nonsense"]
    assert catalog.codes(list(zip(venues, names, strict=True))).tolist() == [
        0,
        UNKNOWN,
        UNKNOWN,
        1,
        0,
        UNKNOWN,
    ]
    assert catalog.code("okx", "ETH-USDT") == 2
    assert len(catalog) == 3
    assert catalog.venues().to_pylist() == ["okx", "binance", "okx"]
    assert catalog.names().to_pylist() == ["BTC-USDT", "BTC-USDT", "ETH-USDT"]
    assert catalog.markets().kinds == ["spot"]
    assert catalog.markets().kind_of.tolist() == [0] * 3


def test_a_refused_bar_without_an_interval_leaves_no_null_in_the_dictionary():
    # Parquet's writer refuses a dictionary with a null among its values.
    bar = b'{"type":"bar","venue":"binance","instrument":"BTC-USDT","event_time_us":%d,"open":1,"high":1,"low":1,"close":1,"volume":1%s}'  # noqa: E501
    time_us = 1_700_000_000_000_000 // 60_000_000 * 60_000_000
    rows = decode([bar % (time_us, b',"interval":"1m"'), bar % (time_us, b"")]).rows["bar"]
    catalog = InstrumentCatalog()
    codes = catalog.codes(rows.names)[rows.name]
    content = content_hashes(rows, codes, catalog)
    table = silver_table(rows, rows.reasons == 0, codes, catalog, content)
    interval = table["interval"].combine_chunks()
    assert interval.to_pylist() == ["1m"]
    assert interval.dictionary.null_count == 0
