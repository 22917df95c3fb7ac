"""What holds for all scripts of bootstrap/, and the GPU's, the metrics agent's and Zeppelin's."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from pyspark.sql import SparkSession

from marketlake.local.java import find_java
from marketlake.observability.figures import BatchFigures, InputFigures
from marketlake.observability.metrics import BatchMetrics
from tests.bootstrap.sandbox import SCRIPTS, Node, closed_port

ALL = sorted(path.name for path in SCRIPTS.glob("*.sh"))


@pytest.mark.parametrize("script", ALL)
def test_shellcheck_finds_nothing(script: str):
    if shutil.which("shellcheck") is None:
        pytest.skip("no shellcheck on PATH; apt-get install shellcheck")
    done = subprocess.run(
        ["shellcheck", str(SCRIPTS / script)], capture_output=True, text=True, check=False
    )
    assert done.stdout == ""


@pytest.mark.parametrize("script", ALL)
def test_scripts_stop_at_the_first_failure(script: str):
    assert "\nset -euo pipefail\n" in (SCRIPTS / script).read_text()


def add_device(node: Node, name: str, vendor: str, kind: str) -> None:
    folder = node.folder / "pci" / name
    folder.mkdir(parents=True)
    (folder / "vendor").write_text(f"{vendor}\n")
    (folder / "class").write_text(f"{kind}\n")
    node.variables["MARKETLAKE_PCI_DEVICES"] = str(folder.parent)


def nvidia_smi(node: Node, driver: str, count: int) -> None:
    """NVIDIA's program, which is where its devices are; it answers a query with a line each."""
    drivers = "\\n".join([driver] * count)
    indices = "\\n".join(str(n) for n in range(count))
    node.provide(
        "nvidia-smi",
        f"case $* in *driver_version*) printf '{drivers}\\n' ;; *index*) printf '{indices}\\n' ;; "
        "*) exit 2 ;; esac",
    )


def test_node_without_a_gpu_needs_nothing(node: Node):
    add_device(node, "0000:00:05.0", "0x1d0f", "0x020000")
    assert "nothing to do" in node.succeeds("gpu.sh")
    assert not node.home.exists()


def test_gpus_are_found_and_spark_reads_the_discovery(node: Node, spark: SparkSession):
    for n in range(4):
        add_device(node, f"0000:00:1{n}.0", "0x10de", "0x030200")
    nvidia_smi(node, "550.144.03", 4)
    assert "4 devices, driver 550.144.03" in node.succeeds("gpu.sh")
    script = node.home / "gpu-discovery.sh"
    path = {"PATH": f"{node.folder / 'bin'}:/usr/bin:/bin"}
    told = subprocess.run([script], env=path, capture_output=True, text=True, check=True).stdout
    read = spark._jvm.org.apache.spark.resource.ResourceInformation.parseJson(told)
    assert read.name() == "gpu"
    assert list(read.addresses()) == ["0", "1", "2", "3"]
    before = node.tree()
    node.succeeds("gpu.sh")
    assert node.tree() == before


