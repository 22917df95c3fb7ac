"""The embedded broker, against the real thing: processes, ports, files, records."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, Consumer, Producer, TopicPartition

from marketlake.local.broker import EmbeddedBroker
from marketlake.local.errors import LocalError

pytestmark = pytest.mark.broker

JANUARY_2001_MS = 978_307_200_000


def produce(bootstrap: str, topic: str, values: list[bytes], timestamp_ms: int = 0) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all"})
    for value in values:
        producer.produce(topic, value, partition=0, timestamp=timestamp_ms)
    assert producer.flush(30) == 0


def consume(bootstrap: str, topic: str, count: int) -> list:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "t", "log_level": 0})
    consumer.assign([TopicPartition(topic, 0, 0)])
    try:
        return consumer.consume(count, timeout=120)
    finally:
        consumer.close()


def wait_until_gone(pid: int, timeout_s: float = 60) -> bool:
    deadline = time.monotonic() + timeout_s
    while psutil.pid_exists(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_records_come_back_in_order_with_their_old_timestamps(broker):
    broker.create_topic("order", 1)
    sent = [b"%d" % i for i in range(1000)]
    produce(broker.bootstrap, "order", sent, JANUARY_2001_MS)
    got = consume(broker.bootstrap, "order", 1000)
    assert [message.value() for message in got] == sent
    assert got[0].timestamp() == (TIMESTAMP_CREATE_TIME, JANUARY_2001_MS)


def test_a_message_of_four_mebibytes_is_taken(broker):
    broker.create_topic("large", 1)
    value = os.urandom(4 * 2**20)
    producer = Producer({"bootstrap.servers": broker.bootstrap, "message.max.bytes": 8_000_000})
    producer.produce("large", value)
    assert producer.flush(30) == 0
    assert consume(broker.bootstrap, "large", 1)[0].value() == value


def test_create_topic_again_is_fine_but_not_with_other_partitions(broker):
    broker.create_topic("again", 3)
    broker.create_topic("again", 3)
    with pytest.raises(LocalError, match="there with 3 partitions, not 4"):
        broker.create_topic("again", 4)


def test_a_bad_topic_name_gives_one_line(broker):
    with pytest.raises(LocalError, match=r"topic a/b not created: .*") as caught:
        broker.create_topic("a/b")
    assert "\n" not in str(caught.value)


def test_it_listens_on_the_loopback_only(broker):
    connections = psutil.Process(broker.pid).net_connections(kind="tcp")
    listening = {c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN}
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}


def test_data_outlive_kill_restart_and_a_new_broker_on_the_folder(tmp_path):
    with EmbeddedBroker(tmp_path) as broker:
        broker.create_topic("kept", 1)
        produce(broker.bootstrap, "kept", [b"a", b"b"])
        address, pid = broker.bootstrap, broker.pid
        broker.kill()
        assert broker.pid is None
        assert not psutil.pid_exists(pid)
        broker.restart()
        assert broker.bootstrap == address
        produce(broker.bootstrap, "kept", [b"c"])
    with EmbeddedBroker(tmp_path) as reopened:
        values = [m.value() for m in consume(reopened.bootstrap, "kept", 3)]
    assert values == [b"a", b"b", b"c"]


def test_a_used_port_gives_one_clear_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LocalError) as caught:
            EmbeddedBroker(port=port).start()
    assert str(caught.value) == f"port {port} on 127.0.0.1 is in use: choose another, or stop it"


def test_a_folder_in_use_is_left_alone(broker):
    with pytest.raises(LocalError, match="another broker uses"):
        EmbeddedBroker(broker.data_dir).start()
    broker.create_topic("still-there", 1)


def test_a_broker_that_ends_at_its_start_tells_why(tmp_path):
    (tmp_path / "kafka").mkdir()
    (tmp_path / "kafka" / "meta.properties").write_text("version=1\ncluster.id=x\nnode.id=7\n")
    with pytest.raises(LocalError, match=r"at its start: .*Stored node id 7") as caught:
        EmbeddedBroker(tmp_path).start()
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "broker.log") in str(caught.value)


def test_stop_leaves_no_process_and_no_temporary_folder():
    before = {child.pid for child in psutil.Process().children()}
    broker = EmbeddedBroker().start()
    pid, folder = broker.pid, broker.data_dir
    broker.stop()
    assert not psutil.pid_exists(pid)
    assert not folder.exists()
    assert {child.pid for child in psutil.Process().children()} <= before


def test_it_outlives_the_thread_that_started_it(tmp_path):
    broker = EmbeddedBroker(tmp_path)
    thread = threading.Thread(target=broker.start)
    thread.start()
    thread.join()
    time.sleep(0.5)
    try:
        assert broker.pid is not None
    finally:
        broker.stop()


def test_it_ends_with_a_parent_that_is_killed():
    script = (
        "from marketlake.local.broker import EmbeddedBroker; import time\n"
        "b = EmbeddedBroker().start(); print(b.pid, b.data_dir, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    pid, folder = parent.stdout.readline().split()
    assert psutil.pid_exists(int(pid))
    parent.kill()
    parent.communicate()
    assert wait_until_gone(int(pid))
    deadline = time.monotonic() + 60
    while Path(folder).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(folder).exists()


def test_as_a_program_it_serves_until_it_is_asked_to_end(tmp_path):
    command = [sys.executable, "-m", "marketlake.local.broker", "--data", str(tmp_path)]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    address, pid, folder = program.stdout.readline().strip().split(", ")
    assert folder == str(tmp_path)
    host, port = address.split(":")
    socket.create_connection((host, int(port)), timeout=5).close()
    program.send_signal(signal.SIGTERM)
    program.communicate(timeout=120)
    assert program.returncode == 0
    assert not psutil.pid_exists(int(pid.removeprefix("pid ")))
