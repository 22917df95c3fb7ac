"""Which offsets Spark planned for a batch, read from the log of its checkpoint.

Spark writes a batch's end offsets there before it runs the batch, and repeats a batch that was
not finished with the same ones. The format is that of Spark's ``OffsetSeqLog``: a version, a line
of metadata, then a line a source.
"""

from __future__ import annotations

from typing import Final

import msgspec

from marketlake.lake.errors import LakeError
from marketlake.lake.storage import Storage
from streaming.sources.kafka_fetch import OffsetRange

_VERSION: Final = "v1"
_SOURCE_LINE: Final = 2

Offsets = dict[str, dict[str, int]]
"""Offset of each partition, by topic and by the partition's number as text."""


def planned_ranges(storage: Storage, checkpoint: str, batch: int) -> list[OffsetRange]:
    """Give the ranges of a batch that hold messages, by topic and partition.

    Parameters
    ----------
    checkpoint : str
        The query's checkpoint, relative to the lake.

    Raises
    ------
    LakeError
        If the checkpoint cannot be read.
    """
    ends = _logged(storage, f"{checkpoint}/offsets/{batch}")
    if batch > 0:
        starts = _logged(storage, f"{checkpoint}/offsets/{batch - 1}")
    else:
        starts = _initial(storage, f"{checkpoint}/sources/0/0")
    ranges = []
    for topic, partitions in sorted(ends.items()):
        for partition, end in sorted((int(p), end) for p, end in partitions.items()):
            # A partition that was made since is read from its beginning; were that no longer 0,
            # Spark would have refused to plan the batch.
            start = starts.get(topic, {}).get(str(partition), 0)
            if end > start:
                ranges.append(OffsetRange(topic, partition, start, end))
    return ranges


def _logged(storage: Storage, path: str) -> Offsets:
    lines = storage.read(path).decode().splitlines()
    if len(lines) <= _SOURCE_LINE or lines[0] != _VERSION:
        raise LakeError(
            f"{storage.path(path)} is no offset log of Spark 4: start on a new --lake, "
            'or let Spark read the topics: stream.kafka_reader = "spark"'
        )
    return _offsets(storage, path, lines[_SOURCE_LINE])


def _initial(storage: Storage, path: str) -> Offsets:
    # A byte 0 stands before the version, for readers of before Spark 2.1.
    text = storage.read(path).decode().lstrip("\0")
    return _offsets(storage, path, text.partition("\n")[2])


def _offsets(storage: Storage, path: str, text: str) -> Offsets:
    try:
        return msgspec.json.decode(text, type=Offsets)
    except msgspec.DecodeError as error:
        raise LakeError(f"{storage.path(path)} holds no Kafka offsets: {error}") from error
