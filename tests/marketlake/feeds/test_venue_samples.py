"""Readers of recorded frames."""

import gzip

import pytest

from marketlake.feeds.venues.registry import normaliser_of
from marketlake.feeds.venues.samples import normalise, read_tick_file, read_wire_sample


def write(path, text):
    with gzip.open(path, "wt") as file:
        file.write(text)
    return path


def test_reader_of_wire_samples(tmp_path):
    text = (
        "wss://x/ <-> 1.5\n"
        'wss://x/ <- 1.6: {"event": "subscribe"}\n'
        '1618678142.0633569: {"event": "heartbeat"}\n\n'
    )
    path = write(tmp_path / "sample.gz", text)
    assert list(read_wire_sample(path)) == [
        (1_500_000, "connect", "wss://x/"),
        (1_600_000, "out", '{"event": "subscribe"}'),
        (1_618_678_142_063_356, "in", '{"event": "heartbeat"}'),
    ]
    normaliser = normaliser_of("kraken")
    assert list(normalise(read_wire_sample(path), normaliser)) == []
    assert normaliser.skipped == {"status": 1, "outgoing": 1, "heartbeat": 1}


@pytest.mark.parametrize("line", ["no time", "wss://x/ -> 1.5", "x1.5: {}"])
def test_odd_lines_are_named(tmp_path, line):
    path = write(tmp_path / "sample.gz", f"1.5: {{}}\n{line}\n")
    with pytest.raises(ValueError, match=r"sample\.gz, line 2: "):
        list(read_wire_sample(path))


def test_reader_of_tick_files(tmp_path):
    path = write(tmp_path / "ticks.gz", "1723161253937085768 {}\n")
    assert list(read_tick_file(path)) == [(1_723_161_253_937_085, "in", "{}")]
    with pytest.raises(ValueError, match=r"line 1: no 'NANOSECONDS JSON'"):
        list(read_tick_file(write(tmp_path / "bad.gz", "x {}\n")))
