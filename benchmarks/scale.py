"""How the pipeline's rate holds as rows and instruments grow, cases interleaved.

Rows once, twice and four times; then 100 against 10,000 instruments, each name at four venues, at
four times the rows. Each instrument trades every ten seconds: with 100 that is ten trades a second
in all, with 10,000 a thousand. So nearly every trade is a bar of its own in both, and as many rows
are written for each one read. 100 instruments with a thousand trades a second in all are there too:
of ten trades they make one bar, so there is far less to write.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import median

from generate import ensure
from run import run_one
from workload import STEP_US, VENUES, WARM_UP, Workload, default_work_dir

from marketlake.local.broker import EmbeddedBroker


def cases(rows: int) -> dict[str, Workload]:
    """Give the workloads by name."""
    return {
        **{f"{k}x rows": Workload(k * rows) for k in (1, 2, 4)},
        "10,000 instruments": Workload(4 * rows, 10_000 // len(VENUES)),
        "100 as quiet": Workload(4 * rows, 100 // len(VENUES), step_us=100 * STEP_US),
        "100 a hundred times as busy": Workload(4 * rows, 100 // len(VENUES)),
    }


def main() -> int:
    """Run every case; print the rates."""
    parser = argparse.ArgumentParser(description="The pipeline's rate by size of the work.")
    parser.add_argument("--rows", type=int, default=500_000, help="rows of the least case (500000)")
    parser.add_argument("--rounds", type=int, default=2, help="interleaved rounds (2)")
    parser.add_argument("--contender", default="pipeline", help="pipeline, floor1 or floor2")
    parser.add_argument("--work", type=Path, default=default_work_dir(), help="scratch folder")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    chosen = cases(options.rows)
    rates: dict[str, list[float]] = {name: [] for name in chosen}
    cpu_us: dict[str, list[float]] = {name: [] for name in chosen}
    with EmbeddedBroker(options.work / "kafka") as broker:
        for workload in (WARM_UP, *chosen.values()):
            ensure(broker.bootstrap, workload)
        for round_ in range(1, options.rounds + 1):
            for name, workload in chosen.items():
                run = run_one(
                    options.contender,
                    round_,
                    broker.bootstrap,
                    workload,
                    options.work,
                    cold=False,
                )
                rates[name].append(run.rows / run.wall_s)
                cpu_us[name].append(1e6 * run.cpu_s / run.rows)
                print(f"round {round_} {name}: {rates[name][-1]:,.0f} rows/s", file=sys.stderr)
    if options.json:
        print(json.dumps({"rows_per_s": rates, "cpu_us_per_row": cpu_us}))
        return 0
    print("| case | rows/s, a round | median | CPU µs a row |\n|---|---|---|---|")
    for name, found in rates.items():
        each = " ".join(f"{rate:,.0f}" for rate in found)
        print(f"| {name} | {each} | {median(found):,.0f} | {median(cpu_us[name]):.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
