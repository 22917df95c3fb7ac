"""Which offsets Spark planned for a batch, read from the log of its checkpoint.

Spark writes a batch's end offsets there before it runs the batch, and repeats a batch that was
not finished with the same ones.
"""

from __future__ import annotations

import msgspec

from marketlake.lake.errors import LakeError
from marketlake.lake.storage import Storage
from streaming.sources.kafka_fetch import OffsetRange
from streaming.sources.offset_log import logged_offset

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
    ends = _logged(storage, checkpoint, batch)
    if batch > 0:
        starts = _logged(storage, checkpoint, batch - 1)
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


def _logged(storage: Storage, checkpoint: str, batch: int) -> Offsets:
    text = logged_offset(storage, checkpoint, batch)
    return _offsets(storage, f"{checkpoint}/offsets/{batch}", text)


def _initial(storage: Storage, path: str) -> Offsets:
    # A byte 0 stands before the version, for readers of before Spark 2.1.
    text = storage.read(path).decode().lstrip("\0")
    return _offsets(storage, path, text.partition("\n")[2])


def _offsets(storage: Storage, path: str, text: str) -> Offsets:
    try:
        return msgspec.json.decode(text, type=Offsets)
    except msgspec.DecodeError as error:
        raise LakeError(f"{storage.path(path)} holds no Kafka offsets: {error}") from error
