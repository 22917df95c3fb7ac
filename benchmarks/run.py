"""Runs the contenders interleaved, each in a process of its own, and reports ratios to floor 1.

``python benchmarks/run.py --rounds 3``. Times on a shared machine wander; within a round the
contenders meet the same weather, so the ratio within a round is what counts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import IO, Any, Final

import psutil
from generate import ensure, partition_of
from measurement import RESULT_SIGN, tree_rss_bytes
from verify import problems
from workload import (
    WARM_UP,
    Workload,
    add_workload_arguments,
    default_work_dir,
    workload_of,
)

from marketlake.local.broker import EmbeddedBroker

_HERE: Final = Path(__file__).resolve().parent
_SAMPLE_S: Final = 0.2
_LIMIT_S: Final = 900.0
BASE: Final = "floor1"
"""The contender that all others are measured against."""

CONTENDERS: Final[dict[str, tuple[str, ...]]] = {
    BASE: ("floor.py", "--floor", "1"),
    "floor2": ("floor.py", "--floor", "2"),
    "pipeline": ("pipeline.py",),
    "pipeline-spine": ("pipeline.py", "--spine"),
    "pipeline-spark-reader": ("pipeline.py", "--reader", "spark"),
    "flink": ("flink.py",),
}
_DEFAULT: Final = (BASE, "floor2", "pipeline")


@dataclass(frozen=True)
class Run:
    """One contender in one round."""

    contender: str
    round: int
    rows: int
    warm: bool
    wall_s: float
    cpu_s: float
    total_s: float
    peak_rss_bytes: int
    batches: list[float] | None = None


@dataclass(frozen=True)
class Summary:
    """All rounds of one contender; ratios are rates over floor 1's of the same round."""

    contender: str
    rounds: int
    wall_s: float
    rows_per_s: float
    ratios: list[float]
    ratio: float | None
    cpu_s: float
    cpu_ratio: float | None
    peak_rss_bytes: int


def run_one(
    contender: str, round_: int, bootstrap: str, workload: Workload, work: Path, *, cold: bool
) -> Run:
    """Run a contender in a process of its own.

    Raises
    ------
    SystemExit
        If it fails, or gives no result in time; with the last lines it wrote.
    """
    script, *arguments = CONTENDERS[contender]
    command = [
        *(sys.executable, str(_HERE / script), *arguments),
        *("--bootstrap", bootstrap, "--lake", str(work / "lakes" / contender)),
        *("--rows", str(workload.rows), "--instruments", str(workload.instruments)),
        *("--seed", str(workload.seed), "--step-us", str(workload.step_us)),
        *(["--cold"] if cold else []),
    ]
    log = work / "logs" / f"{contender}-{round_}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with log.open("wb") as output:
        peak_bytes = _watch(command, output)
    text = log.read_text(errors="replace")
    answers = [line for line in text.splitlines() if line.startswith(RESULT_SIGN)]
    if not answers:
        tail = "\n".join(text.splitlines()[-8:])
        raise SystemExit(f"{contender} gave no result; the end of {log}:\n{tail}")
    answer = json.loads(answers[-1].removeprefix(RESULT_SIGN))
    return Run(
        round=round_,
        total_s=time.monotonic() - started,
        peak_rss_bytes=peak_bytes,
        **{**answer, "contender": contender},
    )


def _watch(command: Sequence[str], output: IO[bytes]) -> int:
    """Run a command to its end or its limit; give the peak of its memory."""
    process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    root = psutil.Process(process.pid)
    deadline, peak_bytes = time.monotonic() + _LIMIT_S, 0
    try:
        while process.poll() is None and time.monotonic() < deadline:
            peak_bytes = max(peak_bytes, tree_rss_bytes(root))
            threading.Event().wait(_SAMPLE_S)
    finally:
        if process.poll() is None:
            for child in (*root.children(recursive=True), root):
                child.kill()
            process.wait()
    return peak_bytes


