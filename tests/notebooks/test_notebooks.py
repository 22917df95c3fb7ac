"""The notebooks run and say what is known of a lake; Zeppelin's by its paragraphs, without it."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from pyspark.sql import DataFrame, SparkSession

from tests.marketlake.report import sample_lake

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
JUPYTER = sorted(NOTEBOOKS.glob("*.ipynb"))
ZEPPELIN = sorted(NOTEBOOKS.glob("*.zpln"))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("notebooks") / "lake"
    sample_lake.build(folder)
    return folder


def paragraphs(note: Path) -> list[tuple[str, str]]:
    """Give interpreter and text of each paragraph."""
    parsed = json.loads(note.read_text())["paragraphs"]
    split = [p["text"].partition("\n") for p in parsed]
    return [(head.strip(), text) for head, _, text in split]


def run(note: Path, spark: SparkSession) -> list[DataFrame]:
    """Do with the paragraphs what Livy's session would; give what SQL answers."""
    names: dict[str, object] = {"spark": spark}
    answers = []
    for interpreter, text in paragraphs(note):
        if interpreter == "%livy.pyspark":
            exec(compile(text, str(note), "exec"), names)
        elif interpreter == "%livy.sql":
            answers.append(spark.sql(text))
        else:
            assert interpreter == "%md", f"no interpreter {interpreter} is installed"
    return answers


@pytest.mark.parametrize("notebook", JUPYTER, ids=lambda path: path.name)
def test_notebook_is_valid_and_holds_no_output(notebook: Path):
    read = nbformat.read(notebook, as_version=4)
    nbformat.validate(read)
    for cell in read.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_jupyter_overview_says_what_is_known(lake: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LAKE", str(lake))
    notebook = nbformat.read(NOTEBOOKS / "lake_overview.ipynb", as_version=4)
    told = "assert worst.set_index('instrument').low['USDC-USD'] == LOW, worst".replace(
        "LOW", str(sample_lake.DEPEG_LOW)
    )
    told += f"\nassert set(refused.reason) == set({sample_lake.REASONS!r}), refused"
    notebook.cells.append(nbformat.v4.new_code_cell(told))
    done = NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    shown = "".join(
        output["data"]["text/plain"]
        for cell in done.cells
        for output in cell.get("outputs", [])
        if "data" in output
    )
    assert "USDC-USD" in shown


@pytest.mark.spark
@pytest.mark.parametrize("note", ZEPPELIN, ids=lambda path: path.name)
def test_zeppelin_note_says_the_same(note: Path, lake: Path, spark: SparkSession):
    session = spark.newSession()
    session.conf.set("spark.marketlake.lake", str(lake))
    worst, refused = run(note, session)
    lows = {row["instrument"]: row["low"] for row in worst.collect()}
    assert lows["USDC-USD"] == sample_lake.DEPEG_LOW
    assert {row["reason"] for row in refused.collect()} == set(sample_lake.REASONS)


@pytest.mark.parametrize("note", ZEPPELIN, ids=lambda path: path.name)
def test_zeppelin_finds_a_note_by_its_name(note: Path):
    """Zeppelin reads name and id from the file's name: NAME_ID.zpln."""
    assert note.stem.endswith(f"_{json.loads(note.read_text())['id']}")
