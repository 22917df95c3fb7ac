"""A backlog of trades drained by ``marketlake stream``, from Kafka and from Kinesis.

``python benchmarks/backlog.py --rounds 3``. Each drain is the real command in a process of its own,
from an empty lake to ``--until-idle``; the contenders of a round run one after the other. It is
watched from outside: its processes each second, its batches by the lines of its log.

**Memory is flat** where the median of the resident bytes in the last third of the drain is at most
1.1 times that of the middle third, for all processes together. The first third is left out: there
the JVM's heap and the folds' buffers come to their size. Exit 1 where a drain breaks the rule.

The rate is that of the batches behind the first, from its end to the end of the last: the other
benchmarks are warm, too. What the first one takes, with all that is loaded and compiled in it,
stands beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Final

import psutil
from generate import ensure
from kinesis_place import EMULATORS, NO_AWS, Taken, kinesis
from processes import KINDS, Sample, watch
from run import machine
from session import CORES
from verify import problems
from workload import Workload, default_work_dir

from marketlake.local.broker import EmbeddedBroker

FLAT: Final = 1.1
"""Most that the last third may hold, as a multiple of the middle third."""

CONTENDERS: Final = ("kafka", "kafka-spark", "kinesis")
_DEFAULT: Final = ("kafka", "kinesis")
_LIMIT_S: Final = 3_600.0
_LEAST_SAMPLES: Final = 6
_GIB: Final = 2**30
_ALL: Final = "all"


@dataclass(frozen=True)
class Contender:
    """A source to drain, and the settings to drain it with.

    Attributes
    ----------
    origin : str
        ``source`` of its messages in bronze.
    server : psutil.Process
        What serves it.
    """

    name: str
    source: str
    origin: str
    environment: Mapping[str, str]
    server: psutil.Process


@dataclass(frozen=True)
class Batch:
    """One batch, by its line in the log; times in seconds since the epoch."""

    ended_s: float
    seconds: float
    rows: int


@dataclass(frozen=True)
class Drain:
    """What one drain took.

    Attributes
    ----------
    wall_s : float
        From the beginning of the first batch to the end of the last.
    thirds : dict
        Median of the resident bytes in each third of it, by kind of process and for all.
    flat : float
        Median of the last third over that of the middle one, for all processes.
    """

    contender: str
    round: int
    rows: int
    wall_s: float
    batches: list[Batch]
    samples: list[Sample]
    thirds: dict[str, tuple[float, float, float]]
    flat: float
    peak_bytes: int
    cpu_s: dict[str, float]
    server_cpu_s: float

    @property
    def rows_per_s(self) -> float:
        """Rate of all batches but the first."""
        first, *rest = self.batches
        return sum(batch.rows for batch in rest) / (rest[-1].ended_s - first.ended_s)


def drain(contender: Contender, round_: int, workload: Workload, offsets: int, work: Path) -> Drain:
    """Drain a source into a new lake, and check what is in it."""
    lake = work / "lakes" / f"backlog-{contender.name}"
    shutil.rmtree(lake, ignore_errors=True)
    logs = work / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    said, log = (logs / f"backlog-{contender.name}-{round_}.{end}" for end in ("txt", "jsonl"))
    log.unlink(missing_ok=True)
    command = [
        *(sys.executable, "-m", "spark_jobs.cli", "stream", "--until-idle", "--json"),
        *("--source", contender.source, "--lake", str(lake), "--max-offsets", str(offsets)),
    ]
    variables = {**os.environ, **contender.environment}
    variables["MARKETLAKE_OBSERVABILITY__LOG_FILE"] = str(log)
    seen = watch(command, variables, said, contender.server, _LIMIT_S)
    wrong = problems(lake, workload, contender.origin)
    if wrong:
        raise SystemExit(f"{contender.name}: the lake is wrong: " + "; ".join(wrong))
    batches = batches_of(log)
    if len(batches) < 2:
        raise SystemExit(f"{len(batches)} batches are too few: fewer --offsets, or more --rows")
    begins_s, ends_s = batches[0].ended_s - batches[0].seconds, batches[-1].ended_s
    samples = [sample for sample in seen.samples if begins_s <= sample.at_s <= ends_s]
    thirds = thirds_of(samples)
    return Drain(
        contender=contender.name,
        round=round_,
        rows=workload.rows,
        wall_s=ends_s - begins_s,
        batches=batches,
        samples=samples,
        thirds=thirds,
        flat=thirds[_ALL][2] / thirds[_ALL][1],
        peak_bytes=max(sample.total_bytes for sample in samples),
        cpu_s=dict(seen.cpu_s),
        server_cpu_s=seen.beside_cpu_s,
    )


def batches_of(log: Path) -> list[Batch]:
    """Read the batches of messages out of a log of the stream."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [
        Batch(datetime.fromisoformat(line["time"]).timestamp(), line["seconds"], line["read"])
        for line in lines
        if line["event"] == "batch" and line["kind"] == "messages"
    ]


