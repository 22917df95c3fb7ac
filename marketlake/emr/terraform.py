"""Terraform as a process: its steps, its progress, and its errors as one line.

What it prints goes to a file that is read along, not to a pipe: where our own process is killed,
Terraform then ends what it began and writes its state, and the next run waits for its lock.
"""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from marketlake.emr.errors import EmrError
from marketlake.settings import environment

PROVIDER: Final = "hashicorp/aws"
"""The one provider in use, as folders of a mirror name it."""

_POLL_S: Final = 0.2
_PLAN: Final = "plan.bin"
_NO_REGISTRY: Final = re.compile(
    r"could not connect to|failed to query available provider packages|"
    r"failed to install provider|no available releases",
    re.IGNORECASE,
)
_MIRROR_PLACES: Final = ("~/.terraform.d", "/usr/local/share", "/usr/share", "/opt")


def terraform_program() -> str | None:
    """Path of terraform, or None where it is not installed."""
    return shutil.which("terraform")


def provider_mirror() -> Path | None:
    """Find a folder that holds the provider for this kind of machine, laid out as a mirror.

    ``MARKETLAKE_TERRAFORM_MIRROR`` names one; else the usual places are looked at.
    """
    chosen = environment.terraform_mirror()
    if chosen is not None:
        return chosen if _holds_provider(chosen) else None
    for place in _MIRROR_PLACES:
        root = Path(place).expanduser()
        if not root.is_dir():
            continue
        for folder in sorted(path for path in root.iterdir() if path.is_dir()):
            if _holds_provider(folder):
                return folder
    return None


def _holds_provider(folder: Path) -> bool:
    try:
        return any(folder.glob(f"*/{PROVIDER}/*/{_platform()}")) or any(
            folder.glob(f"*/{PROVIDER}/*_{_platform()}.zip")
        )
    except OSError:
        return False


def _platform() -> str:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return f"{platform.system().lower()}_{machine}"


@dataclass(frozen=True)
class Change:
    """What a plan would do to one resource.

    Attributes
    ----------
    actions : tuple of str
        ``create``, ``update``, ``delete``, two of them for a replacement.
    after : dict
        The resource as it would be; values that only AWS knows are absent.
    """

    address: str
    type: str
    actions: tuple[str, ...]
    after: Mapping[str, Any]

    @property
    def removes(self) -> bool:
        """True where what is there now goes, to be made anew or not."""
        return "delete" in self.actions


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
        code, log = self._run("init", "-no-color")
        if code == 0:
            return
        text = log.read_text(errors="replace")
        if not _NO_REGISTRY.search(text):
            raise EmrError(f"terraform init in {self.folder}: {_error_of(text)}")
        mirror = provider_mirror()
        if mirror is None:
            raise EmrError(
                f"terraform init in {self.folder}: the registry does not answer and no mirror of "
                "the provider is on this disk; give one by MARKETLAKE_TERRAFORM_MIRROR "
                "(terraform providers mirror FOLDER makes it where there is a network)"
            )
        self.note = f"the registry does not answer: the provider is taken from {mirror}"
        code, log = self._run("init", "-no-color", f"-plugin-dir={mirror}")
        if code:
            text = log.read_text(errors="replace")
            raise EmrError(
                f"terraform init in {self.folder} from the mirror {mirror}: {_error_of(text)}"
            )

    def validate(self) -> None:
        """Check the configuration.

        Raises
        ------
        EmrError
            With the first thing that is wrong.
        """
        code, log = self._run("validate", "-json", input_flag=False)
        if code:
            answer = _json_of(log)
            problems = answer.get("diagnostics", []) if isinstance(answer, dict) else []
            raise EmrError(f"terraform validate in {self.folder}: {_first(problems, log)}")

    def plan(self, *, destroy: bool = False) -> dict[str, int]:
        """Make a plan, and keep it for :meth:`apply`.

        Returns
        -------
        dict
            How many resources it would ``add``, ``change`` and ``remove``.
        """
        extra = ("-destroy",) if destroy else ()
        code, log = self._run("plan", "-json", f"-out={_PLAN}", *self._lock, *extra)
        events = list(_events(log))
        if code:
            raise EmrError(f"terraform plan in {self.folder}: {_first(_problems(events), log)}")
        counts = {"add": 0, "change": 0, "remove": 0}
        for event in events:
            if event.get("type") == "change_summary":
                counts = {name: int(event["changes"].get(name, 0)) for name in counts}
        return counts

    def changes(self) -> list[Change]:
        """Tell what the plan made last would do, resource by resource."""
        answer = self._answer("show", "-json", _PLAN)
        return [
            Change(
                item["address"],
                item["type"],
                tuple(item["change"]["actions"]),
                item["change"].get("after") or {},
            )
            for item in answer.get("resource_changes", [])
            if item.get("mode") == "managed" and item["change"]["actions"] != ["no-op"]
        ]

    def apply(self) -> None:
        """Do what the plan made last says, and nothing else.

        Raises
        ------
        EmrError
            With the first thing that went wrong. What was made stays, and is in the state.
        """
        code, log = self._run("apply", "-json", *self._lock, _PLAN)
        (self.folder / _PLAN).unlink(missing_ok=True)
        if code:
            problems = _problems(list(_events(log)))
            raise EmrError(
                f"terraform apply in {self.folder}: {_first(problems, log)}; run the same command "
                "again when that is mended: it goes on from what is there"
            )

    def outputs(self) -> dict[str, Any]:
        """Give the outputs by name; none before the first apply."""
        return {name: item["value"] for name, item in self._answer("output", "-json").items()}

    def resources(self) -> list[str]:
        """Addresses of all that is in the state."""
        code, log = self._run("state", "list", input_flag=False)
        # No state yet is an error to terraform.
        return [] if code else log.read_text().split()

    def adopt(self, address: str, identity: str) -> None:
        """Take something that exists into the state."""
        code, log = self._run("import", "-no-color", *self._lock, address, identity)
        if code:
            text = log.read_text(errors="replace")
            raise EmrError(
                f"{identity} is there but cannot be taken over as {address}: {_error_of(text)}"
            )

    def forget(self, address: str) -> None:
        """Take something out of the state, and leave it as it is."""
        code, log = self._run("state", "rm", *self._lock, address, input_flag=False)
        if code:
            raise EmrError(f"terraform state rm {address}: {_error_of(log.read_text())}")

    @property
    def _lock(self) -> tuple[str, ...]:
        return (f"-lock-timeout={self.lock_wait_s}s",)

    def _answer(self, *arguments: str) -> dict[str, Any]:
        code, log = self._run(*arguments, input_flag=False)
        answer = _json_of(log)
        if code or not isinstance(answer, dict):
            text = log.with_suffix(".err").read_text(errors="replace")
            raise EmrError(f"terraform {arguments[0]} in {self.folder}: {_error_of(text)}")
        return answer

    def _run(self, *arguments: str, input_flag: bool = True) -> tuple[int, Path]:
        program = terraform_program()
        if program is None:
            raise EmrError("terraform is not on PATH: install 1.11 or later")
        logs = self.folder / "logs"
        logs.mkdir(exist_ok=True)
        log = logs / f"{arguments[0]}.log"
        flags = ("-input=false",) if input_flag else ()
        command = [program, arguments[0], *flags, *arguments[1:]]
        if arguments[0] == "state":
            command = [program, *arguments[:2], *arguments[2:]]
        with log.open("wb") as out, log.with_suffix(".err").open("wb") as err:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment.for_child({"TF_IN_AUTOMATION": "1", **self.variables}),
            )
        self._follow(process, log)
        if process.returncode and arguments[0] in {"init", "import", "state"}:
            # These tell errors as text, on standard error.
            text = log.with_suffix(".err").read_bytes()
            with log.open("ab") as out:
                out.write(b"\n" + text)
        return process.returncode, log

    def _follow(self, process: subprocess.Popen[bytes], log: Path) -> None:
        """Wait for the end, and tell what is done meanwhile."""
        with log.open(errors="replace") as lines:
            rest = ""
            while True:
                ended = _ended(process)
                rest += lines.read()
                *whole, rest = rest.split("\n")
                for line in whole:
                    if said := _progress(line):
                        self.on_progress(said)
                if ended:
                    return
                time.sleep(_POLL_S)


