"""A real Apache Kafka broker (KRaft, one node) as a child process, for laptops and tests.

Also a program: ``python -m marketlake.local.broker --data DIR --port N``.
"""

import argparse
import fcntl
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from marketlake.local.errors import LocalError
from marketlake.local.kafka_node import (
    HOST,
    command,
    configure,
    free_port,
    is_free,
    telling_line,
)

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 20.0
_POLL_S = 0.05

# Waits for the end of its input, which comes when the parent ends in whatever way, kill -9
# included; a signal asked of the kernel (PDEATHSIG) would come when the starting thread ends.
_WATCHDOG = 'read -r _; kill -9 "$1" 2>/dev/null; test -z "$2" || rm -rf -- "$2"'


class EmbeddedBroker:
    """A Kafka broker on 127.0.0.1, for as long as the ``with`` block or this process lasts.

    Parameters
    ----------
    data_dir
        Folder for the data, the configuration and the log ``broker.log``; made where it is
        missing. What an earlier broker wrote there is there again. None: a temporary folder,
        removed by `stop`.
    port
        Port to listen on, 1..65535; None: a free one, which `restart` keeps.

    Notes
    -----
    Topics are made by `create_topic` only; a topic's records are kept for ever; a message holds
    8 MiB at most.
    """

    def __init__(self, data_dir: Path | None = None, port: int | None = None) -> None:
        self._temporary = data_dir is None
        self._asked_dir = data_dir
        self._dir: Path | None = None
        self._port: int | None = port
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def bootstrap(self) -> str:
        """``host:port`` for ``bootstrap.servers``."""
        if self._port is None:
            raise LocalError("the broker has no port yet: start it first")
        return f"{HOST}:{self._port}"

    @property
    def data_dir(self) -> Path:
        """Folder that holds the data and ``broker.log``."""
        if self._dir is None:
            raise LocalError("the broker has no data folder yet: start it first")
        return self._dir

    @property
    def pid(self) -> int | None:
        """Process id of the running broker; None where it does not run."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if running and self._process is not None else None

    def start(self) -> Self:
        """Start the broker and wait until it answers.

        Raises
        ------
        LocalError
            The port is taken, or the broker ended or did not answer within 60 s: with its last
            log line.
        """
        if self.pid is not None:
            return self
        if self._port is None:
            self._port = free_port()
        elif not is_free(self._port):
            raise LocalError(f"port {self._port} on {HOST} is in use: choose another, or stop it")
        if self._dir is None:
            chosen = self._asked_dir or Path(tempfile.mkdtemp(prefix="marketlake-broker-"))
            self._dir = chosen.absolute()
        self._dir.mkdir(parents=True, exist_ok=True)
        try:
            with _owned(self._dir) as lock:
                self._spawn(configure(self._dir, self._port), lock)
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def create_topic(self, name: str, partitions: int = 4) -> None:
        """Create a topic; do nothing where it is there with as many partitions.

        Raises
        ------
        LocalError
            The topic is there with another number of partitions, or the broker refuses it.
        """
        admin = _admin(self.bootstrap)
        try:
            admin.create_topics([NewTopic(name, partitions, 1)])[name].result(_STOP_TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise LocalError(f"topic {name} not created: {error.args[0].str()}") from error
            there = len(admin.list_topics(name, timeout=_STOP_TIMEOUT_S).topics[name].partitions)
            if there != partitions:
                raise LocalError(
                    f"topic {name} is there with {there} partitions, not {partitions}: choose "
                    "another name or a new data folder"
                ) from error
        if not _until(lambda: _has_leaders(admin, name, partitions), _STOP_TIMEOUT_S):
            raise LocalError(f"topic {name} got no leaders within {_STOP_TIMEOUT_S:.0f} s")

    def stop(self) -> None:
        """Shut the broker down in order (by force after 20 s); data in a given folder stay."""
        self._end(signal.SIGTERM)
        if self._temporary and self._dir is not None:
            shutil.rmtree(self._dir, ignore_errors=True)
            self._dir = None

    def kill(self) -> None:
        """Kill the broker (SIGKILL), as a crash would; its data stay, for `restart`."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start it again on the same port and data, after `kill` or from a running state."""
        self._end(signal.SIGTERM)
        self.start()

    def wait(self) -> int:
        """Wait until the broker ends by itself; give its exit status."""
        if self._process is None:
            raise LocalError("the broker does not run: start it first")
        return self._process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _spawn(self, properties: Path, lock: int) -> None:
        # Sessions of their own: Ctrl-C in the terminal is ours to handle, in order.
        with (self.data_dir / "broker.log").open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                command("kafka.Kafka", properties),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[lock],
            )
        removed = str(self.data_dir) if self._temporary else ""
        self._watchdog = subprocess.Popen(
            ["sh", "-c", _WATCHDOG, "sh", str(self._process.pid), removed],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _wait_until_ready(self) -> None:
        def is_ready() -> bool:
            if self._process is None or self._process.poll() is not None:
                raise LocalError(f"the broker ended at its start: {self._last_line()}")
            return not is_free(self._port or 0) and _answers(self.bootstrap)

        if not _until(is_ready, _START_TIMEOUT_S):
            raise LocalError(
                f"the broker did not answer within {_START_TIMEOUT_S:.0f} s: {self._last_line()}"
            )

    def _last_line(self) -> str:
        log = self.data_dir / "broker.log"
        written = log.read_bytes()[self._log_start :].decode(errors="replace")
        return f"{telling_line(written)} (all of it: {log})"

    def _end(self, how: signal.Signals) -> None:
        if self._watchdog is not None:  # first: the process id may be another's afterwards
            self._watchdog.kill()
            self._watchdog.communicate()
            self._watchdog = None
        if self._process is not None:
            self._process.send_signal(how)
            try:
                self._process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None


@contextmanager
def _owned(folder: Path) -> Iterator[int]:
    """Lock a data folder, and give the descriptor: a child that inherits it holds the lock on.

    Kafka's own lock comes after it has opened, and may have cut, the metadata log.
    """
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LocalError(
                f"another broker uses {folder}: choose another data folder, or stop that broker"
            ) from error
        yield file.fileno()


def _admin(bootstrap: str) -> AdminClient:
    options: dict[str, Any] = {"bootstrap.servers": bootstrap, "log_level": 0}
    return AdminClient(options)


def _answers(bootstrap: str) -> bool:
    """Tell whether the broker answers, and counts itself as alive."""
    try:
        return bool(_admin(bootstrap).list_topics(timeout=2).brokers)
    except KafkaException:
        return False


def _has_leaders(admin: AdminClient, topic: str, partitions: int) -> bool:
    """Tell whether the broker, not just its controller, knows and leads all the partitions."""
    found = admin.list_topics(topic, timeout=_STOP_TIMEOUT_S).topics[topic].partitions
    return len(found) == partitions and all(p.leader >= 0 for p in found.values())


def _until(is_so: Callable[[], bool], timeout_s: float) -> bool:
    """Ask again and again; tell whether it became so in time."""
    deadline = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a broker until it is interrupted; give the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m marketlake.local.broker", description="Run one real Kafka broker."
    )
    parser.add_argument("--data", type=Path, help="folder that keeps the data (default: none)")
    parser.add_argument("--port", type=int, help="port on 127.0.0.1 (default: a free one)")
    options = parser.parse_args(arguments)
    asked_to_end = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked_to_end.set())
    try:
        with EmbeddedBroker(options.data, options.port) as broker:
            sys.stdout.write(f"{broker.bootstrap}, pid {broker.pid}, {broker.data_dir}\n")
            sys.stdout.flush()
            while not asked_to_end.wait(0.5):
                if broker.pid is None:
                    sys.stderr.write(f"marketlake: the broker ended with {broker.wait()}\n")
                    return 1
    except LocalError as error:
        sys.stderr.write(f"marketlake: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