def test_discovery_says_why_it_fails(node: Node):
    add_device(node, "0000:00:1e.0", "0x10de", "0x030200")
    nvidia_smi(node, "550.144.03", 1)
    node.succeeds("gpu.sh")
    node.provide("nvidia-smi", "exit 9")
    path = {"PATH": f"{node.folder / 'bin'}:/usr/bin:/bin"}
    done = subprocess.run(
        [node.home / "gpu-discovery.sh"], env=path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize(
    ("driver", "answers", "complaint"),
    [
        (None, 0, "no nvidia-smi"),
        ("470.256.02", 1, "driver 470.256.02 is older than 535"),
        ("550.144.03", 2, "1 NVIDIA devices, but the driver knows 2"),
    ],
)
def test_gpu_that_cannot_be_used(node: Node, driver: str | None, answers: int, complaint: str):
    add_device(node, "0000:00:1e.0", "0x10de", "0x030000")
    if driver is not None:
        nvidia_smi(node, driver, answers)
    elif shutil.which("nvidia-smi"):
        node.provide("nvidia-smi", "exit 127")
        complaint = "does not answer"
    assert complaint in node.fails("gpu.sh")


def agent_ctl(node: Node, status: str = "running", code: int = 0) -> Path:
    """The agent's own control program, which this machine cannot have; it notes what it is told."""
    calls = node.folder / "calls"
    node.provide(
        "amazon-cloudwatch-agent-ctl",
        f'echo "$*" >>{calls}\n'
        f'if [[ $* == *status* ]]; then echo \'{{ "status": "{status}" }}\'; exit 0; fi\n'
        f"echo 'under path : /metrics/x | Error : no such thing' >&2; exit {code}",
    )
    return calls


def test_agent_is_configured_once(node: Node):
    calls = agent_ctl(node)
    node.succeeds("metrics-agent.sh", "dev", "eu-west-1")
    before, told = node.tree(), calls.read_text()
    assert told == f"-a fetch-config -m ec2 -s -c file:{node.home}/metrics-agent/agent.json\n"
    assert "runs with this" in node.succeeds("metrics-agent.sh", "dev", "eu-west-1")
    assert node.tree() == before
    assert calls.read_text() == f"{told}-a status\n"
    node.succeeds("metrics-agent.sh", "dev", "eu-west-1", "9500")
    assert calls.read_text().count("fetch-config") == 2


def test_agent_that_ended_is_started_again(node: Node):
    calls = agent_ctl(node, status="stopped")
    node.succeeds("metrics-agent.sh", "dev", "eu-west-1")
    node.succeeds("metrics-agent.sh", "dev", "eu-west-1")
    assert calls.read_text().count("fetch-config") == 2


def test_agent_that_refuses_is_asked_again_at_the_next_run(node: Node):
    agent_ctl(node, code=1)
    line = node.fails("metrics-agent.sh", "dev", "eu-west-1")
    assert "refuses its configuration" in line
    assert "no such thing" in line
    calls = agent_ctl(node)
    node.succeeds("metrics-agent.sh", "dev", "eu-west-1")
    assert calls.read_text().count("fetch-config") == 2


def test_agent_that_is_absent(node: Node):
    node.provide("dnf", "echo 'Curl error (28): Timeout was reached' >&2; exit 1")
    line = node.fails("metrics-agent.sh", "dev", "eu-west-1")
    assert "dnf cannot install it (Curl error (28): Timeout was reached)" in line


def test_agent_takes_what_the_alarms_read_from_what_the_stream_serves(node: Node):
    """The real endpoint's text through the agent's rules: which names reach CloudWatch."""
    agent_ctl(node)
    node.succeeds("metrics-agent.sh", "staging", "eu-west-1", "9500")
    folder = node.home / "metrics-agent"
    (job,) = yaml.safe_load((folder / "prometheus.yaml").read_text())["scrape_configs"]
    assert job["static_configs"] == [
        {"targets": ["127.0.0.1:9500"], "labels": {"environment": "staging"}}
    ]
    agent = json.loads((folder / "agent.json").read_text())
    section = agent["logs"]["metrics_collected"]["prometheus"]
    assert section["prometheus_config_path"] == str(folder / "prometheus.yaml")
    (declared,) = section["emf_processor"]["metric_declaration"]
    assert declared["dimensions"] == [["environment"]]
    keep, rename = job["metric_relabel_configs"]
    sent = set()
    for name in served_names():
        kept = re.fullmatch(keep["regex"], name)
        renamed = kept and kept.expand(rename["replacement"].replace("$", "\\"))
        if renamed and any(re.search(rule, renamed) for rule in declared["metric_selectors"]):
            sent.add(renamed)
    assert sent == {
        "unaccounted_messages",
        "table_freshness_seconds",
        "last_batch_timestamp_seconds",
        "last_batch_seconds",
        "quarantined_messages_total",
        "messages_read_total",
        "batches_total",
        "input_lag_messages",
    }
    assert section["emf_processor"]["metric_namespace"] == "Marketlake"
    assert agent["metrics"]["namespace"] == "Marketlake"
    assert agent["metrics"]["aggregation_dimensions"] == [["environment"]]


def served_names() -> set[str]:
    """Names of the samples that a stream serves after a batch."""
    registry = CollectorRegistry()
    metrics = BatchMetrics(registry)
    metrics.observe(
        BatchFigures(
            sequence=1,
            kind="messages",
            read=2,
            quarantined=0,
            silver={"silver/trades": 2},
            gold={"gold/bars": 1},
            reasons={"duplicate": 1},
            seconds=0.5,
            inputs={"market.trades-0": InputFigures(watermark_us=1, latest_us=2, active=True)},
            latest_event_us={"silver/trades": 2},
        )
    )
    metrics.set_lag({"market.trades-0": 7})
    text = generate_latest(registry).decode()
    return {
        re.match(r"[a-z_A-Z0-9]+", line)[0]
        for line in text.splitlines()
        if not line.startswith("#")
    }


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("dev",), "2 to 4 arguments"),
        (('d"v', "eu-west-1"), "is no environment"),
        (("dev", "Ireland"), "is no region"),
        (("dev", "eu-west-1", "70000"), "is no port"),
    ],
)
def test_agent_arguments(node: Node, arguments: tuple[str, ...], complaint: str):
    assert complaint in node.fails("metrics-agent.sh", *arguments)


