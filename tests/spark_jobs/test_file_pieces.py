"""Pieces of files: each line is a row by itself, and a row in columns is what its message is."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketlake.lake.errors import LakeError
from marketlake.settings.model import S3Settings
from spark_jobs import file_pieces, file_steps
from spark_jobs.file_columns import FileColumn, read_field, read_time
from spark_jobs.file_input import find_files
from spark_jobs.file_pieces import cut, read_piece
from spark_jobs.file_rows import MESSAGE, TIME, decoded, in_order, messages_of
from streaming.stages.decode import decode
from streaming.stages.rows import Rows

HEADER = "venue,instrument,event_time_us,price,quantity,trade_id,side"
NOON_US = 1_737_028_800_000_000
CELLS = {
    "venue": ["kraken", "okx", "", " kraken", '"kraken"', '"kra', "\u00e9"],
    "instrument": ["BTC-USD", "ETH-USD", "", 'a"b', '"BTC-USD"'],
    "event_time_us": [str(NOON_US), "0x10", "9223372036854775808", "12:30", "", "007", "1.5", "-1"],
    "price": ["100.5", "1e5", ".5", "5.", "NaN", "inf", "1_0", "+1", "", "0x1p3", "1e400", " 7 "],
    "quantity": ["1", "0", "-1", "dear", "0.1234567890123456789"],
    "trade_id": ["a", "", "0xab", " b ", "1\u20ac"],
    "side": ["buy", "sell", "", "BUY"],
}
lines_of_trades = st.lists(
    st.one_of(
        st.tuples(*(st.sampled_from(values) for values in CELLS.values())).map(",".join),
        st.sampled_from(["kraken", "", "  ", "a,b,c,d,e,f,g,h", '"', ",,,,,,"]),
    ),
    min_size=1,
    max_size=12,
)

any_folder = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def rows_in(folder: Path, content: bytes) -> list[dict[str, Any]]:
    path = folder / "t.csv"
    path.write_bytes(HEADER.encode() + b"\n" + content)
    files = find_files(str(path), S3Settings()).files
    parts = [rows for file in files for piece in cut(file) for rows in read_piece(piece)]
    return [row for part in parts for row in part.to_pylist()]


def by_text(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(map(repr, rows))


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(lines=lines_of_trades, end=st.sampled_from(["\n", "\r\n"]), piece_bytes=st.integers(1, 400))
def test_a_line_is_read_alike_whatever_stands_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str], end: str, piece_bytes: int
):
    alone = [row for line in lines for row in rows_in(tmp_path, (line + end).encode())]
    assert len(alone) == sum(bool(line.strip()) for line in lines)
    monkeypatch.setattr(file_pieces, "PIECE_BYTES", piece_bytes)
    assert by_text(rows_in(tmp_path, end.join(lines).encode())) == by_text(alone)


def columns(rows: Rows) -> dict[str, list[Any]]:
    return {
        "row": rows.row.tolist(),
        "reasons": rows.reasons.tolist(),
        "venue": rows.venue,
        "instrument": rows.instrument,
        "times": [rows.event_time_us.tolist(), rows.received_time_us.tolist()],
        "sequence": rows.sequence.tolist(),
        # Bits, as nan is not itself.
        **{name: values.view(np.int64).tolist() for name, values in rows.numbers.items()},
        "ids": rows.ids.to_pylist(),
        "side": rows.side.tolist(),
    }


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(lines=lines_of_trades)
def test_a_row_in_columns_is_decoded_as_its_message(tmp_path: Path, lines: list[str]):
    (tmp_path / "t.csv").write_text("\n".join([HEADER, *lines]))
    (file,) = find_files(str(tmp_path / "t.csv"), S3Settings()).files
    for rows in read_piece(*cut(file)):
        ordered = in_order(rows)
        messages = decode(messages_of("trade", ordered))
        found = decoded("trade", ordered)
        assert found.undecoded == messages.undecoded == {}
        assert columns(found.rows["trade"]) == columns(messages.rows["trade"])


def test_bytes_that_are_no_text_stay_in_their_row(tmp_path: Path):
    sound = f"kraken,BTC-USD,{NOON_US},1,1,a,buy\n".encode()
    rows = rows_in(tmp_path, sound + sound.replace(b"kraken", b"kr\xffken") + sound)
    assert [row["venue"] for row in rows] == ["kraken", "kr\ufffdken", "kraken"]


@pytest.mark.parametrize(
    ("text", "time_us"),
    [
        ("2025-01-16T12:00:00Z", NOON_US),
        ("2025-01-16 12:00", NOON_US),
        ("2025-01-16", NOON_US - 43_200_000_000),
        ("2025-01-16T12:00:00.5", NOON_US + 500_000),
        ("2025-01-16T12:00:00.123456789Z", NOON_US + 123_456),
        ("2025-01-16T13:00:00+01:00", NOON_US),
        ("2025-01-16 17:30:00+0530", NOON_US),
        (str(NOON_US), NOON_US),
        ("12:00:00", None),
        ("2025-02-30", None),
        ("2025-01-16T25:00:00Z", None),
        ("noon", None),
    ],
)
@pytest.mark.parametrize("beside", ["2025-01-16", "2025-02-30"])
def test_times_are_read_as_they_are_spelt(text: str, time_us: int | None, beside: str):
    field = read_time("event_time", pa.array([text, beside, None]))
    assert field.values[0].as_py() == time_us
    assert field.bad.tolist() == [time_us is None, beside == "2025-02-30", False]
    assert field.values[2].as_py() is None


@pytest.mark.parametrize(
    "type_", [pa.timestamp("ns"), pa.timestamp("ms", "Asia/Tokyo"), pa.timestamp("s"), pa.int64()]
)
def test_times_of_any_type_are_microseconds(type_: pa.DataType):
    second = {"ns": 10**9, "ms": 10**3, "s": 1}
    unit = second[type_.unit] if pa.types.is_timestamp(type_) else 10**6
    given_times = pa.array([NOON_US // 10**6 * unit], pa.int64()).cast(type_)
    assert read_time("open_time", given_times).values.to_pylist() == [NOON_US]


@pytest.mark.parametrize(
    ("values", "expected", "bad"),
    [
        (pa.array([1, 2], pa.uint64()), [1, 2], [False, False]),
        (pa.array([1.0, 1.5, None]), [1, None, None], [False, True, False]),
        (pa.array(["7", "7.0", str(2**63)]), [7, None, None], [False, True, True]),
        (pa.array([True]), [None], [True]),
    ],
)
def test_integers_of_any_type(values: pa.Array, expected: list[int | None], bad: list[bool]):
    field = read_field(FileColumn("sequence", "integer"), values)
    assert field.values.to_pylist() == expected
    assert field.bad.tolist() == bad


def trades_at(times: list[int], prices: list[float]) -> pa.Table:
    n = len(times)
    return file_pieces.wire_rows(
        "trade",
        pa.table(
            {
                "venue": ["kraken"] * n,
                "instrument": ["BTC-USD"] * n,
                "event_time_us": times,
                "price": prices,
                "quantity": [1.0] * n,
            }
        ),
    )


@settings(deadline=None)
@given(
    parts=st.lists(
        st.lists(st.tuples(st.integers(0, 9), st.integers(1, 3)), min_size=1),
        min_size=1,
        max_size=6,
    ),
    at_once=st.integers(1, 5),
)
def test_blocks_are_merged_in_order_of_time_then_content(
    parts: list[list[tuple[int, int]]], at_once: int
):
    blocks = []
    for part in parts:
        rows = trades_at([t for t, _ in part], [float(p) for _, p in part])
        low = min(t for t, _ in part)
        blocks.append(file_steps._Block(low, pa.py_buffer(file_steps._packed(rows))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_steps, "_CHUNK_ROWS", at_once)
        merged = list(file_steps._merged("trade", blocks))
    found = [
        (row[TIME], row["price"]) for rows in merged for row in rows.to_pylist() if not row[MESSAGE]
    ]
    assert found == sorted((t, float(p)) for part in parts for t, p in part)


def test_a_parquet_file_of_several_row_groups_is_read_whole(tmp_path: Path):
    times = [NOON_US + i for i in range(10)]
    table = pa.table(
        {
            "venue": pa.array(["kraken"] * 10).dictionary_encode(),
            "instrument": ["BTC-USD"] * 10,
            "event_time_us": times,
            "price": np.arange(1, 11, dtype=np.float32),
            "quantity": pa.array([1] * 10, pa.decimal128(10, 2)),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=4)
    (file,) = find_files(str(tmp_path), S3Settings()).files
    rows = pa.concat_tables([rows for piece in cut(file) for rows in read_piece(piece)])
    assert rows[TIME].to_pylist() == times
    assert rows["price"].to_pylist() == [float(i) for i in range(1, 11)]
    assert rows["quantity"].to_pylist() == [1.0] * 10
    assert rows[MESSAGE].null_count == 10


def test_a_compressed_file_that_breaks_off_is_told_with_its_name(tmp_path: Path):
    body = "".join(f"kraken,BTC-USD,{NOON_US + i},1,1,{i},buy\n" for i in range(50_000))
    whole = gzip.compress(f"{HEADER}\n{body}".encode())
    path = tmp_path / "t.csv.gz"
    path.write_bytes(whole[: len(whole) // 2])
    (file,) = find_files(str(path), S3Settings()).files
    with pytest.raises(LakeError, match=r"t\.csv\.gz"):
        list(read_piece(*cut(file)))