def summarise(runs: Sequence[Run]) -> list[Summary]:
    """Sum up the rounds of each contender."""
    base = {run.round: run for run in runs if run.contender == BASE}
    summaries = []
    for contender in dict.fromkeys(run.contender for run in runs):
        own = [run for run in runs if run.contender == contender]
        paired = [(run, base[run.round]) for run in own if run.round in base]
        ratios = [b.wall_s / b.rows * run.rows / run.wall_s for run, b in paired]
        cpu_ratios = [run.cpu_s / run.rows / (b.cpu_s / b.rows) for run, b in paired]
        wall_s = median(run.wall_s for run in own)
        summaries.append(
            Summary(
                contender,
                len(own),
                wall_s,
                own[0].rows / wall_s,
                ratios,
                median(ratios) if ratios else None,
                median(run.cpu_s for run in own),
                median(cpu_ratios) if cpu_ratios else None,
                max(run.peak_rss_bytes for run in own),
            )
        )
    return summaries


def markdown(summaries: Sequence[Summary]) -> str:
    """Write the summaries as a table for ``docs/benchmarks.md``."""
    lines = [
        (
            "| contender | wall, s | rows/s | rate ÷ floor 1, a round | median | CPU, s "
            "| CPU ÷ floor 1 | peak memory, GiB |"
        ),
        "|---|---|---|---|---|---|---|---|",
    ]
    for s in summaries:
        ratios = " ".join(f"{ratio:.2f}" for ratio in s.ratios)
        lines.append(
            f"| {s.contender} | {s.wall_s:.1f} | {s.rows_per_s:,.0f} | {ratios} | {_two(s.ratio)} "
            f"| {s.cpu_s:.1f} | {_two(s.cpu_ratio)} | {s.peak_rss_bytes / 2**30:.1f} |"
        )
    return "\n".join(lines)


def _two(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def machine() -> dict[str, Any]:
    """Describe the machine, and how busy it is."""
    return {
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "load_before": os.getloadavg(),
    }


def compete(
    names: Sequence[str], workload: Workload, work: Path, rounds: int, *, cold: bool
) -> list[Run]:
    """Run the contenders round by round, and check what the pipeline wrote."""
    runs: list[Run] = []
    with EmbeddedBroker(work / "kafka") as broker:
        for needed in (WARM_UP, workload):
            ensure(broker.bootstrap, needed)
        print(f"{workload.topic}: {partition_of(broker.bootstrap, workload)}", flush=True)
        for round_ in range(1, rounds + 1):
            for name in names:
                run = run_one(name, round_, broker.bootstrap, workload, work, cold=cold)
                runs.append(run)
                print(
                    f"round {round_} {name}: {run.wall_s:.1f} s, {run.rows / run.wall_s:,.0f} "
                    f"rows/s, CPU {run.cpu_s:.1f} s, load {os.getloadavg()[0]:.1f}",
                    flush=True,
                )
                if name.startswith("pipeline"):
                    wrong = problems(work / "lakes" / name / "lake", workload)
                    if wrong:
                        raise SystemExit("the pipeline's lake is wrong: " + "; ".join(wrong))
    return runs


def main() -> int:
    """Run the competition; print the table and write the JSON."""
    parser = argparse.ArgumentParser(description="The pipeline against its floors and rivals.")
    parser.add_argument("contenders", nargs="*", default=_DEFAULT, metavar="CONTENDER",
                        help=f"of {', '.join(CONTENDERS)} (floors and pipeline)")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (3)")
    parser.add_argument("--cold", action="store_true", help="without the warm-up")
    parser.add_argument("--work", type=Path, default=default_work_dir(), help="scratch folder")
    parser.add_argument("--json", type=Path, help="result (artifacts/benchmarks/TIME.json)")
    add_workload_arguments(parser)
    options = parser.parse_args()
    unknown = [name for name in options.contenders if name not in CONTENDERS]
    if unknown:
        parser.error(f"no contender {unknown[0]}: choose of {', '.join(CONTENDERS)}")
    before, workload = machine(), workload_of(options)
    runs = compete(options.contenders, workload, options.work, options.rounds, cold=options.cold)
    summaries = summarise(runs)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    path = options.json or _HERE.parent / "artifacts" / "benchmarks" / f"{stamp}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps(
            {
                "machine": before,
                "workload": asdict(workload),
                "cold": options.cold,
                "runs": [asdict(run) for run in runs],
                "summaries": [asdict(s) for s in summaries],
            },
            indent=1,
        )
    )
    print(f"\n{markdown(summaries)}\n\nwritten to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
