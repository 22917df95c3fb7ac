"""The snippets of the pages run: SQL and Python, on a lake with every table."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from marketlake.contracts.tables import STATE_FOLDS, STREAM_TABLES, SUMMARY_TABLES
from marketlake.lake.delta import DeltaTables
from marketlake.lake.query import open_lake
from marketlake.lake.storage import Storage
from marketlake.settings.model import IndicatorSettings
from streaming.stages.indicators import table_of

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def _snippets(kind: str) -> list:
    fence, found = re.compile(rf"^```{kind}\n(.*?)^```$", re.MULTILINE | re.DOTALL), []
    for page in PAGES:
        for number, body in enumerate(fence.findall(page.read_text("utf-8"))):
            marks = [pytest.mark.slow] if "spark_session" in body else []
            found.append(pytest.param(body, id=f"{page.name}-{number}", marks=marks))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an empty lake in it."""
    folder = tmp_path_factory.mktemp("docs")
    tables = (*STREAM_TABLES, table_of(IndicatorSettings()), *SUMMARY_TABLES, STATE_FOLDS)
    DeltaTables(Storage(str(folder / "lake")), tables).create_all()
    return folder


@pytest.mark.parametrize("sql", _snippets("sql"))
def test_sql(folder: Path, sql: str) -> None:
    open_lake(str(folder / "lake")).execute(sql).fetchall()


@pytest.mark.parametrize("code", _snippets("python"))
def test_python(folder: Path, code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
