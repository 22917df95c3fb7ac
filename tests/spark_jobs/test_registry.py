"""Commands are imported when they run, and only what they need."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

from marketlake.contracts.tables import STREAM_TABLES
from marketlake.lake.delta import DeltaTables
from marketlake.lake.storage import Storage
from spark_jobs.registry import BATCH_JOBS, COMMANDS, Job

HEAVY = {"pyspark", "py4j", "numba", "torch", "confluent_kafka", "boto3", "botocore"}

# Runs a command line, and tells on standard error which modules it came to import.
SPY = """
import json, sys
from spark_jobs.cli import main
sys.argv = ["marketlake", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    code = end.code
print(json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("registry") / "lake"
    DeltaTables(Storage(str(folder)), STREAM_TABLES).create_all()
    return folder


def run(*arguments: object) -> tuple[str, set[str]]:
    """Give what a command prints, and the packages it imported."""
    done = subprocess.run(
        [sys.executable, "-c", SPY, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    code, modules = json.loads(done.stderr)
    assert code == 0
    return done.stdout, set(modules)


@pytest.mark.parametrize("name", [*COMMANDS, *BATCH_JOBS])
def test_a_job_is_there_and_does_what_its_line_says(name: str):
    job: Job = (COMMANDS | BATCH_JOBS)[name]
    text = inspect.getdoc(job.load())
    assert text is not None
    assert text.splitlines()[0] == job.doc


def test_help_names_every_command_and_imports_none():
    out, modules = run("--help")
    assert [name for name in (*COMMANDS, "batch") if f"  {name} " not in out] == []
    assert modules & (HEAVY | {"duckdb", "pyarrow", "pandas"}) == set()


def test_tables_loads_neither_spark_nor_the_folds(lake: Path):
    out, modules = run("tables", "--lake", lake, "--json")
    assert {row["table"] for row in json.loads(out)} == {
        f"{table.layer}.{table.name}" for table in STREAM_TABLES
    }
    assert modules & HEAVY == set()


@pytest.mark.parametrize(
    ("layout", "printed"),
    [("json", '[{"n": 0}]\n'), ("csv", '"n"\n0\n')],
)
def test_sql_loads_neither_spark_nor_the_folds(lake: Path, layout: str, printed: str):
    query = "SELECT count(*) AS n FROM gold.bars"
    out, modules = run("sql", "--lake", lake, "--format", layout, query)
    assert out == printed
    assert modules & HEAVY == set()


def test_what_spark_raises_is_known_to_a_command_that_uses_it():
    code = """
import spark_jobs.errors as errors
assert errors._foreign_errors() == (OSError,)
import pyspark.errors
assert issubclass(pyspark.errors.AnalysisException, errors._foreign_errors())
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
