"""Terraform as a process, on a root without a provider: the built-in one is enough."""

from __future__ import annotations

from pathlib import Path

import pytest

from marketlake.emr.errors import EmrError
from marketlake.emr.provider_mirror import provider_mirror
from marketlake.emr.terraform import Change, Terraform, formatted
from marketlake.emr.terraform_process import terraform_program

pytestmark = pytest.mark.skipif(terraform_program() is None, reason="terraform is not installed")

_ROOT = """
variable "word" {
  type    = string
  default = "one"
}

resource "terraform_data" "kept" {
  input = var.word
}

output "said" {
  value = terraform_data.kept.output
}
"""


@pytest.fixture
def root(tmp_path: Path) -> Terraform:
    (tmp_path / "main.tf").write_text(_ROOT)
    terraform = Terraform(tmp_path)
    terraform.init()
    return terraform


def test_a_saved_plan_is_applied_and_the_next_is_empty(root: Terraform):
    said: list[str] = []
    root.on_progress = said.append
    root.validate()
    assert root.outputs() == {}
    assert root.plan() == {"add": 1, "change": 0, "remove": 0}
    assert [(c.address, c.action) for c in root.changes()] == [("terraform_data.kept", "create")]
    root.apply()
    assert root.outputs() == {"said": "one"}
    assert root.resources() == ["terraform_data.kept"]
    assert len(said) == 1
    assert "terraform_data.kept: Creation complete" in said[0]
    assert root.plan() == {"add": 0, "change": 0, "remove": 0}
    assert root.changes() == []


def test_a_plan_is_applied_once(root: Terraform):
    root.plan()
    root.apply()
    with pytest.raises(EmrError, match="terraform apply"):
        root.apply()


def test_destroy_and_forget(root: Terraform):
    root.plan()
    root.apply()
    assert root.plan(destroy=True) == {"add": 0, "change": 0, "remove": 1}
    assert [c.removes for c in root.changes()] == [True]
    root.forget("terraform_data.kept")
    assert root.resources() == []


def test_what_exists_is_imported_by_the_plan_and_by_no_later_one(root: Terraform):
    assert root.plan(imports={"terraform_data.kept": "of-before"})["add"] == 0
    assert root.changes() == [Change("terraform_data.kept", "terraform_data", "update")]
    root.apply()
    assert root.resources() == ["terraform_data.kept"]
    assert root.state()["resources"][0]["instances"][0]["attributes"]["id"] == "of-before"
    assert root.plan() == {"add": 0, "change": 0, "remove": 0}


def test_what_a_plan_imports_comes_into_the_state_without_the_rest_of_it(root: Terraform):
    (root.folder / "more.tf").write_text('resource "terraform_data" "more" {}\n')
    root.plan(imports={"terraform_data.more": 'of "${before}"'})
    root.take_planned_state()
    assert root.resources() == ["terraform_data.more"]
    assert root.state()["resources"][0]["instances"][0]["attributes"]["id"] == 'of "${before}"'
    assert root.plan(destroy=True) == {"add": 0, "change": 0, "remove": 1}
    (root.folder / "plan.bin").write_bytes(b"of another kind")
    with pytest.raises(EmrError, match=r"plan\.bin has no state"):
        root.take_planned_state()


def test_errors_are_one_line_with_the_place(tmp_path: Path):
    (tmp_path / "main.tf").write_text('resource "terraform_data" "x" {\n  inputt = 1\n}\n')
    terraform = Terraform(tmp_path)
    terraform.init()
    with pytest.raises(EmrError, match=r'(?s)^terraform validate in .*"inputt"') as failed:
        terraform.validate()
    assert "\n" not in str(failed.value)


def test_a_provider_that_nobody_has_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    required = (
        '{\n  required_providers {\n    aws = {\n      source = "hashicorp/aws"\n    }\n  }\n}'
    )
    (tmp_path / "main.tf").write_text(f"terraform {required}\n")
    # A proxy where nothing listens keeps the registry from answering, whatever the machine.
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("MARKETLAKE_TERRAFORM_MIRROR", str(tmp_path / "empty"))
    with pytest.raises(EmrError, match="MARKETLAKE_TERRAFORM_MIRROR"):
        Terraform(tmp_path).init()


def test_where_the_registry_does_not_answer_the_mirror_is_used_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    mirror = provider_mirror()
    if mirror is None:
        pytest.skip("no mirror of the provider on this disk")
    required = (
        '{\n  required_providers {\n    aws = {\n      source = "hashicorp/aws"\n    }\n  }\n}'
    )
    (tmp_path / "main.tf").write_text(f"terraform {required}\n")
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    terraform = Terraform(tmp_path)
    terraform.init()
    assert str(mirror) in terraform.note


def test_files_that_are_not_formatted_are_named(tmp_path: Path):
    (tmp_path / "good.tf").write_text("locals {\n  a = 1\n}\n")
    (tmp_path / "bad.tf").write_text("locals {\n a=1\n}\n")
    assert formatted(tmp_path) == ["bad.tf"]
