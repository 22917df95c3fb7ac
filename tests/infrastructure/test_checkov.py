"""checkov finds nothing, and what it is told to pass over is little and has a reason.

checkov pins libraries that ours do not get along with, so it lives in an environment of its own:
``python -m venv FOLDER && FOLDER/bin/pip install --require-hashes -r requirements-tools.txt``, and
FOLDER/bin on the PATH, or FOLDER as `.venv-tools` in the checkout.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.infrastructure.deployments import CODE

MOST_SUPPRESSIONS = 10
BESIDE = Path(__file__).parents[2] / ".venv-tools" / "bin" / "checkov"


@pytest.mark.slow
def test_nothing_fails() -> None:
    checkov = shutil.which("checkov") or (str(BESIDE) if BESIDE.exists() else None)
    if checkov is None:
        pytest.skip(
            "no checkov: pip install -r requirements-tools.txt into an environment of its own"
        )
    done = subprocess.run(
        [checkov, "--config-file", ".checkov.yaml", "-d", ".", "-o", "json"],
        cwd=CODE,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    report = json.loads(done.stdout)
    failed = report["results"]["failed_checks"]
    assert [(found["check_id"], found["resource"]) for found in failed] == []
    assert report["summary"]["passed"] > 300, "it looked at everything"
    assert report["summary"]["parsing_errors"] == 0


def test_suppressions_are_few_and_have_a_reason() -> None:
    found = [
        (path.name, match[1], match[2])
        for path in (CODE / "modules").rglob("*.tf")
        for match in re.finditer(r"checkov:skip=(\w+):?(.*)", path.read_text())
    ]
    assert 0 < len(found) <= MOST_SUPPRESSIONS
    assert all(len(reason.split()) >= 5 for _, _, reason in found), found
    assert "skip-check" not in (CODE / ".checkov.yaml").read_text(), "none for all of the code"