def _ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        return process.poll() is not None
    except KeyboardInterrupt:
        # Ctrl-C reaches terraform as well: it ends what it began, and that is waited for.
        process.wait()
        raise


def formatted(folder: Path) -> list[str]:
    """Name the files below a folder that ``terraform fmt`` would change."""
    program = terraform_program()
    if program is None:
        raise EmrError("terraform is not on PATH: install 1.11 or later")
    done = subprocess.run(
        [program, "fmt", "-check", "-recursive", "-no-color"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in {0, 3}:
        raise EmrError(f"terraform fmt in {folder}: {_error_of(done.stderr)}")
    return done.stdout.split()


def _events(log: Path) -> Iterator[dict[str, Any]]:
    for line in log.read_text(errors="replace").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event


def _problems(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [e["diagnostic"] for e in events if e.get("type") == "diagnostic"]


def _first(problems: list[dict[str, Any]], log: Path) -> str:
    for problem in problems:
        if problem.get("severity") != "error":
            continue
        address = problem.get("address")
        parts = [address, problem.get("summary"), problem.get("detail")]
        return ": ".join(" ".join(str(part).split()) for part in parts if part)
    return _error_of(log.with_suffix(".err").read_text(errors="replace")) + f" (log: {log})"


def _error_of(text: str) -> str:
    """Take the words of an error out of the frame that terraform draws around it."""
    words = " ".join(re.sub(r"\x1b\[[0-9;]*m|[│╷╵]", " ", text).split())
    begin = words.find("Error: ")
    return words[begin + len("Error: ") :] if begin >= 0 else words


def _progress(line: str) -> str:
    try:
        event = json.loads(line)
    except ValueError:
        return ""
    if not isinstance(event, dict) or event.get("type") not in {"apply_complete", "apply_errored"}:
        return ""
    if event.get("hook", {}).get("action") == "read":
        return ""
    return str(event.get("@message", ""))


def _json_of(log: Path) -> Any:
    try:
        return json.loads(log.read_text(errors="replace"))
    except ValueError:
        return None
