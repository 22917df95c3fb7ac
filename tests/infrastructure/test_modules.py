"""The modules, by `terraform test`: what they plan, whatever AWS or an emulator makes of it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from marketlake.emr.terraform import formatted
from tests.infrastructure.deployments import CODE

MODULES = {path.name for path in (CODE / "modules").iterdir()}


def test_every_module_has_tests_and_passes_them(terraform_code: Path) -> None:
    assert {path.name.partition(".")[0] for path in (CODE / "tests").glob("*.hcl")} == MODULES
    done = subprocess.run(
        ["terraform", "test", "-no-color"],
        cwd=terraform_code,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Success! (\d+) passed, 0 failed", done.stdout)


def test_the_code_is_formatted(terraform_code: Path) -> None:
    assert formatted(CODE) == []


def test_environments_differ_in_their_values_alone() -> None:
    for root in sorted((CODE / "roots").iterdir()):
        shared = {path.name: path.resolve() for path in root.glob("*.tf")}
        for stage in ("dev", "staging", "prod"):
            folder = CODE / "envs" / stage / root.name
            assert {path.name: path.resolve() for path in folder.glob("*.tf")} == shared
            assert (folder / "terraform.tfvars").is_file()


def test_no_secret_no_account_and_no_place_of_state_stands_in_the_code() -> None:
    for path in [*CODE.rglob("*.tf"), *CODE.rglob("*.tfvars")]:
        text = path.read_text()
        assert not re.search(r"AKIA|aws_secret|password\s*=|\b\d{12}\b", text), path
        assert "backend " not in text, f"{path}: a plain init keeps its state beside the code"
