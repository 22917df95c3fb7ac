"""Records that hold several: the aggregation format of the Kinesis Producer Library.

A magic number, a protobuf message, and the MD5 of that message. Its four fields are read and
written here: there is no need of generated code for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import md5
from typing import Final

MAGIC: Final = b"\xf3\x89\x9a\xc2"
_DIGEST_BYTES: Final = 16

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_KEYS, _HASH_KEYS, _RECORDS = 1, 2, 3
_KEY_INDEX, _HASH_KEY_INDEX, _DATA = 1, 2, 3


class _MalformedError(ValueError):
    """The bytes are no such message."""


@dataclass(frozen=True)
class HashRange:
    """Hash keys that a shard takes, both ends included; 128 bits each."""

    first: int
    last: int

    def holds(self, key: str, explicit_hash_key: str | None) -> bool:
        """Tell whether a record with this key belongs to the shard."""
        number = (
            int(explicit_hash_key)
            if explicit_hash_key is not None
            else int.from_bytes(md5(key.encode(), usedforsecurity=False).digest())
        )
        return self.first <= number <= self.last


def deaggregate(key: str, data: bytes, shard: HashRange | None = None) -> list[tuple[str, bytes]]:
    """Give the records that a record holds; itself where it is not aggregated.

    A record of the shard before a split may hold some that belong to the other half: the producer
    sends those again, so that they are left out, as Amazon's own consumers do.

    Parameters
    ----------
    key, data : str, bytes
        Partition key and data as they came.
    shard : HashRange, optional
        What the shard takes; None to keep all.

    Returns
    -------
    list of (str, bytes)
        Partition key and data of each. Bytes whose digest or message is wrong are one record, as
        they came: they are somebody's data, and not for us to judge.
    """
    if not data.startswith(MAGIC) or len(data) < len(MAGIC) + _DIGEST_BYTES:
        return [(key, data)]
    message, digest = data[len(MAGIC) : -_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if md5(message, usedforsecurity=False).digest() != digest:
        return [(key, data)]
    try:
        records = _decoded(message)
    except (_MalformedError, UnicodeDecodeError):
        return [(key, data)]
    return [(k, d) for k, h, d in records if shard is None or shard.holds(k, h)]


def aggregate(key: str, values: Sequence[bytes]) -> bytes:
    """Make one record of several with one key.

    Parameters
    ----------
    values : sequence of bytes
        In order; at least one.
    """
    message = bytearray(_field(_KEYS, key.encode()))
    for value in values:
        # The index of the key, which is 0.
        message += _field(_RECORDS, bytes([_KEY_INDEX << 3, 0]) + _field(_DATA, value))
    return MAGIC + bytes(message) + md5(message, usedforsecurity=False).digest()


def aggregated_bytes(value_bytes: int) -> int:
    """Bytes that a value takes inside an aggregated record, at most."""
    return value_bytes + 16


def _decoded(message: bytes) -> list[tuple[str, str | None, bytes]]:
    keys: list[str] = []
    hash_keys: list[str] = []
    records: list[bytes] = []
    for number, value in _fields(message):
        if not isinstance(value, bytes):
            raise _MalformedError
        if number == _KEYS:
            keys.append(value.decode())
        elif number == _HASH_KEYS:
            hash_keys.append(value.decode())
        elif number == _RECORDS:
            records.append(value)
    return [_record(record, keys, hash_keys) for record in records]


def _record(
    record: bytes, keys: Sequence[str], hash_keys: Sequence[str]
) -> tuple[str, str | None, bytes]:
    fields = dict(_fields(record))
    key, hash_key, data = (fields.get(n) for n in (_KEY_INDEX, _HASH_KEY_INDEX, _DATA))
    if not isinstance(key, int) or not isinstance(data, bytes) or key >= len(keys):
        raise _MalformedError
    if hash_key is None:
        return keys[key], None, data
    if not isinstance(hash_key, int) or hash_key >= len(hash_keys):
        raise _MalformedError
    return keys[key], hash_keys[hash_key], data


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Give the fields of a protobuf message: a number for a varint, else bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield tag >> 3, value
            continue
        if kind == _BYTES:
            length, at = _varint(message, at)
        elif kind in {_FIXED64, _FIXED32}:
            length = 8 if kind == _FIXED64 else 4
        else:
            raise _MalformedError
        if at + length > len(message):
            raise _MalformedError
        yield tag >> 3, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
    raise _MalformedError


def _field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | _BYTES]) + _varint_of(len(value)) + value


def _varint_of(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
