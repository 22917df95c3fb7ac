"""Apache Flink on the same topic: a job in Java, the same trades, less work done with them.

The job decodes, keeps one-second bars a venue and instrument with five indicators, looks for
anomalies a trade, and writes a spread row a second and instrument: see ``flink/``. It does not
keep raw messages, refuse duplicates, wait for late rows, roll bars up, or convert currencies,
and it writes Parquet files without a table's log. Needs Maven and a JDK.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from measurement import RESULT_SIGN
from workload import WARM_UP, add_workload_arguments, default_work_dir, workload_of

_SOURCE: Final = Path(__file__).resolve().parent / "flink"
_OPENED: Final = ("java.util", "java.lang", "java.time")
_HEAP: Final = "-Xmx3g"


def build(folder: Path) -> str:
    """Compile the job and fetch its jars, once; give the class path.

    Raises
    ------
    SystemExit
        If there is no Maven, or it fails.
    """
    classes, libs = folder / "classes", folder / "libs"
    sources = list(_SOURCE.rglob("*.java"))
    newest = max(path.stat().st_mtime for path in (*sources, _SOURCE / "pom.xml"))
    built = folder / "built"
    if not built.exists() or built.stat().st_mtime < newest:
        if shutil.which("mvn") is None:
            raise SystemExit("the Flink contender needs Maven (mvn) and a JDK on the path")
        done = subprocess.run(
            [
                *("mvn", "-q", "-B", "-f", str(_SOURCE / "pom.xml"), f"-Dbuild.folder={folder}"),
                *("compile", "dependency:copy-dependencies", f"-DoutputDirectory={libs}"),
            ],
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"Maven could not build {_SOURCE}: see above")
        built.touch()
    return f"{classes}:{libs}/*"


def main() -> int:
    """Run the job twice in one JVM, the warm-up first; its second result counts."""
    parser = argparse.ArgumentParser(description="The market job on Apache Flink.")
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--lake", type=Path, required=True, help="scratch folder")
    parser.add_argument("--cold", action="store_true", help="no warm-up")
    parser.add_argument("--build", type=Path, default=default_work_dir() / "flink")
    add_workload_arguments(parser)
    options = parser.parse_args()
    workloads = [workload_of(options)] if options.cold else [WARM_UP, workload_of(options)]
    shutil.rmtree(options.lake, ignore_errors=True)
    command = [
        *("java", _HEAP, *(f"--add-opens=java.base/{p}=ALL-UNNAMED" for p in _OPENED)),
        *("-cp", build(options.build), "marketlake.MarketJob"),
        *(options.bootstrap, str(options.lake), RESULT_SIGN.strip()),
        *(f"{workload.topic}={workload.rows}" for workload in workloads),
    ]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