def test_agent_on_a_full_disk(full_node: Node):
    (full_node.home / "filler").write_bytes(b"\1" * 60_000)
    if full_node.limit:
        full_node.limit = "trap '' XFSZ; ulimit -f 0;"
    agent_ctl(full_node)
    line = full_node.fails("metrics-agent.sh", "dev", "eu-west-1")
    assert "make room" in line


ZEPPELIN = "zeppelin-0.12.0-bin-netinst.tgz"


@pytest.fixture
def zeppelin(shelf) -> tuple[str, str]:
    """An archive laid out as Zeppelin's, which itself cannot be had here; URL and SHA-512."""
    folder, url = shelf
    stage = folder / "stage" / "zeppelin-0.12.0-bin-netinst"
    for name in ("bin", "conf", "interpreter/livy"):
        (stage / name).mkdir(parents=True)
    daemon = stage / "bin" / "zeppelin-daemon.sh"
    daemon.write_text(
        "#!/bin/bash\n"
        'up="${BASH_SOURCE[0]}.up"\n'
        'if [[ $1 == status ]]; then [[ -e $up ]]; else echo started >>"$up"; fi\n'
    )
    daemon.chmod(0o755)
    setting = {"properties": {"zeppelin.livy.url": {"defaultValue": "http://localhost:8998"}}}
    (stage / "interpreter" / "livy" / "interpreter-setting.json").write_text(json.dumps(setting))
    with tarfile.open(folder / ZEPPELIN, "w:gz") as tar:
        tar.add(stage, stage.name)
    return f"{url}/{ZEPPELIN}", hashlib.sha512((folder / ZEPPELIN).read_bytes()).hexdigest()


@pytest.fixture
def primary(node: Node) -> Node:
    info = node.folder / "instance.json"
    info.write_text('{"isMaster": true, "isRunningNameNode": true}')
    node.variables["MARKETLAKE_INSTANCE_INFO"] = str(info)
    return node


def test_zeppelin_listens_on_the_loopback_and_is_started_once(primary: Node, zeppelin):
    assert "0.12.0 answers on 127.0.0.1:8890" in primary.succeeds("zeppelin.sh", *zeppelin)
    home = primary.home / "zeppelin"
    site = (home / "conf" / "zeppelin-site.xml").read_text()
    assert "<name>zeppelin.server.addr</name><value>127.0.0.1</value>" in site
    setting = json.loads((home / "interpreter" / "livy" / "interpreter-setting.json").read_text())
    assert setting["properties"]["zeppelin.livy.url"]["defaultValue"] == "http://127.0.0.1:8998"
    before = (home / "conf" / "zeppelin-site.xml").stat()
    primary.succeeds("zeppelin.sh", *zeppelin)
    assert (home / "conf" / "zeppelin-site.xml").stat().st_mtime_ns == before.st_mtime_ns
    assert (home / "bin" / "zeppelin-daemon.sh.up").read_text() == "started\n"


