"""Readers of recorded frames: text files, gzip-packed, a line a frame."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from marketlake.contracts.events import Event
from marketlake.feeds.venues.base import Normaliser
from marketlake.feeds.venues.clock import us_of_seconds

Direction = Literal["in", "out", "connect"]


class RecordedFrame(NamedTuple):
    """One line of a recording; ``payload`` is the frame, or the address of a connection."""

    received_time_us: int
    direction: Direction
    payload: str


def _parse_line(line: str) -> RecordedFrame:
    if not line.startswith(("wss://", "ws://")):
        time, separator, payload = line.partition(": ")
        if not separator:
            raise ValueError("no 'TIME: PAYLOAD'")
        return RecordedFrame(us_of_seconds(time), "in", payload)
    address, mark, rest = line.partition(" <-> ")
    if mark:
        return RecordedFrame(us_of_seconds(rest.strip()), "connect", address)
    _, mark, rest = line.partition(" <- ")
    time, separator, payload = rest.partition(": ")
    if not (mark and separator):
        raise ValueError("no 'ADDRESS <-> TIME' and no 'ADDRESS <- TIME: PAYLOAD'")
    return RecordedFrame(us_of_seconds(time), "out", payload)


def read_wire_sample(path: str | Path) -> Iterator[RecordedFrame]:
    """Read a file of wire samples: what came in, what was sent out, each connection made.

    Parameters
    ----------
    path : path-like
        Gzip text. ``ADDRESS <-> TIME`` is a connection, ``ADDRESS <- TIME: JSON`` was sent out,
        ``TIME: JSON`` came in; times in decimal seconds. Empty lines are passed over.

    Raises
    ------
    ValueError
        A line of another form; the message names the file and the line.
    """
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            text = line.rstrip("\r\n")
            if not text:
                continue
            try:
                recorded = _parse_line(text)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
            yield recorded


def read_tick_file(path: str | Path) -> Iterator[RecordedFrame]:
    """Read a file of ``NANOSECONDS JSON`` lines, gzip-packed; all frames came in.

    Raises
    ------
    ValueError
        A line of another form; the message names the file and the line.
    """
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            text = line.rstrip("\r\n")
            if not text:
                continue
            time, separator, payload = text.partition(" ")
            if not (separator and time.isdecimal()):
                raise ValueError(f"{path}, line {number}: no 'NANOSECONDS JSON'")
            yield RecordedFrame(int(time) // 1_000, "in", payload)


def normalise(recorded: Iterator[RecordedFrame], normaliser: Normaliser) -> Iterator[Event]:
    """Pass recorded frames through a normaliser, which counts those that give no event.

    A frame sent out is counted as ``outgoing``; a connection resets the normaliser and counts as
    ``status``.
    """
    for line in recorded:
        if line.direction == "in":
            yield from normaliser.frame(line.payload, line.received_time_us)
        elif line.direction == "out":
            normaliser.count_skipped("outgoing")
        else:
            normaliser.reset()
            normaliser.count_skipped("status")
