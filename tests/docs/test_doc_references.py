"""What the pages name is there: paths, links, commands and options, reasons, classes."""

import ast
import re
import shlex
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import typer.main
from prometheus_client import CollectorRegistry

from marketlake.contracts.control import ORDER
from marketlake.contracts.reasons import Reason
from marketlake.contracts.tables import STREAM_TABLES
from marketlake.observability.metrics import BatchMetrics
from spark_jobs.cli import app
from spark_jobs.registry import COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
WRITTEN = [page for page in PAGES if "Made by docs/generate.py" not in page.read_text("utf-8")]
_PLACES = "marketlake|streaming|spark_jobs|scripts|docs|tests|benchmarks"
_PATH = re.compile(rf"`((?:{_PLACES})/[^`\s]*)")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
JOBS = {"batch", *COMMANDS}
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _anchors(page: Path) -> set[str]:
    text = _FENCE.sub("", page.read_text("utf-8"))
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_paths_exist(page: Path) -> None:
    # A control event's source looks like a path.
    named = set(_PATH.findall(page.read_text("utf-8"))) - ORDER.keys()
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in _LINK.findall(page.read_text("utf-8")):
        path, _, anchor = link.partition("#")
        if path.startswith("https://"):
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert broken == []


def _commands() -> dict[str, Any]:
    found = {}
    for name, command in typer.main.get_command(app).commands.items():
        inner = getattr(command, "commands", {"": command})
        found |= {f"{name} {sub}".strip(): c.load() for sub, c in inner.items()}
    return found


_SCRIPTS = {
    "scripts/deploy-emr.sh": "marketlake emr",
    "scripts/submit-step.sh": "marketlake emr submit",
    "scripts/weekly-check.sh": "marketlake emr weekly-check",
}
"""Scripts that pass what follows on to a command."""


def _typed(page: Path) -> Iterator[list[str]]:
    """Give the words of each line that is a command of ours, in blocks and in tables.

    What stands behind ``emr submit`` and its options is a command again.
    """
    text = page.read_text("utf-8")
    blocks = (body for kind, body in _FENCE.findall(text) if kind == "sh")
    lines = chain.from_iterable(block.splitlines() for block in blocks)
    spans = (span.replace("[", " ").replace("]", " ") for span in re.findall(r"`([^`\n]+)`", text))
    for line in chain(lines, spans):
        program, _, rest = line.partition(" ")
        given = f"{_SCRIPTS.get(program, program)} {rest}"
        if not rest or not given.startswith("marketlake "):
            continue
        words = shlex.split(given, comments=True)[1:]
        job = next((i for i in range(2, len(words)) if words[i] in JOBS), None)
        if words[:2] != ["emr", "submit"] or job is None:
            yield words
        else:
            yield words[:job]
            yield words[job:]


@pytest.mark.parametrize("page", WRITTEN, ids=_id)
def test_commands_and_their_options_exist(page: Path) -> None:
    commands, wrong = _commands(), []
    for words in _typed(page):
        name = next((n for n in (" ".join(words[:2]), words[0]) if n in commands), None)
        if name is None:
            wrong.append(" ".join(words))
            continue
        known = {o for parameter in commands[name].params for o in parameter.opts} | {"--help"}
        known |= {o for parameter in commands[name].params for o in parameter.secondary_opts}
        used = {word for word in words if word.startswith("--")}
        wrong += [f"{name} {option}" for option in sorted(used - known)]
    assert wrong == []


def test_the_readme_has_every_command() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert [name for name in _commands() if f"| `marketlake {name} " not in text] == []


def test_operations_explain_every_reason() -> None:
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    assert [r.name for r in Reason if r.name and f"`{r.name.lower()}`" not in text] == []


def _spoken() -> str:
    """All texts of the code, an ellipsis where a value goes."""
    found = []
    for place in ("marketlake", "streaming", "spark_jobs"):
        for path in (ROOT / place).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    parts = [v.value if isinstance(v, ast.Constant) else "…" for v in node.values]
                    found.append("".join(map(str, parts)))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return "\n".join(found)


def test_error_lines_in_operations_are_those_of_the_code() -> None:
    text, spoken, strange = (ROOT / "docs" / "operations.md").read_text("utf-8"), _spoken(), []
    for title in ("## What an error line means", "#### When a release fails"):
        table = text.partition(f"\n{title}\n")[2].partition("\n#")[0]
        lines = re.findall(r"^\| (`.+?`) \|", table, re.MULTILINE)
        assert lines
        for line in re.findall(r"`([^`]+)`", " ".join(lines)):
            fixed = [part.strip(" :,'") for part in re.split(r"…|'|\bN\b|\d+", line)]
            strange += [line for part in fixed if len(part) > 3 and part not in spoken]
    assert strange == []


def test_operations_list_every_metric() -> None:
    registry = CollectorRegistry()
    BatchMetrics(registry)
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    names = [
        family.name + ("_total" if family.type == "counter" else "")
        for family in registry.collect()
    ]
    assert [name for name in names if f"| `{name}` |" not in text] == []


def test_names_in_the_architecture_are_in_the_code() -> None:
    sources = "\n".join(
        path.read_text("utf-8")
        for place in ("marketlake", "streaming", "spark_jobs", "tests")
        for path in (ROOT / place).rglob("*.py")
    )
    defined = set(re.findall(r"^\s*(?:class|def|async def) (\w+)", sources, re.MULTILINE))
    defined |= set(re.findall(r"^(\w+)(?:: [^=\n]+)? = ", sources, re.MULTILINE))
    defined |= set(re.findall(r"self\.(\w+)(?:: [^=\n]+)? = ", sources))
    defined |= {column.name for table in STREAM_TABLES for column in table.columns}
    text = _FENCE.sub("", (ROOT / "docs" / "architecture.md").read_text("utf-8"))
    named = re.findall(r"`((?:[A-Z]\w+|[a-z]+_\w+)(?:\.\w+)?)`", text)
    words = {word for name in named for word in name.split(".")}
    assert sorted(words - defined) == []
