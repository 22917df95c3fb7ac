"""Record batches read in columns, against kafka-python's own writer and reader of them."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.record import MemoryRecords, MemoryRecordsBuilder

from streaming.sources.record_batches import (
    RecordBatchError,
    committed,
    messages_of,
    record_batches,
)

FIRST_MS = 1_700_000_000_000
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}

blobs = st.none() | st.binary(max_size=300)
headers = st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5)), max_size=2)
records = st.lists(
    st.tuples(st.integers(-(10**9), 10**9), blobs, blobs, headers), min_size=1, max_size=40
)


def written(rows, codec=0, producer_id=-1) -> bytes:
    builder = MemoryRecordsBuilder(
        magic=2,
        compression_type=codec,
        batch_size=1 << 24,
        producer_id=producer_id,
        producer_epoch=0 if producer_id >= 0 else -1,
        base_sequence=0 if producer_id >= 0 else -1,
        transactional=producer_id >= 0,
    )
    for delta_ms, key, value, its_headers in rows:
        builder.append(timestamp=FIRST_MS + delta_ms, key=key, value=value, headers=its_headers)
    builder.close()
    return bytes(builder.buffer())


def moved(batch: bytes, first_offset: int) -> bytes:
    # The base offset stands before what the checksum covers: brokers write it.
    return struct.pack(">q", first_offset) + batch[8:]


def read(data: bytes, start: int = 0, end: int = 2**62) -> list[tuple]:
    table = messages_of(list(record_batches(data)), start, end)
    if table is None:
        return []
    times_us = table["source_timestamp"].cast("int64").to_pylist()
    columns = (table[name].to_pylist() for name in ("offset", "key", "value"))
    return list(zip(*columns, times_us, strict=True))


def reference(data: bytes) -> list[tuple]:
    out, batches = [], MemoryRecords(data)
    while (batch := batches.next_batch()) is not None:
        out += [(r.offset, r.key, r.value, r.timestamp * 1_000) for r in batch]
    return out


@settings(deadline=None, max_examples=60)
@given(batches=st.lists(records, min_size=1, max_size=4), codec=st.sampled_from(list(CODECS)))
def test_records_are_those_the_library_reads(batches, codec):
    data, offset = b"", 5
    for rows in batches:
        data += moved(written(rows, CODECS[codec]), offset)
        offset += len(rows)
    assert read(data) == reference(data)
    assert read(data, 7, offset - 1) == [r for r in reference(data) if 7 <= r[0] < offset - 1]


def test_an_answer_cut_in_mid_batch_gives_the_whole_ones():
    one = written([(0, b"k", b"v", [])])
    two = moved(written([(1, None, b"w", [])]), 1)
    assert read(one + two[:-1]) == [(0, b"k", b"v", FIRST_MS * 1_000)]


def test_the_brokers_time_counts_where_the_topic_keeps_it():
    batch = bytearray(written([(0, None, b"a", []), (7, None, b"b", [])]))
    batch[22] |= 0x08
    struct.pack_into(">q", batch, 35, FIRST_MS + 99)
    assert [r[3] for r in read(with_checksum(batch))] == [(FIRST_MS + 99) * 1_000] * 2


def with_checksum(batch: bytearray) -> bytes:
    import crc32c

    struct.pack_into(">I", batch, 17, crc32c.crc32c(bytes(batch[21:])))
    return bytes(batch)


def test_a_flipped_bit_is_told():
    batch = bytearray(written([(0, None, b"price 100", [])]))
    batch[-3] ^= 0x10
    with pytest.raises(RecordBatchError, match="at 0 fails its checksum"):
        read(bytes(batch))


@given(junk=st.binary(min_size=1, max_size=80), count=st.integers(1, 1_000))
def test_records_that_go_beyond_their_batch_are_refused_or_read_within_it(junk, count):
    batch = bytearray(written([(0, None, b"x", [])])[:61]) + junk
    struct.pack_into(">i", batch, 8, len(batch) - 12)
    struct.pack_into(">i", batch, 57, count)
    try:
        rows = read(with_checksum(batch), -(2**62))
    except RecordBatchError:
        pass
    else:
        assert sum(len(r[1] or b"") + len(r[2] or b"") for r in rows) <= len(junk)


@pytest.mark.parametrize("field", [1, 4, 5], ids=["length of the record", "key", "value"])
def test_a_size_near_the_largest_integer_is_refused(field):
    huge = b"\xfe" + b"\xff" * 8 + b"\x01"  # 2**63 - 1, zigzag
    plain = [b"\x28", b"\0", b"\0", b"\0", b"\0", b"\0", b"\0"]
    plain[{1: 0, 4: 4, 5: 5}[field]] = huge
    record = b"".join(plain).ljust(40, b"\0")
    batch = bytearray(written([(0, None, b"x", [])])[:61]) + record
    struct.pack_into(">i", batch, 8, len(batch) - 12)
    with pytest.raises(RecordBatchError, match="mid-record"):
        read(with_checksum(batch))


@pytest.mark.parametrize("count", [-1, 2**31 - 1])
def test_more_records_than_there_are_bytes_are_refused(count):
    batch = bytearray(written([(0, None, b"x", [])]))
    struct.pack_into(">i", batch, 57, count)
    with pytest.raises(RecordBatchError, match="mid-record"):
        read(with_checksum(batch))


def test_damaged_compression_is_told():
    batch = bytearray(written([(0, None, b"x" * 200, [])], CODECS["lz4"]))
    batch[65:75] = b"\xff" * 10
    with pytest.raises(RecordBatchError, match="cannot be decompressed"):
        read(with_checksum(batch))


def test_an_old_message_format_names_the_other_reader():
    batch = bytearray(written([(0, None, b"x", [])]))
    batch[16] = 1
    with pytest.raises(RecordBatchError, match="kafka_reader"):
        read(bytes(batch))


def control(first_offset: int, producer_id: int, kind: int) -> bytes:
    batch = bytearray(written([(0, struct.pack(">hh", 0, kind), b"\0" * 6, [])], 0, producer_id))
    batch[22] |= 0x20
    return moved(with_checksum(batch), first_offset)


def test_of_transactions_only_what_was_committed_is_kept():
    # offset    0        1        2         3        4         5        6
    # producer  7 (a)    8 (b)    7: abort  7 (c)    8: commit 7: commit 8 (d)
    parts = [
        moved(written([(0, None, b"a", [])], 0, 7), 0),
        moved(written([(0, None, b"b", [])], 0, 8), 1),
        control(2, 7, 0),
        moved(written([(0, None, b"c", [])], 0, 7), 3),
        control(4, 8, 1),
        control(5, 7, 1),
        moved(written([(0, None, b"d", [])], 0, 8), 6),
    ]
    batches = list(record_batches(b"".join(parts)))
    values = messages_of(committed(batches, [(0, 7)]), 0, 100)["value"].to_pylist()
    assert values == [b"b", b"c", b"d"]
