"""How one Kafka node (KRaft) is configured, formatted and called: files, ports, command lines."""

import base64
import os
import random
import re
import socket
import subprocess
import uuid
from pathlib import Path

from marketlake.local.errors import LocalError
from marketlake.local.jars import broker_classpath
from marketlake.local.java import find_java

HOST = "127.0.0.1"
# Below every system's ephemeral range: no outgoing connection can take a port between the time
# it is chosen and the time the broker, or a restarted broker, binds it.
_PORTS = range(20_000, 32_000)
_FORMAT_TIMEOUT_S = 60.0

_JVM_OPTIONS = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
)

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={logs}
auto.create.topics.enable=false
message.max.bytes=8388608
replica.fetch.max.bytes=8388608
# Recorded data may be years old: nothing is deleted for its age or its size.
log.retention.ms=-1
log.retention.bytes=-1
offsets.retention.minutes=5256000
# One node: no replicas, few internal partitions, no wait for more group members.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=16777216
# A killed broker may come back only when its session has run out: 9 s by default.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
"""


def configure(folder: Path, port: int) -> Path:
    """Write a node's properties, and format its storage where the folder is new.

    Parameters
    ----------
    folder
        Folder of the node, which is there; its storage is ``kafka`` below it.
    port
        Port for clients, 1..65535; the controller takes a free one at each start.

    Returns
    -------
    Path
        The properties, for ``kafka.Kafka``.

    Raises
    ------
    LocalError
        The storage was not formatted: with the line that says why.
    """
    storage = folder / "kafka"
    properties = folder / "server.properties"
    properties.write_text(
        _PROPERTIES.format(host=HOST, port=port, controller_port=free_port(), logs=storage)
    )
    if not (storage / "meta.properties").exists():
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        done = subprocess.run(
            # With "=": an id may begin with a hyphen, which would pass for an option.
            command(
                "kafka.tools.StorageTool",
                "format",
                f"--cluster-id={cluster_id}",
                "-c",
                properties,
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_FORMAT_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            raise LocalError(f"{storage} was not formatted: {telling_line(done.stdout)}")
    return properties


def command(main_class: str, *arguments: str | Path) -> list[str]:
    """Give the command line of one of Kafka's Java programs."""
    classpath = os.pathsep.join(map(str, broker_classpath()))
    java = str(find_java().executable)
    return [java, *_JVM_OPTIONS, "-cp", classpath, main_class, *map(str, arguments)]


def is_free(port: int) -> bool:
    """Tell whether a server can listen on the port of 127.0.0.1."""
    with socket.socket() as probe:
        # As the JVM does: a connection of before, still in TIME_WAIT, is no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Give a port of 127.0.0.1 that nobody listens on, 20000..31999."""
    for port in random.sample(_PORTS, 200):
        if is_free(port):
            return port
    raise LocalError(f"no free port on {HOST} in {_PORTS.start}..{_PORTS.stop - 1}")


def telling_line(log: str) -> str:
    """Pick the log line that says why: the last that names an error, else the last."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    causes = [x for x in lines if re.search(r"(Exception|Error)\b", x) and not x.startswith("at ")]
    return (causes or lines or ["nothing in its log"])[-1]
