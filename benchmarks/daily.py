"""The daily job from files, measured from outside, and what a user would take instead.

``python benchmarks/daily.py --rounds 3``. Three jobs: a gigabyte of raw trades, indicators on
100,000 bars, anomalies on 50,000 bars. Each run is a process of its own, so the start of Python and
of Spark is in every figure; the contenders of a round run one after the other. The lake is checked
after each run of the pipeline.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Final

from daily_data import DAY, BarFile, bars_file, trades_file
from outside import Outside, measure
from run import machine
from workload import default_work_dir

from marketlake.lake.query import open_lake

_HERE: Final = Path(__file__).resolve().parent
_SEED: Final = 1
_LIMIT_S: Final = 3_600.0
_JUMP_US: Final = 60_000_000
"""Length of a bar: a jump is found if a run of anomalies begins with its bar."""

Check = Callable[[str], list[str]]


@dataclass(frozen=True)
class Job:
    """One job.

    Attributes
    ----------
    ceiling_s : float
        What the requirements allow on a cluster.
    check : callable
        Tells what is wrong with a lake.
    """

    name: str
    source: Path
    rival: str
    ceiling_s: float
    check: Check


@dataclass(frozen=True)
class Run:
    """One contender at one job in one round."""

    job: str
    contender: str
    round: int
    wall_s: float
    cpu_s: float
    peak_rss_bytes: int


def jobs(folder: Path, trade_bytes: int) -> list[Job]:
    """Make the files and name the jobs."""
    trades = trades_file(folder, trade_bytes, _SEED)
    many, few = bars_file(folder, 100_000, _SEED), bars_file(folder, 50_000, _SEED)
    return [
        Job("raw trades", trades, "copy", 300, _check_trades(trades)),
        Job("indicators on 100,000 bars", many.path, "indicators", 120, _check_indicators(100_000)),
        Job("anomalies on 50,000 bars", few.path, "anomalies", 60, _check_anomalies(few)),
    ]


def _check_trades(source: Path) -> Check:
    with source.open("rb") as file:
        expected = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(2**24), b"")) - 1

    def check(lake: str) -> list[str]:
        ((silver, refused),) = _rows(
            lake,
            "SELECT (SELECT count(*) FROM silver.trades), (SELECT count(*) FROM silver.quarantine)",
        )
        wrong = [] if silver + refused == expected else [f"{silver} + {refused} of {expected} rows"]
        ((volume, traded),) = _rows(
            lake,
            "SELECT (SELECT sum(volume) FROM gold.bars WHERE \"interval\" = '1m'), "
            "(SELECT sum(quantity) FROM silver.trades)",
        )
        if abs(volume - traded) > 1e-9 * traded:
            wrong.append(f"bars hold a volume of {volume}, the trades {traded}")
        return wrong

    return check


def _check_indicators(rows: int) -> Check:
    def check(lake: str) -> list[str]:
        ((found,),) = _rows(lake, "SELECT count(*) FROM gold.indicators")
        return [] if found == rows else [f"{found} rows of indicators, not {rows}"]

    return check


def _check_anomalies(bars: BarFile) -> Check:
    def check(lake: str) -> list[str]:
        runs = _rows(
            lake,
            "SELECT venue, instrument, epoch_us(event_time), epoch_us(end_time) "
            "FROM gold.anomalies WHERE metric = 'return'",
        )
        starts = {(venue, name, low) for venue, name, low, _ in runs}
        missed = [jump for jump in bars.jumps if jump not in starts]
        return [f"{len(missed)} of {len(bars.jumps)} planted jumps missed"] if missed else []

    return check


def _rows(lake: str, query: str) -> list[tuple[object, ...]]:
    with open_lake(lake) as connection:
        return connection.execute(query).fetchall()


def run_job(job: Job, contender: str, work: Path) -> Outside:
    """Run a contender at a job.

    Raises
    ------
    SystemExit
        If it fails, or leaves a lake that is wrong.
    """
    target = work / "daily" / f"{job.rival}-{contender}"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    log = target / "log"
    if contender == "pipeline":
        process = ("batch", "process", "--lake", target / "lake", "--date", DAY)
        command = [sys.executable, "-m", "spark_jobs.cli", *process, "--input", job.source]
    else:
        command = [
            *(sys.executable, _HERE / "daily_rival.py"),
            *(job.rival, job.source, target / "out.parquet"),
        ]
    taken = measure(command, log, _LIMIT_S)
    if contender == "pipeline" and (wrong := job.check(str(target / "lake"))):
        raise SystemExit(f"{job.name}: the lake is wrong: {'; '.join(wrong)}")
    return taken


def markdown(chosen: Sequence[Job], runs: Sequence[Run]) -> str:
    """Write the medians as a table for ``docs/benchmarks.md``."""
    lines = [
        "| job | contender | wall, s | CPU, s | peak memory, GiB | ceiling, s |",
        "|---|---|---|---|---|---|",
    ]
    for job in chosen:
        for contender in ("pipeline", "rival"):
            own = [run for run in runs if (run.job, run.contender) == (job.name, contender)]
            wall_s, cpu_s = median(r.wall_s for r in own), median(r.cpu_s for r in own)
            peak = max(run.peak_rss_bytes for run in own) / 2**30
            name = contender if contender == "pipeline" else f"rival: {job.rival}"
            ceiling = f"{job.ceiling_s:.0f}" if contender == "pipeline" else ""
            lines.append(
                f"| {job.name} | {name} | {wall_s:.1f} | {cpu_s:.1f} | {peak:.1f} | {ceiling} |"
            )
    return "\n".join(lines)


def main() -> int:
    """Run all rounds; print the table and write the JSON."""
    parser = argparse.ArgumentParser(description="The daily job from files, from outside.")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (3)")
    parser.add_argument("--bytes", type=int, default=10**9, help="size of the trades (1 GB)")
    parser.add_argument("--only", help="jobs whose name holds this")
    parser.add_argument("--work", type=Path, default=default_work_dir(), help="scratch folder")
    parser.add_argument("--json", type=Path, help="result (artifacts/benchmarks/daily-TIME.json)")
    options = parser.parse_args()
    chosen = [
        job
        for job in jobs(options.work / "files", options.bytes)
        if not options.only or options.only in job.name
    ]
    before, runs = machine(), []
    for round_ in range(1, options.rounds + 1):
        for job in chosen:
            for contender in ("pipeline", "rival"):
                taken = run_job(job, contender, options.work)
                runs.append(Run(job.name, contender, round_, **asdict(taken)))
                print(
                    f"round {round_} {job.name}, {contender}: {taken.wall_s:.1f} s, "
                    f"CPU {taken.cpu_s:.1f} s, load {os.getloadavg()[0]:.1f}",
                    flush=True,
                )
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    path = options.json or _HERE.parent / "artifacts" / "benchmarks" / f"daily-{stamp}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    result = {"machine": before, "bytes": options.bytes, "runs": [asdict(run) for run in runs]}
    path.write_text(json.dumps(result, indent=1))
    print(f"\n{markdown(chosen, runs)}\n\nwritten to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
