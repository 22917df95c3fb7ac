"""One root of Terraform: its steps, and their errors as one line."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from zipfile import BadZipFile, ZipFile

from marketlake.emr.errors import EmrError
from marketlake.emr.provider_mirror import provider_mirror
from marketlake.emr.terraform_log import answer_of, error_of, events_of, problem_of, words_of
from marketlake.emr.terraform_process import required_program, run

_PLAN: Final = "plan.bin"
_STATE_OF_PLAN: Final = "tfstate"
_IMPORTS: Final = "imports.tf"
_PLAN_LOG: Final = "logs/plan.log"
_NO_REGISTRY: Final = re.compile(
    r"could not connect to|failed to query available provider packages|"
    r"failed to install provider|no available releases",
    re.IGNORECASE,
)
_REMOVING: Final = frozenset({"delete", "replace"})
_CHANGING: Final = frozenset({"create", "update", *_REMOVING})


@dataclass(frozen=True)
class Change:
    """What a plan would do to one resource.

    Attributes
    ----------
    action : str
        ``create``, ``update``, ``delete`` or ``replace``.
    """

    address: str
    type: str
    action: str

    @property
    def removes(self) -> bool:
        """True where what is there now goes, to be made anew or not."""
        return self.action in _REMOVING


@dataclass(frozen=True)
class Planned:
    """A resource as a plan would have it.

    Attributes
    ----------
    values : dict
        Without those that only AWS knows.
    replaced_for : tuple of str
        Attributes whose change asks for a new one; empty where it is not replaced.
    """

    values: Mapping[str, Any]
    replaced_for: tuple[str, ...] = ()


@dataclass
class Terraform:
    """One root of Terraform in its folder.

    Attributes
    ----------
    variables : mapping of str to str
        Environment of the process beside our own.
    on_progress : callable
        Called with a line for each resource that is done.
    note : str
        How the provider was found, where it was not the registry's.
    """

    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    on_progress: Callable[[str], None] = lambda _line: None
    lock_wait_s: int = 1_200
    note: str = ""

    def init(self) -> None:
        """Fetch the provider from the registry; from a mirror on the disk where none answers.

        Raises
        ------
        EmrError
            If neither has it, or the configuration is wrong.
        """
        code, log = self._run("init", "-input=false", "-no-color")
        if code == 0:
            return
        text = words_of(log)
        if not _NO_REGISTRY.search(text):
            raise EmrError(f"terraform init in {self.folder}: {error_of(text)}")
        mirror = provider_mirror()
        if mirror is None:
            raise EmrError(
                f"terraform init in {self.folder}: the registry does not answer and no mirror of "
                "the provider is on this disk; give one by MARKETLAKE_TERRAFORM_MIRROR "
                "(terraform providers mirror FOLDER makes it where there is a network)"
            )
        self.note = f"the registry does not answer: the provider is taken from {mirror}"
        code, log = self._run("init", "-input=false", "-no-color", f"-plugin-dir={mirror}")
        if code:
            raise EmrError(
                f"terraform init in {self.folder} from the mirror {mirror}: "
                f"{error_of(words_of(log))}"
            )

    def validate(self) -> None:
        """Check the configuration.

        Raises
        ------
        EmrError
            With the first thing that is wrong.
        """
        code, log = self._run("validate", "-json")
        if code:
            raise EmrError(f"terraform validate in {self.folder}: {problem_of(log)}")

    def plan(
        self,
        *,
        destroy: bool = False,
        refresh: bool = True,
        imports: Mapping[str, str] = MappingProxyType({}),
    ) -> dict[str, int]:
        """Make a plan, and keep it for :meth:`apply`.

        Parameters
        ----------
        refresh : bool
            Ask AWS what there is; not where it was asked just now.
        imports : mapping of str to str
            Ids of what exists and is to come into the state, by address.

        Returns
        -------
        dict
            How many resources it would ``add``, ``change`` and ``remove``.
        """
        extra = [*(["-destroy"] if destroy else []), *([] if refresh else ["-refresh=false"])]
        out = f"-out={_PLAN}"
        blocks = self.folder / _IMPORTS
        blocks.write_text("".join(map(_import_block, imports, imports.values())))
        try:
            code, log = self._run("plan", "-input=false", "-json", out, self._lock, *extra)
        finally:
            # The plan has them; the next one may be without.
            blocks.unlink()
        if code:
            raise EmrError(f"terraform plan in {self.folder}: {problem_of(log)}")
        counts = {"add": 0, "change": 0, "remove": 0}
        for event in events_of(log):
            if event.get("type") == "change_summary":
                counts = {name: int(event["changes"].get(name, 0)) for name in counts}
        return counts

    def changes(self) -> list[Change]:
        """Tell what the plan made last would do, resource by resource."""
        planned = [
            event["change"]
            for event in events_of(self.folder / _PLAN_LOG)
            if event.get("type") == "planned_change"
        ]
        return [
            Change(item["resource"]["addr"], item["resource"]["resource_type"], item["action"])
            for item in planned
            if item["action"] in _CHANGING
        ]

    def planned(self) -> dict[str, Planned]:
        """Give the resources as the plan made last would have them, by address."""
        answer = self._answer("show", "-json", _PLAN)
        return {
            item["address"]: Planned(
                item["change"].get("after") or {},
                tuple(sorted({str(path[0]) for path in item["change"].get("replace_paths", [])})),
            )
            for item in answer.get("resource_changes", [])
            if item.get("mode") == "managed"
        }

    def apply(self) -> None:
        """Do what the plan made last says, and nothing else.

        Raises
        ------
        EmrError
            With the first thing that went wrong. What was made stays, and is in the state.
        """
        code, log = self._run("apply", "-input=false", "-json", self._lock, _PLAN)
        (self.folder / _PLAN).unlink(missing_ok=True)
        if code:
            raise EmrError(
                f"terraform apply in {self.folder}: {problem_of(log)}; run the same command "
                "again when that is mended: it goes on from what is there"
            )

    def outputs(self) -> dict[str, Any]:
        """Give the outputs by name; none before the first apply."""
        return {name: item["value"] for name, item in self._answer("output", "-json").items()}

    def resources(self) -> list[str]:
        """Addresses of all that is in the state."""
        code, log = self._run("state", "list")
        # No state yet is an error to terraform.
        return [] if code else log.read_text().split()

    def state(self) -> dict[str, Any]:
        """Give the state as Terraform keeps it; empty where there is none yet."""
        code, log = self._run("state", "pull")
        if code:
            raise EmrError(f"terraform state pull in {self.folder}: {error_of(words_of(log))}")
        answer = answer_of(log)
        return answer if isinstance(answer, dict) else {}

    def take_planned_state(self) -> None:
        """Make the state what the plan made last begins with: as AWS tells it, and its imports.

        Raises
        ------
        EmrError
            If the file of the plan, whose form is Terraform's own, has no state in it.
        """
        try:
            with ZipFile(self.folder / _PLAN) as parts:
                state = json.loads(parts.read(_STATE_OF_PLAN))
        except (OSError, BadZipFile, KeyError, ValueError) as error:
            raise EmrError(
                f"{self.folder / _PLAN} has no state that could be read ({error}): Terraform 1.11 "
                "writes one"
            ) from error
        self.replace_state({**state, "serial": state["serial"] + 1})

    def replace_state(self, state: Mapping[str, Any]) -> None:
        """Put an amended state, of a higher serial, in the place of the one there is."""
        amended = self.folder / "amended.json"
        amended.write_text(json.dumps(state))
        try:
            code, log = self._run("state", "push", self._lock, amended.name)
        finally:
            amended.unlink()
        if code:
            raise EmrError(f"terraform state push in {self.folder}: {error_of(words_of(log))}")

    def forget(self, address: str) -> None:
        """Take something out of the state, and leave it as it is."""
        code, log = self._run("state", "rm", self._lock, address)
        if code:
            raise EmrError(f"terraform state rm {address}: {error_of(words_of(log))}")

    @property
    def _lock(self) -> str:
        return f"-lock-timeout={self.lock_wait_s}s"

    def _answer(self, *arguments: str) -> dict[str, Any]:
        code, log = self._run(*arguments)
        answer = answer_of(log)
        if code or not isinstance(answer, dict):
            raise EmrError(f"terraform {arguments[0]} in {self.folder}: {error_of(words_of(log))}")
        return answer

    def _run(self, *arguments: str) -> tuple[int, Path]:
        return run(self.folder, arguments, self.variables, self.on_progress)


def _import_block(address: str, identity: str) -> str:
    quoted = json.dumps(identity).replace("${", "$${").replace("%{", "%%{")
    return f"import {{\n  to = {address}\n  id = {quoted}\n}}\n"


def formatted(folder: Path) -> list[str]:
    """Name the files below a folder that ``terraform fmt`` would change."""
    done = subprocess.run(
        [required_program(), "fmt", "-check", "-recursive", "-no-color"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in {0, 3}:
        raise EmrError(f"terraform fmt in {folder}: {error_of(done.stderr)}")
    return done.stdout.split()
