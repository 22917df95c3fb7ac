"""Bad input at the level of the command line: one clear line, the right exit code, nothing lost."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import starmap
from pathlib import Path
from typing import get_args

import pytest
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from marketlake.contracts.events import EventType
from marketlake.feeds.simulator.wire_corruption import fuzz_messages
from marketlake.lake.query import open_lake
from marketlake.local.broker import EmbeddedBroker
from spark_jobs.cli import app
from tests.processes import MARKETLAKE, Process
from tests.streaming.lakes import (
    Message,
    assert_same,
    assert_same_state,
    fill,
    market_messages,
    publish,
    settings_with,
)

pytestmark = [pytest.mark.spark, pytest.mark.broker, pytest.mark.slow]

OFFSETS = 1_500
NOBODY = "kafka:127.0.0.1:1"
TRACES = ("Traceback", "Caused by:", "\tat ", "java.lang.", "py4j.")
Start = Callable[..., Process]


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line on standard error, log lines apart."""
        assert not [trace for trace in TRACES if trace in self.out + self.err], self.err
        lines = [line for line in self.err.splitlines() if not line.startswith('{"event"')]
        assert len(lines) == 1, self.err
        return lines[0]

    def failed_with(self, *parts: str) -> None:
        assert self.code == 1, (self.out, self.err)
        missing = [part for part in parts if part not in self.line]
        assert not missing, self.err
        assert self.out == ""


@dataclass(frozen=True)
class Case:
    arguments: tuple[object, ...]
    parts: tuple[str, ...]
    variables: dict[str, str] = field(default_factory=dict)


