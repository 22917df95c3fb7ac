"""A real YARN on this machine: ResourceManager and NodeManager, without Docker."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pyspark

from marketlake.local.jars import jar_paths
from marketlake.local.java import find_java
from marketlake.local.versions import YARN
from tests.yarn.configuration import HOST, Site, write_configuration

SPARK_HOME = Path(pyspark.__file__).parent
_START_S = 180.0
_ANSWER_S = 60.0
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
        For each node its configuration, logs, and what containers write.
    nodes : tuple of str
        Their names; spark-submit runs on the first.
    """

    folder: Path
    web: str
    nodes: tuple[str, ...]
    servers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which spark-submit finds it."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYSPARK", "SPARK"))}
        return {
            **kept,
            "SPARK_HOME": str(SPARK_HOME),
            "HADOOP_CONF_DIR": str(self.folder / self.nodes[0] / "conf"),
            "JAVA_HOME": str(find_java().home),
            "SPARK_SUBMIT_OPTS": f"-XX:TieredStopAtLevel=1 {_scratch()}",
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
        found = self.folder.glob(f"*/local/nmPrivate/{application}/container_*_000001/*.pid")
        first = max(found, key=lambda file: file.name)
        leader = psutil.Process(int(first.read_text()))
        processes = [leader, *leader.children(recursive=True)]
        return next(p for p in processes if any(_MASTER in word for word in p.cmdline()))

    def node_setting(self, name: str) -> str:
        """Give a setting as a node has it, whether it was told or not."""
        node = self._ask("nodes")["nodes"]["node"][0]["nodeHTTPAddress"]
        url = f"http://{node}/conf?name={name}"
        request = urllib.request.Request(url, headers={"Accept": "application/json"})
        with urllib.request.urlopen(request, timeout=_ANSWER_S) as answer:
            return str(json.load(answer)["property"]["value"])

    def containers(self, application: str) -> list[Path]:
        """Give the log folders of an application's containers."""
        return sorted(self.folder.glob(f"*/logs/{application}/container_*"))

    def node_of(self, application: str) -> str:
        """Name the node that an application's latest driver is on."""
        drivers = [c for c in self.containers(application) if c.name.endswith("_000001")]
        return drivers[-1].relative_to(self.folder).parts[0]

    def output(self, application: str) -> str:
        """Give all that an application's containers wrote."""
        files = [c / name for c in self.containers(application) for name in ("stdout", "stderr")]
        return "\n".join(file.read_text(errors="replace") for file in files if file.exists())

    def errors(self) -> str:
        """Give the ends of the latest application's logs, for a test that failed."""
        found = self.applications()
        return self.output(found[-1]["id"])[-4_000:] if found else "no application"

    def _java(self, main: str, node: str) -> list[str]:
        jars = ":".join(str(jar) for jar in jar_paths(YARN))
        opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED]
        java = [str(find_java().executable), "-Xmx256m", "-XX:TieredStopAtLevel=1", _scratch()]
        return [*java, *opened, "-cp", f"{self.folder / node / 'conf'}:{jars}", main]

    def launch(self, *, labels: bool) -> None:
        """Start all servers, and wait until every node has room, and its label."""
        self._start("resourcemanager", self.nodes[0])
        for node in self.nodes:
            self._start("nodemanager", node)
        told, ends_s = not labels, time.monotonic() + _START_S
        while not self._is_ready(labels=labels):
            ended = [name for name, process in self.servers.items() if process.poll() is not None]
            if ended or time.monotonic() > ends_s:
                name = ended[0] if ended else "nodemanager core"
                log = (self.folder / f"{name}.log").read_text()[-3_000:]
                raise TimeoutError(f"YARN did not start: {name}:\n{log}")
            if not told:
                told = self._tell_labels()
            time.sleep(0.2)

    def _start(self, server: str, node: str) -> None:
        name = f"{server} {node}"
        with (self.folder / f"{name}.log").open("wb") as log:
            self.servers[name] = subprocess.Popen(
                self._java(_SERVERS[server], node),
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _tell_labels(self) -> bool:
        """Do what EMR does when it has started YARN."""
        with suppress(OSError):
            label = {"name": "CORE", "exclusivity": "false"}
            self._ask("add-node-labels", {"nodeLabelInfo": [label]})
            return True
        return False

    def _is_ready(self, *, labels: bool) -> bool:
        try:
            found = (self._ask("nodes")["nodes"] or {"node": []})["node"]
        except OSError:
            return False
        run = [node for node in found if node["state"] == "RUNNING"]
        labelled = [node for node in run if node.get("nodeLabels") == ["CORE"]]
        return len(run) == len(self.nodes) and len(labelled) == int(labels)

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
        with urllib.request.urlopen(request, timeout=_ANSWER_S) as answer:
            text = answer.read()
        return dict(json.loads(text)) if text else {}


@contextmanager
def yarn(folder: Path, *, memory_mb: int = 8_192, cores: int = 8) -> Iterator[YarnCluster]:
    """Run YARN for as long as the block lasts; what still runs in it ends with it."""
    with _running(folder, ["core"], Site(memory_mb, cores)) as cluster:
        yield cluster


@contextmanager
def labelled_yarn(folder: Path) -> Iterator[YarnCluster]:
    """Run YARN with a core node, which has EMR's label, and a task node, which has none."""
    with _running(folder, ["core", "task"], Site(4_096, 4, labels=True)) as cluster:
        yield cluster


@contextmanager
def _running(folder: Path, nodes: Sequence[str], site: Site) -> Iterator[YarnCluster]:
    ports = [_free_port() for _ in range(5)]
    for node in nodes:
        write_configuration(folder, node, ports, _free_port(), site)
    cluster = YarnCluster(folder, f"http://{HOST}:{ports[4]}", tuple(nodes))
    try:
        cluster.launch(labels=site.labels)
        yield cluster
    finally:
        for process in cluster.servers.values():
            end(process)
        # Last: with those that end, waiting ones would begin.
        _end_containers(folder)
        # A gigabyte of unpacked archives; logs stay.
        for node in nodes:
            shutil.rmtree(folder / node / "local", ignore_errors=True)


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
    for pid_file in folder.glob("*/local/nmPrivate/**/*.pid"):
        try:
            os.killpg(int(pid_file.read_text()), signal.SIGKILL)
        except (ProcessLookupError, ValueError):
            continue


def _scratch() -> str:
    """Give the option by which a JVM's temporary files are where Python's are."""
    return f"-Djava.io.tmpdir={tempfile.gettempdir()}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def interpreter() -> str:
    """Give the Python below this one's virtual environment, as a path with its version."""
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    return str(base)
