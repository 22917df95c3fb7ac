"""The lag: against a real broker, and with a source that fails."""

import logging
import statistics
import threading
import time

import pytest
from confluent_kafka import Producer

from marketlake.lake.manifests import Manifest, ManifestInput
from streaming.lag import LagWatch
from streaming.sources.kafka import KafkaSource
from streaming.stages.messages import InputPosition


def position(topic, partition, next_offset):
    return InputPosition(topic, partition, next_offset)


def manifest(**next_offsets):
    inputs = {
        name: ManifestInput(name, 0, offset, 0, 0, active=True)
        for name, offset in next_offsets.items()
    }
    return Manifest(0, "messages", 0, "kafka", 0, inputs, [], {}, [], {})


class Ends:
    """A source whose ends the test sets."""

    def __init__(self, **ends):
        self.ends = ends
        self.asked = 0
        self.error = None

    def end_offsets(self, inputs):
        self.asked += 1
        if self.error is not None:
            raise self.error
        return {name: end for name, end in self.ends.items() if name in inputs}


def test_lag_is_what_lies_between_the_offsets_read_and_the_end():
    source, told = Ends(a=10, b=4, c=7), []
    watch = LagWatch(source, {"a": position("a", 0, -1), "b": position("b", 0, 4)}, told.append)
    watch.look()
    watch.batch(manifest(a=6, b=5, c=0), 1.0)
    watch.look()
    source.ends = {}
    watch.look()
    assert told == [
        {"a": 10, "b": 0},
        # A batch may have gone past an end that was asked for before: no lag below 0.
        {"a": 4, "b": 0},
        {"a": 4, "b": 0, "c": 7},
        {},
    ]
    assert watch.latest == {}


def wait_until(condition, timeout_s=120.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_watch_goes_on_in_the_background_until_the_block_ends(caplog):
    source = Ends(a=10)
    told = []
    with LagWatch(source, {"a": position("a", 0, 3)}, told.append, every_s=0.01):
        wait_until(lambda: len(told) > 3)
        source.error = OSError("view is gone")
        wait_until(lambda: any("lag could not" in r.message for r in caplog.records))
        source.error = None
        seen = len(told)
        wait_until(lambda: len(told) > seen)
    assert told[0] == {"a": 7}
    asked = source.asked
    time.sleep(0.1)
    assert source.asked == asked
    assert not any(thread.name == "lag" for thread in threading.enumerate())


def test_a_source_that_does_not_answer_is_asked_less_often():
    source = Ends()
    began_s = time.monotonic()
    with LagWatch(source, {"a": position("a", 0, 3)}, every_s=0.05):
        wait_until(lambda: source.asked > 1)
    # In so long one that answers is asked twelve times.
    assert time.monotonic() - began_s >= 0.6


@pytest.mark.broker
def test_end_offsets_of_a_real_broker(broker, caplog):
    broker.create_topic("ends.trades", 2)
    producer = Producer({"bootstrap.servers": broker.bootstrap, "acks": "all"})
    for value in (b"1", b"2", b"3"):
        producer.produce("ends.trades", value, partition=1)
    assert producer.flush(30) == 0
    source = KafkaSource(broker.bootstrap, "ends")
    _, inputs = source.look()
    assert source.end_offsets(inputs) == {"ends.trades-0": 0, "ends.trades-1": 3}
    took_s = []
    for _ in range(21):
        started_s = time.monotonic()
        source.end_offsets(inputs)
        took_s.append(time.monotonic() - started_s)
    # No answer waits for a poll to run out; a busy machine may hold up some.
    assert statistics.median(took_s) < 0.1
    assert source.end_offsets({}) == {}
    assert not caplog.records
    # A topic that is gone takes no other's answer away.
    inputs["ends.quotes-0"] = position("ends.quotes", 0, 0)
    with caplog.at_level(logging.WARNING, "streaming"):
        ends = source.end_offsets(inputs)
    assert ends == {"ends.trades-0": 0, "ends.trades-1": 3}
    assert [r.message for r in caplog.records] == ["end offsets unknown"]


def test_without_a_broker_there_is_no_answer_and_no_error(caplog):
    source = KafkaSource("127.0.0.1:1", "market")
    started_s = time.monotonic()
    with caplog.at_level(logging.WARNING, "streaming"):
        assert source.end_offsets({"market.trades-0": position("market.trades", 0, 0)}) == {}
    assert time.monotonic() - started_s < 40
    (record,) = caplog.records
    assert record.message == "end offsets unknown"
    assert record.bootstrap == "127.0.0.1:1"