def test_zeppelin_only_on_the_primary_node(primary: Node, zeppelin):
    Path(primary.variables["MARKETLAKE_INSTANCE_INFO"]).write_text('{"isMaster": false}')
    assert "nothing to do" in primary.succeeds("zeppelin.sh", *zeppelin)
    assert not primary.home.exists()


@pytest.fixture
def certificates(shelf) -> str:
    """URL of an archive as `deploy` makes it, of which one file counts here."""
    folder, url = shelf
    pem = folder / "nodes.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", os.devnull]
    subprocess.run(
        [*command, "-out", str(pem), "-subj", "/CN=*.ec2.internal"], check=True, capture_output=True
    )
    with zipfile.ZipFile(folder / "nodes.zip", "w") as archive:
        archive.writestr("privateKey.pem", "a key")
        for name in ("certificateChain.pem", "trustedCertificates.pem"):
            archive.write(pem, name)
    return f"{url}/nodes.zip"


def test_zeppelin_reaches_livy_by_tls_and_keeps_no_key(primary: Node, zeppelin, certificates: str):
    primary.provide("hostname", "echo ip-10-0-0-1.ec2.internal")
    primary.provide("keytool", f'exec {find_java().home / "bin" / "keytool"} "$@"')
    primary.succeeds("zeppelin.sh", *zeppelin, "", certificates)
    home = primary.home / "zeppelin"
    setting = json.loads((home / "interpreter" / "livy" / "interpreter-setting.json").read_text())
    said = {name: known["defaultValue"] for name, known in setting["properties"].items()}
    assert said["zeppelin.livy.url"] == "https://ip-10-0-0-1.ec2.internal:8998"
    store = Path(said["zeppelin.livy.ssl.trustStore"])
    assert store.resolve() == (home / "conf" / "nodes.p12").resolve()
    keytool = [str(find_java().home / "bin" / "keytool"), "-list", "-keystore", str(store)]
    word = ["-storepass", said["zeppelin.livy.ssl.trustStorePassword"]]
    listed = subprocess.run([*keytool, *word], check=True, capture_output=True, text=True).stdout
    assert "nodes, " in listed
    assert "trustedCertEntry" in listed
    assert not any(path.name == "privateKey.pem" for path in primary.folder.rglob("*"))


def test_zeppelin_without_the_certificates_it_was_told_of(primary: Node, zeppelin, shelf):
    folder, url = shelf
    assert "cannot fetch" in primary.fails("zeppelin.sh", *zeppelin, "", f"{url}/none.zip")
    (folder / "bad.zip").write_text("no zip")
    line = primary.fails("zeppelin.sh", *zeppelin, "", f"{url}/bad.zip")
    assert f"cannot unpack {url}/bad.zip" in line
    assert not (primary.home / "zeppelin").exists()


def test_zeppelin_faults(primary: Node, zeppelin):
    url, _ = zeppelin
    assert "has SHA-512" in primary.fails("zeppelin.sh", url, "0" * 128)
    assert "is no SHA-512" in primary.fails("zeppelin.sh", url, "0" * 64)
    assert "names no zeppelin" in primary.fails("zeppelin.sh", "https://a/b.tgz", "0" * 128)
    dead = f"http://127.0.0.1:{closed_port()}/{ZEPPELIN}"
    assert "cannot fetch" in primary.fails("zeppelin.sh", dead, "0" * 128)
    assert not (primary.home / "zeppelin").exists()
    assert [path.name for path in primary.home.iterdir() if path.name != ".lock"] == []


def test_zeppelin_on_a_full_disk(full_node: Node, zeppelin):
    info = full_node.folder / "instance.json"
    info.write_text('{"isMaster": true}')
    full_node.variables["MARKETLAKE_INSTANCE_INFO"] = str(info)
    (full_node.home / "filler").write_bytes(b"\1" * 60_000)
    if full_node.limit:
        full_node.limit = "trap '' XFSZ; ulimit -f 0;"
    line = full_node.fails("zeppelin.sh", *zeppelin)
    assert "room" in line