def ended(process: Process, timeout_s: float = 300) -> Ended:
    return Ended(process.wait(timeout_s), process.out, process.err)


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts ``marketlake …`` as a process; what still runs at the end is killed."""
    running: list[Process] = []

    def begin(*arguments: object) -> Process:
        running.append(Process(MARKETLAKE, *arguments))
        return running[-1]

    yield begin
    for process in running:
        process.bury()


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A small disk of its own, given the mount options."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "marketlake-test", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no disk of its own can be mounted here: {done.stderr.strip()}")
        return folder

    yield mount
    if folder.is_mount():
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="module")
def messages() -> list[Message]:
    return market_messages(seed=21, seconds=30, fuzz=40)


@pytest.fixture(scope="module")
def source(broker: EmbeddedBroker, messages: list[Message]) -> str:
    return publish(broker, messages)


@pytest.fixture(scope="module")
def undisturbed(spark: SparkSession, source: str, tmp_path_factory) -> Path:
    lake = tmp_path_factory.mktemp("bad-input") / "lake"
    fill(spark, source, lake, settings_with(max_offsets_per_batch=OFFSETS))
    return lake


def complete(spark: SparkSession, source: str, lake: Path) -> None:
    fill(spark, source, lake, settings_with(max_offsets_per_batch=OFFSETS))


def manifests(lake: Path) -> int:
    return len(list(lake.glob("_marketlake/stream/manifests/*.json")))


def wait_for_batch(process: Process, lake: Path, batches: int = 1) -> None:
    deadline = time.monotonic() + 200
    while manifests(lake) < batches:
        assert process.poll() is None, process.err
        assert time.monotonic() < deadline, "no batch within 200 s"
        time.sleep(0.05)


def run_all(*cases: Case) -> None:
    """Run command lines at once that end before Spark starts; each fails with its parts."""
    started = [Process(MARKETLAKE, *case.arguments, environment=case.variables) for case in cases]
    try:
        for case, process in zip(cases, started, strict=True):
            ended(process, timeout_s=100).failed_with(*case.parts)
    finally:
        for process in started:
            process.bury()


def test_what_is_wrong_with_the_command_line_is_one_line(tmp_path: Path):
    unknown_key = tmp_path / "unknown.toml"
    unknown_key.write_text("[stream]\nlatenes_ms = 3\n")
    no_text = tmp_path / "bytes.toml"
    no_text.write_bytes(b"\xff\xfe\x00")
    lake = tmp_path / "absent"
    stream = ("stream", "--lake", lake, "--source")
    day = ("batch", "process", "--lake", lake, "--date")
    misspelt = {"MARKETLAKE_STRAEM__LATENESS_MS": "1"}
    unfit = {"MARKETLAKE_STREAM__LATENESS_MS": "soon"}
    run_all(
        Case((*stream, NOBODY), ("stream: no Kafka broker answers at 127.0.0.1:1", "start it")),
        Case((*stream, "kafka:nowhere"), ("--source: 'kafka:nowhere'", "kafka:HOST:PORT")),
        Case((*stream, "ftp://x/y"), ("--source: 'ftp://x/y'", "kafka:HOST:PORT")),
        Case((*stream, NOBODY, "--config", unknown_key), ("stream.latenes_ms",)),
        Case((*stream, NOBODY, "--config", no_text), (str(no_text), "can't decode")),
        Case((*stream, NOBODY, "--config", tmp_path / "no.toml"), ("no.toml", "No such file")),
        Case((*stream, NOBODY), ("unknown variable MARKETLAKE_STRAEM__LATENESS_MS",), misspelt),
        Case((*stream, NOBODY), ("stream.lateness_ms: input should be a valid integer",), unfit),
        Case((*day, "2024-13-01"), ("--date '2024-13-01' is no date", "2024-08-08")),
        Case((*day, "2024-08-08"), ("batch process: no lake at", "marketlake stream")),
        Case(("sql", "--lake", lake, "select 1"), ("sql: no lake at", "check the path")),
        Case(("tables", "--lake", lake), ("tables: no lake at", "check the path")),
        Case(("reconcile", "--lake", lake), ("reconcile: no lake at",)),
    )
    assert not lake.exists()


def test_a_source_or_lake_that_cannot_be_used_is_told_before_spark_starts(
    broker: EmbeddedBroker, source: str, tmp_path: Path
):
    file = tmp_path / "file"
    file.write_text("no folder")
    absent = f"kafka:{broker.bootstrap}/absent"
    run_all(
        Case(
            ("stream", "--source", absent, "--lake", tmp_path / "lake", "--until-idle"),
            ("none of the topics absent.trades", "publish to one first"),
        ),
        Case(
            ("stream", "--source", source, "--lake", file / "lake"),
            ("cannot write lake", str(file), "Not a directory"),
        ),
        Case(
            ("stream", "--source", source, "--lake", "gs://b/lake"),
            ("gs://b/lake is no place known", "s3a://BUCKET/NAME"),
        ),
    )
    assert file.read_text() == "no folder"


def test_a_folder_that_may_not_be_written(
    source: str, mounted: Callable[[str], Path], tmp_path: Path
):
    if os.geteuid() == 0:
        # Root may write into any folder, unless its disk is read-only.
        folder, reason = mounted("size=1m,ro"), "Read-only file system"
    else:
        folder, reason = tmp_path / "closed", "Permission denied"
        folder.mkdir(mode=0o555)
    run_all(
        Case(
            ("stream", "--source", source, "--lake", folder / "lake"),
            ("cannot write lake", reason, "check that the folder"),
        )
    )


def test_sql_that_is_wrong(undisturbed: Path):
    run_all(
        Case(("sql", "--lake", undisturbed, "select * from gold.candles"), ("sql: ", "candles")),
        Case(("sql", "--lake", undisturbed, "selekt 1"), ("sql: ", "selekt")),
    )


def test_a_day_without_bars(spark: SparkSession, undisturbed: Path):
    # In this process, whose Spark runs already.
    day = ["batch", "process", "--lake", str(undisturbed), "--date", "1999-12-31"]
    done = CliRunner().invoke(app, day)
    Ended(done.exit_code, done.stdout, done.stderr).failed_with(
        "1999-12-31", "bars", "select distinct date from gold.bars"
    )


def test_a_full_disk_stops_the_stream_and_loses_nothing(
    start: Start,
    spark: SparkSession,
    source: str,
    undisturbed: Path,
    mounted: Callable[[str], Path],
):
    needed = sum(file.stat().st_size for file in undisturbed.rglob("*") if file.is_file())
    disk = mounted(f"size={needed // 2}")
    lake = disk / "lake"
    process = start(
        "stream", "--source", source, "--lake", lake, "--until-idle", "--max-offsets", OFFSETS
    )
    ended(process).failed_with("stream: the disk is full", str(disk), "make room", "nothing was")
    subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
    complete(spark, source, lake)
    assert_same(undisturbed, lake)
    assert_same_state(undisturbed, lake)


def test_a_broker_killed_in_mid_run(
    start: Start,
    spark: SparkSession,
    messages: list[Message],
    tmp_path: Path,
):
    lake, whole = tmp_path / "lake", tmp_path / "whole"
    with EmbeddedBroker(tmp_path / "broker") as broker:
        source = publish(broker, messages[:3_000])
        impatient = tmp_path / "settings.toml"
        impatient.write_text("[stream]\nkafka_give_up_s = 8\n")
        process = start(
            *("stream", "--source", source, "--lake", lake, "--until-idle"),
            *("--max-offsets", "300", "--config", impatient),
        )
        wait_for_batch(process, lake)
        broker.kill()
        said = f"stream: the Kafka broker at {broker.bootstrap} no longer answers"
        ended(process, timeout_s=120).failed_with(said, "nothing was lost")
        taken = manifests(lake)
        broker.restart()
        complete(spark, source, lake)
        assert manifests(lake) > taken, "the broker was killed too late to be missed"
        complete(spark, source, whole)
    assert_same(whole, lake)


def test_sigterm_ends_after_the_batch_and_a_second_writer_is_refused(
    start: Start, spark: SparkSession, source: str, undisturbed: Path, tmp_path: Path
):
    lake = tmp_path / "lake"
    arguments = ("stream", "--source", source, "--lake", lake, "--max-offsets", "300")
    first = start(*arguments)
    wait_for_batch(first, lake)
    second = ended(start(*arguments, "--until-idle"))
    second.failed_with(f"process {first.pid} writes lake", "wait for it, or stop it")
    first.send_signal(signal.SIGTERM)
    stopped = ended(first)
    assert stopped.code == 0, stopped.err
    assert "messages in" in stopped.out
    logged = [json.loads(line) for line in stopped.err.splitlines()]
    assert [line["event"] for line in logged] == ["batch"] * manifests(lake)
    complete(spark, source, lake)
    assert_same(undisturbed, lake)


def test_a_checkpoint_of_another_pipeline(start: Start, source: str, tmp_path: Path):
    commits = tmp_path / "lake/_marketlake/stream/checkpoint/commits"
    commits.mkdir(parents=True)
    (commits / "0").write_text('v1\n{"nextBatchWatermarkMs":0}')
    process = start("stream", "--source", source, "--lake", tmp_path / "lake", "--until-idle")
    ended(process).failed_with("another pipeline's checkpoint", "choose another --lake")
    assert [path.name for path in commits.iterdir()] == ["0"]


def routed(i: int, value: bytes) -> Message:
    """Give a message the topic and the key it asks for, at a time of its own: no mere repeats."""
    value = re.sub(
        rb'(?<="event_time_us":)\d{16}\b', lambda time: b"%d" % (int(time[0]) + 50_000 * i), value
    )
    known: tuple[EventType, ...] = get_args(EventType)
    asked = re.search(rb'"type":"(\w+)"', value)
    event_type = next((t for t in known if asked and asked[1] == t.encode()), "trade")
    instrument = re.search(rb'"instrument":"([^"]*)"', value)
    return event_type, instrument[1] if instrument else None, value


def test_every_fuzzed_message_is_in_silver_or_quarantine(
    spark: SparkSession, broker: EmbeddedBroker, tmp_path: Path
):
    count = 100_000
    source = publish(broker, starmap(routed, enumerate(fuzz_messages(3, count))))
    patient = settings_with(
        max_offsets_per_batch=40_000, lateness_ms=300_000, quote_lateness_ms=300_000
    )
    summary = fill(spark, source, tmp_path / "lake", patient)
    assert summary.read == count
    assert summary.silver + summary.quarantined == count
    connection = open_lake(str(tmp_path / "lake"))
    tables = ("trades", "quotes", "books", "bars", "quarantine")
    rows = {
        table: connection.execute(f"SELECT count(*) FROM silver.{table}").fetchall()[0][0]
        for table in tables
    }
    assert sum(rows.values()) == count, rows
    bronze = "SELECT count(*) FROM bronze.events WHERE source = 'kafka'"
    assert connection.execute(bronze).fetchall() == [(count,)]
    # Half of the messages are valid, at least: the others must not take them along.
    assert count // 3 < summary.silver < count, rows
    assert min(rows.values()) > 0, rows