def thirds_of(samples: Sequence[Sample]) -> dict[str, tuple[float, float, float]]:
    """Give the median resident bytes of each third of some samples, by kind and for all."""
    if len(samples) < _LEAST_SAMPLES:
        raise SystemExit(f"{len(samples)} looks at the memory are too few: drain more --rows")
    cut = len(samples) // 3
    parts = (samples[:cut], samples[cut:-cut], samples[-cut:])

    def medians(kind: str) -> tuple[float, float, float]:
        first, middle, last = (
            median(s.total_bytes if kind == _ALL else s.rss_bytes[kind] for s in part)
            for part in parts
        )
        return first, middle, last

    return {kind: medians(kind) for kind in (*KINDS, _ALL)}


def compete(
    names: Sequence[str], workload: Workload, options: argparse.Namespace
) -> tuple[list[Drain], list[Taken]]:
    """Drain every contender in every round; what the emulator alone gives too."""
    work: Path = options.work
    drains: list[Drain] = []
    floors: list[Taken] = []
    with EmbeddedBroker(work / "kafka") as broker, kinesis(options.emulator, work) as place:
        kafka = f"kafka:{broker.bootstrap}/{workload.prefix}"
        server = psutil.Process(broker.pid)
        spark_reads = {"MARKETLAKE_STREAM__KAFKA_READER": "spark"}
        every = {
            "kafka": Contender("kafka", kafka, "kafka", {}, server),
            "kafka-spark": Contender("kafka-spark", kafka, "kafka", spark_reads, server),
            "kinesis": Contender(
                "kinesis", place.source(workload), "kinesis", place.environment, place.process
            ),
        }
        ensure(broker.bootstrap, workload)
        if "kinesis" in names:
            started = time.monotonic()
            place.fill(workload, aggregate=not options.plain)
            print(f"{options.emulator} filled in {time.monotonic() - started:.0f} s", flush=True)
        for round_ in range(1, options.rounds + 1):
            for name in names:
                done = drain(every[name], round_, workload, options.offsets, work)
                drains.append(done)
                print(
                    f"round {round_} {name}: {done.wall_s:.1f} s, {done.rows_per_s:,.0f} trades/s, "
                    f"memory {done.flat:.3f}, load {os.getloadavg()[0]:.1f}",
                    flush=True,
                )
            if "kinesis" in names:
                floors.append(place.take(workload))
    return drains, floors


def tables(drains: Sequence[Drain], floors: Sequence[Taken], emulator: str) -> str:
    """Write the medians as tables for ``docs/benchmarks.md``."""
    names = list(dict.fromkeys(drain.contender for drain in drains))
    own = {name: [d for d in drains if d.contender == name] for name in names}
    return "\n\n".join(
        part
        for part in (
            "\n".join([*_RATES, *(_rate_line(name, own) for name in names)]),
            "\n".join([*_MEMORY, *(line for name in names for line in _memory(name, own[name]))]),
            _bound(own, floors, emulator) if floors else "",
        )
        if part
    )


_RATES: Final = (
    (
        "| source | trades/s, median | ÷ Kafka's, a round | batches | rows a batch, p50, p95 "
        "| ms a batch, p50, p95 | first batch, ms | CPU s: stream | server |"
    ),
    "|---|---|---|---|---|---|---|---|---|",
)
_MEMORY: Final = (
    "| source | resident, GiB | first third | middle | last | last ÷ middle |",
    "|---|---|---|---|---|---|",
)


