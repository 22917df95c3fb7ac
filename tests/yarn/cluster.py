"""A real YARN of one node on this machine: ResourceManager and NodeManager, without Docker."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import psutil
import pyspark

from marketlake.emr.configurations import cluster_configurations
from marketlake.local.jars import jar_paths
from marketlake.local.java import find_java
from marketlake.local.versions import YARN
from marketlake.settings.model import Settings

HOST = "127.0.0.1"
SPARK_HOME = Path(pyspark.__file__).parent
_START_S = 90.0
_ATTEMPTS = "yarn.resourcemanager.am.max-attempts"
_OPENED = ("java.lang", "java.util", "java.net", "java.io")
_MASTER = "org.apache.spark.deploy.yarn.ApplicationMaster"
_SERVERS = {
    "resourcemanager": "org.apache.hadoop.yarn.server.resourcemanager.ResourceManager",
    "nodemanager": "org.apache.hadoop.yarn.server.nodemanager.NodeManager",
}


@dataclass(frozen=True)
class YarnCluster:
    """A YARN that runs.

    Attributes
    ----------
    folder : Path
        Configuration, logs, and what containers write.
    """

    folder: Path
    web: str
    servers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which spark-submit finds it."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYSPARK", "SPARK"))}
        return {
            **kept,
            "SPARK_HOME": str(SPARK_HOME),
            "HADOOP_CONF_DIR": str(self.folder / "conf"),
            "JAVA_HOME": str(find_java().home),
            "SPARK_SUBMIT_OPTS": "-XX:TieredStopAtLevel=1",
        }

    def start(self, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        """Run spark-submit, which ends with the application."""
        with log.open("wb") as written:
            return subprocess.Popen(
                command, env=self.environment, stdout=written, stderr=subprocess.STDOUT
            )

    def run(self, command: Sequence[str], log: Path, timeout_s: float = 400) -> str:
        """Run spark-submit to its end, and give the application's id."""
        process = self.start(command, log)
        try:
            code = process.wait(timeout_s)
        finally:
            end(process)
        assert code == 0, f"exit status {code}:\n{log.read_text()[-3000:]}\n{self.errors()}"
        return self.applications()[-1]["id"]

    def applications(self, *states: str) -> list[dict[str, Any]]:
        """Give what runs and ran, in the order of their start."""
        found = (self._ask("apps")["apps"] or {"app": []})["app"]
        wanted = [app for app in found if not states or app["state"] in states]
        return sorted(wanted, key=lambda app: app["id"])

    def application(self, application: str) -> dict[str, Any]:
        """Give what YARN says of an application."""
        return dict(self._ask(f"apps/{application}")["app"])

    def kill(self, application: str) -> None:
        """Ask for what ``yarn application -kill`` asks for, without the seconds of its start."""
        self._ask(f"apps/{application}/state", {"state": "KILLED"}, method="PUT")

    def run_alone(self, command: str) -> str:
        """Run a command as the one container of an application, and give the application's id."""
        identity = str(self._ask("apps/new-application", {})["application-id"])
        wanted = {
            "application-id": identity,
            "application-name": "alone",
            "am-container-spec": {"commands": {"command": command}},
            "max-app-attempts": 1,
            "resource": {"memory": 256, "vCores": 1},
        }
        self._ask("apps", wanted)
        return identity

    def driver(self, application: str) -> psutil.Process:
        """Give the process of an application's latest driver: the JVM of its master."""
        private = self.folder / "local" / "nmPrivate" / application
        first = max(private.glob("container_*_000001/*.pid"))
        leader = psutil.Process(int(first.read_text()))
        found = [leader, *leader.children(recursive=True)]
        return next(p for p in found if any(_MASTER in word for word in p.cmdline()))

    def containers(self, application: str) -> list[Path]:
        """Give the log folders of an application's containers."""
        return sorted((self.folder / "logs" / "containers" / application).iterdir())

    def output(self, application: str) -> str:
        """Give all that an application's containers wrote."""
        files = [c / name for c in self.containers(application) for name in ("stdout", "stderr")]
        return "\n".join(file.read_text(errors="replace") for file in files if file.exists())

    def errors(self) -> str:
        """Give the ends of the latest application's logs, for a test that failed."""
        found = self.applications()
        return self.output(found[-1]["id"])[-4_000:] if found else "no application"

    def _java(self, main: str) -> list[str]:
        jars = ":".join(str(jar) for jar in jar_paths(YARN))
        opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED]
        java = [str(find_java().executable), "-Xmx256m", "-XX:TieredStopAtLevel=1"]
        return [*java, *opened, "-cp", f"{self.folder / 'conf'}:{jars}", main]

    def launch(self) -> None:
        """Start both servers, and wait until the node has room."""
        for name, main in _SERVERS.items():
            with (self.folder / "logs" / f"{name}.log").open("wb") as log:
                self.servers[name] = subprocess.Popen(
                    self._java(main), env=self.environment, stdout=log, stderr=subprocess.STDOUT
                )
        ends_s = time.monotonic() + _START_S
        while not self._is_ready():
            ended = [name for name, process in self.servers.items() if process.poll() is not None]
            if ended or time.monotonic() > ends_s:
                name = ended[0] if ended else "nodemanager"
                log = (self.folder / "logs" / f"{name}.log").read_text()[-3_000:]
                raise TimeoutError(f"YARN did not start: {name}:\n{log}")
            time.sleep(0.2)

    def _is_ready(self) -> bool:
        try:
            return bool(self._ask("metrics")["clusterMetrics"]["activeNodes"])
        except OSError:
            return False

    def _ask(
        self, path: str, body: Mapping[str, Any] | None = None, method: str | None = None
    ) -> dict[str, Any]:
        """Ask the ResourceManager by its REST interface."""
        request = urllib.request.Request(
            f"{self.web}/ws/v1/cluster/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
        return dict(json.loads(text)) if text else {}


@contextmanager
def yarn(folder: Path, *, memory_mb: int = 8_192, cores: int = 8) -> Iterator[YarnCluster]:
    """Run YARN for as long as the block lasts; what still runs in it ends with it."""
    ports = [_free_port() for _ in range(6)]
    for name in ("conf", "local", "logs/containers"):
        (folder / name).mkdir(parents=True)
    _configure(folder, ports, memory_mb, cores)
    cluster = YarnCluster(folder, f"http://{HOST}:{ports[4]}")
    try:
        cluster.launch()
        yield cluster
    finally:
        _end_containers(folder)
        for process in cluster.servers.values():
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process in order, or by force."""
    process.terminate()
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end_containers(folder: Path) -> None:
    # The NodeManager leaves its containers running when it ends, for the one after it.
    for pid_file in (folder / "local" / "nmPrivate").rglob("*.pid"):
        try:
            os.killpg(int(pid_file.read_text()), signal.SIGKILL)
        except (ProcessLookupError, ValueError):
            continue


def _configure(folder: Path, ports: Sequence[int], memory_mb: int, cores: int) -> None:
    conf = folder / "conf"
    _write(conf / "core-site.xml", {"fs.defaultFS": "file:///", "hadoop.tmp.dir": f"{folder}/tmp"})
    manager = ("address", "scheduler.address", "resource-tracker.address", "admin.address")
    addresses = {name: f"{HOST}:{port}" for name, port in zip(manager, ports, strict=False)}
    yarn_site = {
        # How often a driver is started again is the cluster's own.
        _ATTEMPTS: cluster_site("yarn-site")[_ATTEMPTS],
        "yarn.resourcemanager.hostname": HOST,
        **{f"yarn.resourcemanager.{name}": address for name, address in addresses.items()},
        "yarn.resourcemanager.webapp.address": f"{HOST}:{ports[4]}",
        "yarn.nodemanager.hostname": HOST,
        "yarn.nodemanager.bind-host": HOST,
        "yarn.nodemanager.address": f"{HOST}:0",
        "yarn.nodemanager.localizer.address": f"{HOST}:{ports[5]}",
        "yarn.nodemanager.webapp.address": f"{HOST}:0",
        "yarn.nodemanager.local-dirs": f"{folder}/local",
        "yarn.nodemanager.log-dirs": f"{folder}/logs/containers",
        "yarn.nodemanager.resource.memory-mb": str(memory_mb),
        "yarn.nodemanager.resource.cpu-vcores": str(cores),
        "yarn.nodemanager.pmem-check-enabled": "false",
        "yarn.nodemanager.vmem-check-enabled": "false",
        # It would list each of the environment's thousands of files before each container.
        "yarn.nodemanager.log-container-debug-info.enabled": "false",
        "yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage": "99.5",
        # Its program is not that of the jars alone, and one node needs no proof of who asks.
        "yarn.nodemanager.recovery.enabled": "false",
        "yarn.scheduler.minimum-allocation-mb": "256",
        "yarn.timeline-service.enabled": "false",
    }
    _write(conf / "yarn-site.xml", yarn_site)
    queues = {
        "root.queues": "default",
        "root.default.capacity": "100",
        "maximum-am-resource-percent": "1.0",
    }
    _write(
        conf / "capacity-scheduler.xml",
        {f"yarn.scheduler.capacity.{name}": value for name, value in queues.items()},
    )
    (conf / "log4j.properties").write_text(
        "log4j.rootLogger=INFO,console\n"
        "log4j.appender.console=org.apache.log4j.ConsoleAppender\n"
        "log4j.appender.console.layout=org.apache.log4j.PatternLayout\n"
        "log4j.appender.console.layout.ConversionPattern=%d %p %c{1}: %m%n\n"
    )


def cluster_site(classification: str) -> dict[str, str]:
    """Give what EMR would be told of an application of the cluster."""
    found = cluster_configurations(Settings())
    return next(dict(c["Properties"]) for c in found if c["Classification"] == classification)


def _write(file: Path, properties: Mapping[str, str]) -> None:
    rows = "".join(
        f"<property><name>{escape(name)}</name><value>{escape(value)}</value></property>\n"
        for name, value in properties.items()
    )
    file.write_text(f"<configuration>\n{rows}</configuration>\n")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def interpreter() -> str:
    """Give the Python below this one's virtual environment, as a path with its version."""
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    return str(base)
