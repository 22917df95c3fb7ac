"""The scanner reads what it takes exactly as the general decoder does."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketlake.feeds.simulator.config import SimulationConfig
from marketlake.feeds.simulator.market import simulate
from marketlake.feeds.simulator.wire_corruption import fuzz_messages
from streaming.stages.decode import binary_parts, decode
from streaming.stages.general import decode_general
from streaming.stages.rows import Decoded
from streaming.stages.scan import OTHER, TYPES, scan


def plain(decoded: Decoded) -> list[object]:
    """Everything that was decoded, message by message, floats by their bits."""
    found: list[object] = sorted(decoded.undecoded.items())
    for event_type, rows in sorted(decoded.rows.items()):
        columns = [
            rows.row.tolist(),
            rows.reasons.tolist(),
            rows.venue,
            rows.instrument,
            rows.event_time_us.tolist(),
            rows.received_time_us.tolist(),
            rows.sequence.tolist(),
            *(v.view(np.int64).tolist() for v in rows.numbers.values()),
            rows.side.tolist(),
            [rows.intervals[code] for code in rows.interval],
            rows.trade_count.tolist(),
            [] if rows.ids is None else rows.ids.to_pylist(),
            list(map(repr, rows.bids)),
            list(map(repr, rows.asks)),
        ]
        found.append((event_type, columns))
    return found


def assert_alike(messages: list[bytes]) -> None:
    assert plain(decode(messages)) == plain(decode_general(messages, range(len(messages))))


def scanned_share(messages: list[bytes]) -> float:
    offsets, data = binary_parts(pa.array(messages, pa.binary()))
    return float((scan(data, offsets).kind != OTHER).mean())


def test_what_producers_write_is_scanned():
    messages = [
        value
        for kind, _, value in simulate(SimulationConfig(seed=3, duration_s=60)).messages()
        if kind in TYPES
    ]
    assert scanned_share(messages) == 1.0
    assert_alike(messages)


def test_fuzzed_messages_are_read_alike():
    assert_alike(list(fuzz_messages(5, 20_000)))


TRADE = {
    "type": "trade",
    "venue": "binance",
    "instrument": "BTC-USDT",
    "event_time_us": 1_700_000_000_000_000,
    "price": 1.5,
    "quantity": 2,
}
ODD_NUMBERS = [
    "0", "-0", "-0.0", "00", "01", "1.", ".5", "1e3", "1E-3", "-1.25", "9007199254740992",
    "9007199254740993", "0.1", "123456789012345678", "1234567890123456789", "1.7976931348623157",
    "0.000000000000000001", "1e400", "- 1", "+1", "1_000", "true", "null", "NaN", '"1.5"', '" 1.5"',
    '"1.5 "', '"1e3"', '""', '"abc"', "[1]", '"-0"', '"01"', "1.50000000000000000000",
]  # fmt: skip


@pytest.mark.parametrize("number", ODD_NUMBERS)
@pytest.mark.parametrize("name", ["price", "event_time_us", "sequence", "trade_id", "side"])
def test_odd_values_are_read_alike(name: str, number: str):
    fields = ", ".join(f'"{k}": {json.dumps(v)}' for k, v in TRADE.items() if k != name)
    assert_alike([f'{{{fields}, "{name}": {number}}}'.encode()])


@pytest.mark.parametrize(
    "message",
    [
        b"", b"{}", b"{", b"}", b'{"type":"trade"}', b'{"type":"trade",}', b'{"type" :"trade" }',
        b' {"type":"trade"}', b'{"type":"trade"}x', b'{"type":"trade"} ', b'{"type":"tradex"}',
        b'{"type":"trade","type":"quote"}', b'{"venue":"a","venue":"b","type":"trade"}',
        b'{"type":"trade","venue":"\\u0041"}', b'{"type":"trade","venue":"\xc3\xa9"}',
        b'{"type":"trade","unknown":1}', b'{"type":"trade","bids":[]}', b'{"type":"book"}',
        b'{"type":"trade","side":"buyer"}', b'{"type":"trade","side":null}', b'{"type":1}',
        b'{"type":"trade" "venue":"a"}', b'{"type":"trade","venue":"a"', b'{"type":"trade","venue',
    ],
)  # fmt: skip
def test_odd_objects_are_read_alike(message: bytes):
    assert_alike([message])


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**70), 2**70),
    st.one_of(st.none(), st.text(max_size=5), st.integers()),
    st.permutations(list(TRADE)),
)
def test_any_numbers_in_any_order_are_read_alike(price, sequence, trade_id, order):
    event = {k: TRADE[k] for k in order} | {"price": price, "sequence": sequence}
    assert_alike([json.dumps({**event, "trade_id": trade_id}).encode()])
    text = json.dumps({**event, "quantity": str(price), "trade_id": trade_id})
    assert_alike([text.replace(" ", "").encode()])
