"""Configuration of the YARN of the tests: what EMR would be told, and what this machine asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from marketlake.emr.configurations import cluster_configurations
from marketlake.settings.model import Settings

HOST = "127.0.0.1"
DISK = "viewfs://disk"
"""The disk under a name of its own: what is there is unpacked once a node. Spark copies what is on
``file:`` for each application, and YARN unpacks each copy: a gigabyte and half a minute."""
_ADDRESSES = ("address", "scheduler.address", "resource-tracker.address", "admin.address")


@dataclass(frozen=True)
class Site:
    """What a node has room for, and whether nodes have labels."""

    memory_mb: int
    cores: int
    labels: bool = False


def cluster_site(classification: str) -> dict[str, str]:
    """Give what EMR would be told of an application of the cluster."""
    found = cluster_configurations(Settings())
    return next(dict(c["Properties"]) for c in found if c["Classification"] == classification)


def write_configuration(
    folder: Path, node: str, ports: Sequence[int], localizer_port: int, site: Site
) -> None:
    """Write the configuration of a node below a folder of its name.

    Parameters
    ----------
    ports : sequence of int
        Of the ResourceManager; the last is the one of its pages.
    """
    place = folder / node
    conf = place / "conf"
    for made in (conf, place / "local", place / "logs"):
        made.mkdir(parents=True)
    core_site = {
        "fs.defaultFS": "file:///",
        "fs.viewfs.mounttable.disk.linkMergeSlash": "file:///",
        "hadoop.tmp.dir": f"{place}/tmp",
    }
    _write(conf / "core-site.xml", core_site)
    addresses = zip(_ADDRESSES, ports, strict=False)
    yarn_site = {
        **_of_cluster(labels=site.labels),
        "yarn.resourcemanager.hostname": HOST,
        **{f"yarn.resourcemanager.{name}": f"{HOST}:{port}" for name, port in addresses},
        "yarn.resourcemanager.webapp.address": f"{HOST}:{ports[-1]}",
        **_of_machine(place, localizer_port),
        "yarn.nodemanager.resource.memory-mb": str(site.memory_mb),
        "yarn.nodemanager.resource.cpu-vcores": str(site.cores),
        "yarn.scheduler.minimum-allocation-mb": "256",
        "yarn.timeline-service.enabled": "false",
    }
    if site.labels:
        yarn_site |= _labels(folder, node)
    _write(conf / "yarn-site.xml", yarn_site)
    queues = {"root.queues": "default", "root.default.capacity": "100"}
    _write(
        conf / "capacity-scheduler.xml",
        {
            **{f"yarn.scheduler.capacity.{name}": value for name, value in queues.items()},
            **cluster_site("capacity-scheduler"),
        },
    )
    (conf / "log4j.properties").write_text(
        "log4j.rootLogger=INFO,console\n"
        "log4j.appender.console=org.apache.log4j.ConsoleAppender\n"
        "log4j.appender.console.layout=org.apache.log4j.PatternLayout\n"
        "log4j.appender.console.layout.ConversionPattern=%d %p %c{1}: %m%n\n"
    )


def _of_cluster(*, labels: bool) -> dict[str, str]:
    """Give what holds on a cluster of ours, but for logs, which stay where they are written."""
    without = ("log-aggregation",) if labels else ("log-aggregation", "node-labels")
    return {
        name: value
        for name, value in cluster_site("yarn-site").items()
        if name.startswith("yarn.") and not any(word in name for word in without)
    }


def _of_machine(place: Path, localizer_port: int) -> dict[str, str]:
    return {
        # All that a node is told and asked for waits for its next beat.
        "yarn.resourcemanager.nodemanagers.heartbeat-interval-ms": "200",
        "yarn.nodemanager.hostname": HOST,
        "yarn.nodemanager.bind-host": HOST,
        "yarn.nodemanager.address": f"{HOST}:0",
        "yarn.nodemanager.localizer.address": f"{HOST}:{localizer_port}",
        "yarn.nodemanager.webapp.address": f"{HOST}:0",
        "yarn.nodemanager.local-dirs": f"{place}/local",
        "yarn.nodemanager.log-dirs": f"{place}/logs",
        "yarn.nodemanager.pmem-check-enabled": "false",
        "yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage": "99.5",
        # Its program is not that of the jars alone, and one node needs no proof of who asks.
        "yarn.nodemanager.recovery.enabled": "false",
    }


def _labels(folder: Path, node: str) -> dict[str, str]:
    """Give what EMR itself says of labels, beside what it is told."""
    common = {
        "yarn.node-labels.configuration-type": "distributed",
        "yarn.node-labels.fs-store.root-dir": (folder / "labels").as_uri(),
    }
    if node != "core":
        return common
    return {
        **common,
        "yarn.nodemanager.node-labels.provider": "config",
        "yarn.nodemanager.node-labels.provider.configured-node-partition": "CORE",
        # The label comes when the node is there: it is not to wait for minutes.
        "yarn.nodemanager.node-labels.provider.fetch-interval-ms": "500",
        "yarn.nodemanager.node-labels.resync-interval-ms": "500",
    }


def _write(file: Path, properties: Mapping[str, str]) -> None:
    rows = "".join(
        f"<property><name>{escape(name)}</name><value>{escape(value)}</value></property>\n"
        for name, value in properties.items()
    )
    file.write_text(f"<configuration>\n{rows}</configuration>\n")