def _rate_line(name: str, own: Mapping[str, Sequence[Drain]]) -> str:
    drains = own[name]
    base = {d.round: d.rows_per_s for d in own.get("kafka", ())}
    ratios = " ".join(f"{d.rows_per_s / base[d.round]:.2f}" for d in drains if d.round in base)
    rows = [batch.rows for d in drains for batch in d.batches[1:]]
    taken_ms = [1e3 * batch.seconds for d in drains for batch in d.batches[1:]]
    return (
        f"| {name} | {median(d.rows_per_s for d in drains):,.0f} | {ratios or '–'} "
        f"| {median(len(d.batches) for d in drains):.0f} "
        f"| {_at(rows, 0.5):,.0f}, {_at(rows, 0.95):,.0f} "
        f"| {_at(taken_ms, 0.5):,.0f}, {_at(taken_ms, 0.95):,.0f} "
        f"| {median(1e3 * d.batches[0].seconds for d in drains):,.0f} "
        f"| {median(sum(d.cpu_s.values()) for d in drains):.1f} "
        f"| {median(d.server_cpu_s for d in drains):.1f} |"
    )


def _memory(name: str, drains: Sequence[Drain]) -> list[str]:
    lines = []
    for kind in (*KINDS, _ALL):
        first, middle, last = (median(d.thirds[kind][n] for d in drains) / _GIB for n in range(3))
        ratios = " ".join(f"{d.thirds[kind][2] / d.thirds[kind][1]:.3f}" for d in drains)
        shown = f"**{ratios}**" if kind == _ALL else ratios
        lines.append(f"| {name} | {kind} | {first:.2f} | {middle:.2f} | {last:.2f} | {shown} |")
    return lines


def _bound(own: Mapping[str, Sequence[Drain]], floors: Sequence[Taken], emulator: str) -> str:
    """Say what the emulator alone takes of the drain from Kinesis."""
    rows = own["kinesis"][0].rows
    alone_s = median(floor.wall_s for floor in floors)
    share = median(d.rows_per_s for d in own["kinesis"]) * alone_s / rows
    floor = floors[0]
    return (
        f"{emulator} alone, read by {CORES} bare clients: {rows / alone_s:,.0f} trades/s "
        f"({alone_s:.1f} s, {floor.records:,} records, {floor.size_bytes / alone_s / 1e6:,.1f} "
        f"MB/s; CPU {median(f.server_cpu_s for f in floors):.1f} s). The readers wait for it at "
        f"least {share:.0%} of the drain."
    )


def _at(values: Sequence[float], part: float) -> float:
    """Give the value below which a part of all lies (nearest rank)."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def main() -> int:
    """Run the drains; print the tables; give the exit status."""
    parser = argparse.ArgumentParser(description="Drain a backlog; is memory flat?")
    add = parser.add_argument
    add("contenders", nargs="*", default=_DEFAULT, metavar="CONTENDER",
        help=f"of {', '.join(CONTENDERS)} (kafka kinesis); kafka-spark: Spark reads")  # fmt: skip
    add("--rows", type=int, default=5_000_000, help="trades (5000000)")
    add("--rounds", type=int, default=1, help="interleaved rounds (1)")
    add("--offsets", type=int, default=250_000, help="messages a batch (250000)")
    add("--emulator", choices=tuple(EMULATORS), default="kinesalite",
        help="of Kinesis (kinesalite, which serves faster)")  # fmt: skip
    add("--plain", action="store_true", help="each trade a record of its own")
    add("--work", type=Path, default=default_work_dir(), help="scratch folder")
    add("--json", type=Path, help="result")
    options = parser.parse_args()
    unknown = [name for name in options.contenders if name not in CONTENDERS]
    if unknown:
        parser.error(f"no contender {unknown[0]}: choose of {', '.join(CONTENDERS)}")
    os.environ |= NO_AWS
    before, workload = machine(), Workload(options.rows)
    drains, floors = compete(options.contenders, workload, options)
    print(f"\n{tables(drains, floors, options.emulator)}")
    if options.json:
        figures = {
            "machine": before,
            "workload": asdict(workload),
            "emulator": options.emulator,
            "drains": [asdict(drain) for drain in drains],
            "floors": [asdict(floor) for floor in floors],
        }
        options.json.write_text(json.dumps(figures, indent=1))
    grown = [drain for drain in drains if drain.flat > FLAT]
    for drain in grown:
        print(
            f"round {drain.round} {drain.contender}: memory grew, {drain.flat:.3f} > {FLAT}",
            file=sys.stderr,
        )
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
